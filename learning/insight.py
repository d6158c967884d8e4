"""What a network computes for an observation beyond its expectations: distributions, activations, gradients.

Nothing of this runs in acting or learning, and a reader never changes the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from learning.heads import QOutput, not_forbidden
from learning.networks import InspectableLayer

Array = NDArray[np.float64]


class Distribution(NamedTuple):
    """The return distribution of each action as the network predicts it; its mean is the expectation."""

    returns: Array  # (A, K) discounted returns
    probabilities: Array  # (A, K) of each; a row sums to 1


class Neuron(NamedTuple):
    """One unit of a layer; of a feature map, one filter."""

    layer: str  # a name from `Insight.activations`
    unit: int


class Insight(NamedTuple):
    """What a network computes for one observation."""

    q_values: Array  # (A,)
    distribution: Distribution | None  # None: a head with expectations only
    activations: list[tuple[str, Array]]  # of each layer: its name, (D,) or feature maps (C, H, W)


class Reader(Protocol):
    """Reads a network. One observation is (...), without a batch; frames are (stack, H, W)."""

    def insight(self, obs: NDArray[Any]) -> Insight:
        """Return what the network computes for an observation."""
        ...

    def saliency(self, obs: NDArray[Any], action: int) -> Array:
        """Return |dQ(action) / d input|, the observation's shape; of frames the sum over the stack, (H, W)."""
        ...

    def first_weights(self) -> Array:
        """Return the first layer's weights: (units, inputs), or filters (F, stack, k, k)."""
        ...

    def excitation(self, obs: NDArray[Any], neuron: Neuron) -> Array:
        """Return how strongly each observation (B, ...) excites a neuron, (B,).

        That is its input before the rectifier (or tanh), which is never flat; of a filter, where on its map that
        is largest.

        Raises:
            KeyError: no such layer.
        """
        ...

    def excitation_gradient(self, obs: NDArray[Any], neuron: Neuron) -> tuple[float, Array]:
        """Return the excitation by one observation, of any real numbers, and its gradient by each input (...)."""
        ...


@runtime_checkable
class Inspectable(Protocol):
    """A network that lists its own layers."""

    def inspectable_layers(self) -> list[InspectableLayer]:
        """Return the layers whose activations can be shown, from the input on."""
        ...


@runtime_checkable
class Readable(Protocol):
    """A player with a network that can be read."""

    def reader(self) -> Reader:
        """Return its reader."""
        ...


def reader_of(policy: object) -> Reader | None:
    """Return the reader of a player's network, its own or one for plain dense layers; None: it has no network."""
    if isinstance(policy, Readable):
        return policy.reader()
    layers = getattr(policy, "layers", None)
    if isinstance(layers, list) and layers and all(isinstance(layer, DenseLayer) for layer in layers):
        return NetworkReader(DenseNetwork(layers))
    return None


@runtime_checkable
class DenseLayer(Protocol):
    """One fully connected layer as plain arrays; Karpathy's networks are made of these."""

    @property
    def weight(self) -> Array:
        """Return the weights, (outputs, inputs)."""
        ...

    @property
    def bias(self) -> Array:
        """Return the biases, (outputs,)."""
        ...

    @property
    def activation(self) -> str | None:
        """Return what follows: relu, sigmoid, tanh; None: nothing."""
        ...


FUNCTIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class DenseNetwork(nn.Module):
    """Plain layers as a network that can be read, in their own float64."""

    def __init__(self, layers: Sequence[DenseLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_linear(layer) for layer in layers)
        self.functions = [FUNCTIONS[layer.activation] for layer in layers]

    def forward(self, obs: Tensor) -> QOutput:
        """Return the expectations, (B, A), for observations (B, inputs)."""
        x = obs.double()
        for layer, function in zip(self.layers, self.functions, strict=True):
            x = function(layer(x))
        return QOutput(x)

    def inspectable_layers(self) -> list[InspectableLayer]:
        """Return all layers but the last, whose outputs are the expectations."""
        functions = list(zip(self.layers, self.functions, strict=True))[:-1]
        return [InspectableLayer(f"hidden {number}", *both) for number, both in enumerate(functions, 1)]


def _linear(layer: DenseLayer) -> nn.Linear:
    outputs, inputs = layer.weight.shape
    # else it would draw weights from torch's own generator
    linear: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, inputs, outputs, dtype=torch.float64
    )
    linear.load_state_dict({"weight": torch.from_numpy(layer.weight), "bias": torch.from_numpy(layer.bias)})
    return linear


class NetworkReader:
    """Reads any of our networks with hooks; of an unknown one, the plain outputs of its weighted layers."""

    def __init__(self, network: nn.Module) -> None:
        """Take a network that maps observations (B, ...) to a `QOutput`."""
        self.network = network
        self._layers = layers_of(network)

    def insight(self, obs: NDArray[Any]) -> Insight:
        """Return what the network computes for an observation."""
        with torch.inference_mode(), _recording(self._layers) as outputs:
            output: QOutput = self.network(self._tensor(obs[None]))
        activations = [(layer.name, _numpy(layer.activation(outputs[layer.name])[0])) for layer in self._layers]
        q_values = _numpy(output.q_values[0])
        q_values = np.where(not_forbidden(q_values), q_values, -np.inf)  # actions that are not allowed
        return Insight(q_values, distribution(output), activations)

    def saliency(self, obs: NDArray[Any], action: int) -> Array:
        """Return |dQ(action) / d input|; of frames per grey level, summed over the stack, (H, W)."""
        _, gradient = self._gradient(obs, lambda output, outputs: output.q_values[0, action])
        size = np.abs(gradient)
        return np.asarray(size.sum(0)) if size.ndim == 3 else size

    def first_weights(self) -> Array:
        """Return the first layer's weights; of noisy ones the mean, of vectors by the inputs after scaling."""
        return _numpy(_first_weighted(self.network).weight)  # type: ignore[arg-type]

    @torch.inference_mode()
    def excitation(self, obs: NDArray[Any], neuron: Neuron) -> Array:
        """Return how strongly each observation (B, ...) excites a neuron, (B,)."""
        layer = self._layer(neuron)
        with _recording([layer]) as outputs:
            self.network(self._tensor(obs))
        return _numpy(_unit(layer, outputs, neuron))

    def excitation_gradient(self, obs: NDArray[Any], neuron: Neuron) -> tuple[float, Array]:
        """Return the excitation by one observation and its gradient by each input."""
        layer = self._layer(neuron)
        return self._gradient(obs, lambda output, outputs: _unit(layer, outputs, neuron)[0], [layer])

    def _layer(self, neuron: Neuron) -> InspectableLayer:
        return {layer.name: layer for layer in self._layers}[neuron.layer]

    def _tensor(self, obs: NDArray[Any]) -> Tensor:
        return torch.as_tensor(obs).to(next(self.network.parameters()).device)

    def _gradient(
        self,
        obs: NDArray[Any],
        of: Callable[[QOutput, dict[str, Tensor]], Tensor],
        layers: Sequence[InspectableLayer] = (),
    ) -> tuple[float, Array]:
        x = self._tensor(np.asarray(obs, np.float32)).requires_grad_()
        # parameters that can't learn: else spectral normalisation would move its vectors, which belong to the learner
        frozen = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        with torch.enable_grad(), _recording(layers) as outputs:
            # a copy, because encoders scale in place
            output = functional_call(self.network, frozen, (x.unsqueeze(0).clone(),))
            value = of(output, outputs)
            (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), _numpy(gradient)


def distribution(output: QOutput) -> Distribution | None:
    """Return the distributions of the first observation's actions; None from a head without any."""
    if output.returns is None:
        return None
    returns = output.returns.expand(*output.q_values.shape, output.returns.shape[-1])[0].double()  # (A, K)
    if output.logits is None:
        return Distribution(_numpy(returns), np.full(returns.shape, 1.0 / returns.shape[-1]))
    return Distribution(_numpy(returns), _numpy(functional.softmax(output.logits[0].double(), -1)))


def layers_of(network: nn.Module) -> list[InspectableLayer]:
    """Return the layers that a network says can be inspected; of an unknown one, those with weights."""
    if isinstance(network, Inspectable):
        return network.inspectable_layers()
    weighted = (nn.Linear, nn.Conv2d)
    return [InspectableLayer(name, module) for name, module in network.named_modules() if isinstance(module, weighted)]


def _first_weighted(network: nn.Module) -> nn.Module:
    """Return the layer that the observation reaches first; what embeds quantile fractions is none."""
    weighted = (nn.Linear, nn.Conv2d)
    embedding = getattr(network, "embedding", None)
    others = set(embedding.modules()) if isinstance(embedding, nn.Module) else set()
    return next(module for module in network.modules() if isinstance(module, weighted) and module not in others)


@contextmanager
def _recording(layers: Iterable[InspectableLayer]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of layers while the network runs, by name."""
    outputs: dict[str, Tensor] = {}

    def record(layer: InspectableLayer) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(module: nn.Module, given: Any, output: Tensor) -> None:
            outputs[layer.name] = output.clone()  # what follows rectifies in place

        return keep

    hooks = [layer.module.register_forward_hook(record(layer)) for layer in layers]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _unit(layer: InspectableLayer, outputs: dict[str, Tensor], neuron: Neuron) -> Tensor:
    """Return the excitation of a neuron, (B,); of a filter its largest."""
    x = layer.excitation(outputs[layer.name])[:, neuron.unit]
    return x.amax((1, 2)) if x.dim() == 3 else x


def _numpy(x: Tensor) -> Array:
    return x.detach().cpu().numpy().astype(np.float64)
