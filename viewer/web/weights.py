"""A player's network as plain numbers, for `network.js`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agents.karpathy import KarpathyPolicy
from common.errors import UserError
from envs import Mirrors
from learning.heads import Categorical, Expected, Head, Quantile
from learning.networks import QNetwork

F32 = NDArray[np.float32]


class WebNetwork(NamedTuple):
    """Layers that name places, [start, length], in one array of float32."""

    spec: dict[str, Any]
    weights: F32

    def as_json(self) -> dict[str, Any]:
        """Return what `readNetwork` in network.js takes."""
        return {"spec": self.spec, "weights": base64.b64encode(self.weights.astype("<f4").tobytes()).decode()}


class _Store:
    """Collects arrays one after the other."""

    def __init__(self) -> None:
        self.parts: list[F32] = []
        self.size = 0

    def put(self, values: Any) -> list[int]:
        """Keep some values and return their place."""
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        self.parts.append(np.ascontiguousarray(array, np.float32).ravel())
        place = [self.size, self.parts[-1].size]
        self.size += self.parts[-1].size
        return place

    def layer(self, weight: Any, bias: Any, activation: str | None, norm: nn.Module | None = None) -> dict[str, Any]:
        """Keep a fully connected layer."""
        assert norm is None or isinstance(norm, nn.LayerNorm)
        kept = norm and {"weight": self.put(norm.weight), "bias": self.put(norm.bias), "epsilon": norm.eps}
        return {"weight": self.put(weight), "bias": self.put(bias), "activation": activation, "norm": kept}

    def hidden(self, layers: Sequence[nn.Module], norms: Sequence[nn.Module]) -> Iterator[dict[str, Any]]:
        """Keep layers with a ReLU after each; of noisy ones the means."""
        for layer, norm in zip_longest(layers, norms):
            yield self.layer(layer.weight, layer.bias, "relu", norm)

    def all(self) -> F32:
        """Return everything."""
        return np.concatenate(self.parts)


def network_of(policy: object) -> WebNetwork:
    """Return a player's network; of noisy layers the means, as in evaluation.

    Raises:
        UserError: it has none that a page can compute; the line says why.
    """
    if isinstance(policy, KarpathyPolicy):
        store = _Store()
        layers = [store.layer(one.weight, one.bias, one.activation) for one in policy.layers]
        spec = {"trunk": layers[:-1], "advantage": layers[-1:], "value": None, "actions": policy.num_actions}
        return WebNetwork({**spec, "head": "expected", "outputs": 1}, store.all())
    network = getattr(policy, "network", None)
    name = getattr(policy, "name", type(policy).__name__)
    if not isinstance(network, QNetwork):
        raise UserError(f"{name} has no network that a page can compute; --recorded shows episodes of it instead")
    if network.convolutions is not None or network.choices:
        raise UserError(f"{name} sees pictures or masks, which a page can't compute; --recorded shows episodes instead")
    return _of_qnetwork(network)


@torch.no_grad()
def _of_qnetwork(network: QNetwork) -> WebNetwork:
    store, output = _Store(), network.output
    assert network.scale is not None
    outputs = output.outputs_per_action
    weight, bias = output.linear.weight, output.linear.bias
    assert isinstance(weight, torch.Tensor)
    assert isinstance(bias, torch.Tensor)
    spec: dict[str, Any] = {"scale": store.put(network.scale.factor), "outputs": outputs, "value": None}
    if network.canonical is not None:
        tables = {name: getattr(network.canonical, name).tolist() for name in Mirrors._fields}
        spec["mirrors"] = {**tables, "sign": [[round(one) for one in row] for row in tables["sign"]]}
    spec["trunk"] = list(store.hidden(list(network.layers), list(network.norms)))
    own = list(store.hidden(list(output.layers), list(output.norms)))
    actions = len(weight) // outputs
    if output.separate:
        values = list(store.hidden(list(output.value_layers), list(output.value_norms)))
        spec["value"] = [*values, store.layer(output.value.weight, output.value.bias, None)]
    elif output.dueling:  # one matrix makes both; the value comes last
        actions -= 1
        spec["value"] = [store.layer(weight[-outputs:], bias[-outputs:], None)]
        weight, bias = weight[:-outputs], bias[:-outputs]
    spec |= {"advantage": [*own, store.layer(weight, bias, None)], "actions": actions}
    return WebNetwork(spec | _head(network, store), store.all())


def _head(network: QNetwork, store: _Store) -> dict[str, Any]:
    """Return what the outputs mean."""
    head: Head = network.head
    if network.embedding is not None:
        fractions = network.embedding.fractions(1, 0, head.acting_fractions)
        rows = network.embedding(fractions)[0]
        return {"head": "implicit", "embedding": {"rows": len(rows), "values": store.put(rows)}}
    if isinstance(head, Categorical):
        return {"head": "categorical", "atoms": store.put(head.atoms)}
    if isinstance(head, Quantile):
        return {"head": "quantile"}
    if isinstance(head, Expected):
        return {"head": "expected"}
    raise UserError(f"a page can't compute a network whose outputs are {type(head).__name__}; --recorded can show it")
