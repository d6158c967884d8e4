"""Networks whose output is an expectation: from an observation to the expected return of each action.

Read from `QNetwork`, at the end, backwards: it is made of the layers before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import envs
from envs import MaskedBox
from learning.config import LearnerConfig
from learning.encoders import CONVOLUTIONS, Convolutions, Impala, start_power_iterations
from learning.heads import Expected, Head, QOutput, allow

LEAST_OF_NATURE = 36  # pixels of a side of the smallest frames that its three convolutions can take
HEAD_GAIN = 0.1  # of a normalised network's last layer: expectations begin near zero

Linear = Callable[[int, int], nn.Module]
"""Makes a fully connected layer of so many inputs and outputs."""


class Scale(nn.Module):
    """Bring observations to about [-1, 1] by the bounds of their space; unbounded entries stay as they are."""

    factor: Tensor

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        low, high = envs.telling(space)
        bound = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
        usable = np.isfinite(bound) & (bound > 0) & (bound < 1e6)  # 3e38 means "no bound" in Gymnasium
        factor = np.where(usable, 1.0 / np.where(usable, bound, 1.0), 1.0)
        self.register_buffer("factor", torch.as_tensor(factor, dtype=torch.float32))

    def forward(self, obs: Tensor) -> Tensor:
        """Return the scaled observation as float32, same shape."""
        return obs.float() * self.factor


class Canonical(nn.Module):
    """From observations to their canonical mirror images, and from outputs for these back; see `Mirrors`."""

    by: Tensor
    order: Tensor
    sign: Tensor
    action: Tensor
    bits: Tensor

    def __init__(self, mirrors: envs.Mirrors) -> None:
        super().__init__()
        for name, table in mirrors._asdict().items():
            self.register_buffer(name, torch.as_tensor(table), persistent=False)
        self.register_buffer("bits", 2 ** torch.arange(len(self.by)), persistent=False)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the canonical images (B, D) of observations (B, D), and which images they are, (B,)."""
        image = ((obs[:, self.by] < 0) * self.bits).sum(1)
        return obs.gather(1, self.order[image]) * self.sign[image], image

    def back(self, out: Tensor, image: Tensor) -> Tensor:
        """Return outputs for the observations' own actions, (B, ..., A, K), from those for the images'."""
        index = self.action[image].view(len(out), *[1] * (out.dim() - 3), -1, 1)
        return out.gather(-2, index.expand_as(out))


class StochasticLayer(nn.Module):
    """A layer that samples noise in each forward inside `sampling_noise`, and is deterministic outside."""

    generator: torch.Generator | None = None


@contextmanager
def sampling_noise(layers: Iterable[StochasticLayer], generator: torch.Generator) -> Iterator[None]:
    """Let layers draw from a generator, on their device, for a while."""
    layers = list(layers)
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None


class NoisyLinear(StochasticLayer, nn.Linear):
    """A fully connected layer whose weights are learnt with their own spread. Fortunato et al. 2017, arXiv:1706.10295.

    The noise is factorised: weight (j, i) is mean + sigma * f(e_j) * f(e_i) with f(e) = sign(e) sqrt(|e|), so a
    layer of p inputs and q outputs takes p + q normal numbers. As such a product never has to be multiplied out,
    every row of a batch has noise of its own here: each environment explores by itself, and an update averages over
    as many networks as it has transitions (the paper draws one network for a whole batch). Outside `sampling_noise` the
    layer is its mean.

    Args:
        inputs: p.
        outputs: q.
        sigma: spread at the start, times sqrt(p).
    """

    def __init__(self, inputs: int, outputs: int, sigma: float = 0.5) -> None:
        super().__init__(inputs, outputs)
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma / math.sqrt(inputs)))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma / math.sqrt(inputs)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, (B, ..., q), of inputs (B, ..., p); what lies between shares its row's noise."""
        mean = functional.linear(x, self.weight, self.bias)
        if self.generator is None:
            return mean
        between = [1] * (x.dim() - 2)
        noise_in = self._noise(x.shape[0], *between, self.in_features)
        noise_out = self._noise(x.shape[0], *between, self.out_features)
        return mean + noise_out * functional.linear(x * noise_in, self.weight_sigma, self.bias_sigma)

    def _noise(self, *shape: int) -> Tensor:
        normal = torch.randn(shape, generator=self.generator, device=self.weight.device)
        return normal.sign() * normal.abs().sqrt()


def dense(widths: Sequence[int], linear: Linear, layer_norm: bool) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the layers between such widths, and for each the normalisation after it (or none)."""
    layers = nn.ModuleList(linear(a, b) for a, b in itertools.pairwise(widths))
    return layers, nn.ModuleList(nn.LayerNorm(width) for width in widths[1:] if layer_norm)


def run_dense(layers: nn.ModuleList, norms: nn.ModuleList, x: Tensor) -> Tensor:
    """Return what comes out of the last of such layers, a ReLU after each."""
    for layer, norm in itertools.zip_longest(layers, norms):
        x = layer(x)
        x = torch.relu(x if norm is None else norm(x))
    return x


class DuelingHead(nn.Module):
    """Features -> K outputs for each action; with ``dueling`` as the state's value plus advantages.

    Dueling: value + advantage - mean(advantage), Wang et al. 2015, arXiv:1511.06581. Without hidden layers of their
    own both streams read the same features, so one matrix makes both.

    Args:
        width: of the features.
        num_actions: A.
        outputs_per_action: K.
        hidden: units of the hidden layers, of each stream.
        dueling: value and advantages in separate streams.
        linear: makes a fully connected layer.
        layer_norm: normalise after each hidden layer.
    """

    def __init__(
        self,
        width: int,
        num_actions: int,
        outputs_per_action: int,
        hidden: Sequence[int],
        dueling: bool,
        linear: Linear = nn.Linear,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.outputs_per_action, self.dueling = outputs_per_action, dueling
        widths = [width, *hidden]
        self.layers, self.norms = dense(widths, linear, layer_norm)
        separate = dueling and bool(hidden)
        self.linear = linear(widths[-1], (num_actions + (dueling and not separate)) * outputs_per_action)
        if separate:
            self.value_layers, self.value_norms = dense(widths, linear, layer_norm)
            self.value = linear(widths[-1], outputs_per_action)
        self.separate = separate

    @property
    def last_layers(self) -> list[nn.Module]:
        """The layers that nothing comes after."""
        return [self.linear, self.value] if self.separate else [self.linear]

    def forward(self, features: Tensor) -> Tensor:
        """Return the outputs for each action, (..., A, K), for features (..., D)."""
        out = self.linear(run_dense(self.layers, self.norms, features))
        out = out.unflatten(-1, (-1, self.outputs_per_action))  # (..., A [+ 1], K)
        if not self.dueling:
            return out  # type: ignore[no-any-return]
        if self.separate:
            value = self.value(run_dense(self.value_layers, self.value_norms, features)).unsqueeze(-2)
        else:
            out, value = out[..., :-1, :], out[..., -1:, :]
        return value + out - out.mean(-2, keepdim=True)  # type: ignore[no-any-return]


class CosineEmbedding(StochasticLayer):
    """Quantile fractions -> features, as many as the state has. Dabney et al. 2018, arXiv:1806.06923, equation 4.

    Inside `sampling_noise` the fractions are drawn uniformly; outside they are the midpoints of equal parts (the paper
    samples them then too: these make acting and evaluation deterministic).

    Args:
        width: D, of the features.
        cosines: of each fraction that a linear layer combines.
    """

    def __init__(self, width: int, cosines: int = 64) -> None:
        super().__init__()
        self.linear = nn.Linear(cosines, width)
        self.register_buffer("frequencies", math.pi * torch.arange(cosines, dtype=torch.float32), persistent=False)

    frequencies: Tensor

    def fractions(self, batch: int, drawn: int, fixed: int) -> Tensor:
        """Return the fractions within (0, 1): (B, drawn) inside `sampling_noise`, (1, fixed) outside."""
        device = self.frequencies.device
        if self.generator is not None:
            return torch.rand((batch, drawn), generator=self.generator, device=device)
        return ((torch.arange(fixed, device=device) + 0.5) / fixed).unsqueeze(0)

    def forward(self, fractions: Tensor) -> Tensor:
        """Return the features, (B, N, D), of fractions (B, N)."""
        return torch.relu(self.linear(torch.cos(fractions.unsqueeze(-1) * self.frequencies)))


def _same(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class InspectableLayer:
    """A layer whose activations can be shown: which module's output is recorded, and what the network makes of it."""

    name: str
    module: nn.Module
    rectify: Callable[[Tensor], Tensor] = _same
    normalise: Callable[[Tensor], Tensor] = _same  # before that, where no module does it

    def excitation(self, output: Tensor) -> Tensor:
        """Return what goes into the rectifier, (B, D) or (B, C, H, W); of quantile fractions (B, N, D) the mean."""
        x = self.normalise(output)
        return x.mean(1) if x.dim() == 3 else x

    def activation(self, output: Tensor) -> Tensor:
        """Return what comes out of it, likewise."""
        x = self.rectify(self.normalise(output))
        return x.mean(1) if x.dim() == 3 else x


def rectified(name: str, modules: Iterable[nn.Module], norms: Iterable[nn.Module]) -> Iterator[InspectableLayer]:
    """Yield layers with a ReLU after each; with norms, it comes after these."""
    for number, module in enumerate(list(norms) or modules, 1):
        yield InspectableLayer(f"{name} {number}", module, torch.relu)


class QNetwork(nn.Module):
    """Observation -> encoder -> fully connected layers -> head: the expected returns of all actions.

    Vectors are scaled and go straight to the fully connected layers; frames go through convolutions first. An implicit
    head multiplies the features with an embedding of quantile fractions.

    Args:
        space: of one observation.
        num_actions: A.
        config: encoder, layers and normalisation.
        generator: of the first weights.
        head: what the outputs of the last layer mean; one expectation an action by default.
        linear: makes the fully connected layers.
        canonical: see one of an observation's mirror images in place of all, if it has any.
    """

    def __init__(
        self,
        space: spaces.Box,
        num_actions: int,
        config: LearnerConfig,
        generator: torch.Generator,
        head: Head | None = None,
        linear: Linear = nn.Linear,
        canonical: bool = False,
    ) -> None:
        super().__init__()
        mirrors = envs.mirrors_of(space) if canonical else None
        self.canonical = None if mirrors is None else Canonical(mirrors)
        self.choices = space.num_actions if isinstance(space, MaskedBox) else 0  # numbers at an observation's end
        space = space.plain if isinstance(space, MaskedBox) else space
        name = automatic_encoder(space) if config.encoder == "auto" else config.encoder
        self.scale = Scale(space) if name == "mlp" else None
        self.bf16 = config.bf16
        self.convolutions = None if name == "mlp" else make_convolutions(name, space, config)
        width = self.convolutions.features if self.convolutions else int(np.prod(space.shape))
        widths = [width, *config.hidden]
        self.layers, self.norms = dense(widths, linear, config.layer_norm)
        self.head = head or Expected()
        self.embedding = CosineEmbedding(widths[-1]) if self.head.implicit else None
        self.output = DuelingHead(
            widths[-1],
            num_actions,
            self.head.outputs_per_action,
            config.head_hidden,
            config.dueling,
            linear,
            config.layer_norm,
        )
        if config.layer_norm:
            initialise_normalised(self, generator)
            for layer in self.output.last_layers:
                assert isinstance(layer, nn.Linear)
                if config.last_layer == "lecun":
                    nn.init.normal_(layer.weight, 0.0, layer.in_features**-0.5, generator)
                else:
                    nn.init.orthogonal_(layer.weight, HEAD_GAIN, generator)
            for module in self.modules():
                if isinstance(module, nn.LayerNorm | nn.GroupNorm):
                    module.eps = config.norm_epsilon
        else:
            initialise(self, generator)
        start_power_iterations(self, generator)

    def features(self, obs: Tensor) -> Tensor:
        """Return the features, (B, D), of observations (B, ...)."""
        if self.convolutions is None:
            assert self.scale is not None
            encoded = self.scale(obs).flatten(1)
        elif self.bf16 and obs.device.type == "cuda":
            with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):  # a graph has no use for the cache
                encoded = self.convolutions(obs)
            encoded = encoded.float()
        else:
            encoded = self.convolutions(obs)
        return run_dense(self.layers, self.norms, encoded)

    def forward(self, obs: Tensor, drawn: int | None = None) -> QOutput:
        """Return the expected returns of all actions, (B, A), for observations (B, ...).

        ``drawn``: how many quantile fractions are drawn inside `sampling_noise`; None: as many as the head has.
        """
        if self.choices:  # that say which actions are allowed
            return allow(self._expect(obs[:, : -self.choices], drawn), obs[:, -self.choices :])
        return self._expect(obs, drawn)

    def _expect(self, obs: Tensor, drawn: int | None) -> QOutput:
        image = None
        if self.canonical is not None:
            obs, image = self.canonical(obs)
        features, fractions = self.features(obs), None
        if self.embedding is not None:
            drawn = self.head.num_fractions if drawn is None else drawn
            fractions = self.embedding.fractions(len(obs), drawn, self.head.acting_fractions)
            features = features.unsqueeze(1) * self.embedding(fractions)  # (B, N, D)
        out = self.output(features)
        if self.canonical is not None and image is not None:
            out = self.canonical.back(out, image)
        return self.head(out, fractions)  # type: ignore[no-any-return]

    def inspectable_layers(self) -> list[InspectableLayer]:
        """Return the layers whose activations can be shown, from the input on; the expectations themselves are none."""
        encoder, output = self.convolutions, self.output
        layers: list[InspectableLayer] = []
        if isinstance(encoder, Convolutions):
            layers += rectified("convolution", encoder.layers, encoder.norms)
        elif encoder is not None:
            layers += rectified("block", encoder.blocks, [])
        layers += rectified("hidden", self.layers, self.norms)
        layers += rectified("advantage" if output.separate else "head", output.layers, output.norms)
        if output.separate:
            layers += rectified("value", output.value_layers, output.value_norms)
        return layers


def make_convolutions(name: str, space: spaces.Box, config: LearnerConfig) -> Convolutions | Impala:
    """Return the convolutional encoder of that name."""
    if name == "impala":
        return Impala(space, config.impala_width, config.impala_pool, config.spectral_norm, config.layer_norm)
    return Convolutions(space, CONVOLUTIONS[name], config.layer_norm)


def automatic_encoder(space: spaces.Box) -> str:
    """Return the encoder for a kind of observation: the paper's convolutions for frames, none for vectors."""
    if len(space.shape) != 3 or space.dtype != np.uint8:
        return "mlp"
    return "nature" if min(space.shape[1:]) >= LEAST_OF_NATURE else "small"


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every layer from U(-1/sqrt(inputs), 1/sqrt(inputs)), torch's default, but from our generator."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1.0 / math.sqrt(module.weight[0].numel())
            assert module.bias is not None
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def initialise_normalised(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every layer as He et al. 2015, arXiv:1502.01852, biases 0; for networks with layer normalisation.

    Normalisation hides the weights' size from what comes after, but not from the optimiser: small weights
    turn faster at the same step size. With torch's default, 2.4 times smaller, PQN stood at -3.9 in Pong
    after a million steps, drawn like this at 11.6 (one seed each, the CPU preset on 42 x 42 frames).
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            module.bias.zero_()


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


LARGE = 1_000_000  # parameters


def gains_from_threads(network: nn.Module) -> bool:
    """Whether a batch is work enough for more than one CPU thread: a convolution uses its parameters at every pixel."""
    convolutional = any(isinstance(module, nn.Conv2d) for module in network.modules())
    return convolutional or count_parameters(network) >= LARGE


def laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor of a parameter's shape in the parameter's order in memory; channels may lie last in one only."""
    return tensor if tensor.stride() == parameter.stride() else torch.empty_like(parameter).copy_(tensor)


def epsilon_greedy(
    best: NDArray[np.int64],
    num_actions: int,
    epsilon: float,
    rng: np.random.Generator,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return the actions (B,) with each one replaced by a uniform action with probability ``epsilon``.

    ``allowed`` (B, A): which actions may be drawn; None: all.

    Draws the same number of random numbers whatever epsilon above 0 is, so that seeds stay comparable.
    """
    if epsilon <= 0:
        return best
    exploring = rng.random(len(best)) < epsilon
    return np.where(exploring, random_actions(len(best), num_actions, rng, allowed), best)


def random_actions(
    count: int, num_actions: int, rng: np.random.Generator, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return uniform actions, (B,); ``allowed`` (B, A): which of them, at least one in each row; None: all."""
    if allowed is None:
        return rng.integers(0, num_actions, count)
    which = rng.integers(0, allowed.sum(1))
    first_allowed = np.argsort(~allowed, axis=1, kind="stable")
    drawn: NDArray[np.int64] = first_allowed[np.arange(count), which]
    return drawn
