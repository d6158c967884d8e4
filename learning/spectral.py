"""Spectral normalisation: a convolution whose weight is divided by its largest singular value."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SQUARINGS = 10  # 2^10 = 1024 power iterations at the start


class SpectralConv2d(nn.Conv2d):
    """A convolution with the weight W / sigma, sigma = u^T W v. Miyato et al. 2018, arXiv:1802.05957, algorithm 1.

    W is the weight as a matrix (out, in * k * k); u (out,) and v (in * k * k,) follow its first singular vectors
    by one power iteration a forward. They move only where the weight can learn, with gradients enabled: acting,
    evaluating and the target network leave them alone, unlike torch's own spectral normalisation, which also
    takes its start from the global generator. Call `start` once the weights are drawn.
    """

    u: Tensor
    v: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=padding)
        matrix = self.weight.detach().flatten(1)
        # until `start`, from a fixed direction: rough, but a number
        self.register_buffer("u", matrix.new_ones(out_channels))
        self.register_buffer("v", matrix.new_ones(matrix.shape[1]))
        self._set_vectors(matrix, self.u)

    @torch.no_grad()
    def start(self, generator: torch.Generator) -> None:
        """Point u and v at the first singular vectors of the weights as they are, from u ~ N(0, 1).

        Fifteen iterations, as torch does, leave sigma up to a tenth too small: a random matrix's largest singular
        values lie close together. Squaring W W^T again and again makes a thousand for the price of ten.
        """
        matrix = self.weight.flatten(1)  # (out, in * k * k)
        power = matrix @ matrix.T  # (out, out)
        for _ in range(SQUARINGS):
            power = power / power.norm()  # before it overflows
            power = power @ power
        drawn = torch.randn(self.out_channels, generator=generator, device=generator.device)
        self._set_vectors(matrix, power @ drawn.to(power))

    def normalised_weight(self) -> Tensor:
        """Return weight / sigma, (out, in, k, k), after one power iteration where the weight can learn.

        The gradient runs through W in both places, u and v are constants in it.
        """
        matrix = self.weight.flatten(1)  # (out, in * k * k)
        u, v = self.u, self.v
        if torch.is_grad_enabled() and self.weight.requires_grad:
            # fresh tensors for the graph: the next forward, before this one's backward, overwrites the buffers
            u, v = self._set_vectors(matrix.detach(), u)
        return self.weight / torch.dot(u, matrix @ v)

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (B, in, H, W) with the normalised weight; the bias stays as it is."""
        return self._conv_forward(input, self.normalised_weight(), self.bias)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _set_vectors(self, matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Advance u by one power iteration, keep it and its v, and return them."""
        v = functional.normalize(matrix.T @ u, dim=0)
        u = functional.normalize(matrix @ v, dim=0)
        self.u.copy_(u)
        self.v.copy_(v)
        return u, v


def start_power_iterations(network: nn.Module, generator: torch.Generator) -> None:
    """Start every spectrally normalised convolution inside; call it after the weights are drawn."""
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            module.start(generator)
