"""Andrej Karpathy's two pretrained networks, read from the JSON that his demos ship and play here.

REINFORCEjs (wateragent.json, 2015): 152 -> 100 tanh -> 4, in tidepool/Waterworld-v0.
ConvNetJS (rldemo.html, 2014): 59 -> 50 relu -> 50 relu -> 5, in tidepool/RLDemo-v0 with a temporal window of 1.
The sums are done in float64, as JavaScript does them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, nearest
from common.files import read_json
from learning.networks import epsilon_greedy
from learning.policy import Training

Array = NDArray[np.float64]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "tanh": np.tanh,
}
"""What may follow a layer; ConvNetJS saves can carry any of the three."""


@dataclasses.dataclass(frozen=True)
class Dense:
    """One fully connected layer and what follows it."""

    weight: Array  # (outputs, inputs)
    bias: Array  # (outputs,)
    activation: str | None = None  # a key of ACTIVATIONS; None: linear


@dataclasses.dataclass(frozen=True)
class Demo:
    """The world that a demo's network was trained in."""

    env_id: str
    env_options: dict[str, Any]  # options of the environment that give the network its inputs
    inputs: int
    actions: int
    gamma: float  # as the page has it; the truth meter finds the same: any other makes it expect too much or too little


WATERWORLD = Demo("tidepool/Waterworld-v0", {}, inputs=152, actions=4, gamma=0.9)
RLDEMO = Demo("tidepool/RLDemo-v0", {"temporal_window": 1}, inputs=59, actions=5, gamma=0.7)


class KarpathyPolicy:
    """A demo's network as a ``Policy``; greedy on its Q values but for epsilon."""

    name = "karpathy_pretrained"
    default_epsilon = 0.05  # both pages set it when they load the network

    def __init__(self, demo: Demo, layers: list[Dense]) -> None:
        """Take layers that fit each other and the demo (``load`` has checked them)."""
        self.env_id: str | None = demo.env_id
        self.env_options = dict(demo.env_options)
        self.num_actions = demo.actions
        self.layers = layers
        self._gamma = demo.gamma

    @property
    def training(self) -> Training:
        """Return how the page trains its network: one step of Q-learning, and no target network."""
        return Training(self._gamma, target_network=False)

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the network's outputs: (B, inputs) -> (B, A) float64."""
        hidden = np.asarray(obs, dtype=np.float64)
        for layer in self.layers:
            hidden = hidden @ layer.weight.T + layer.bias
            if layer.activation is not None:
                hidden = ACTIVATIONS[layer.activation](hidden)
        return hidden

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the best actions (B,), each replaced by a random one with probability ``epsilon``."""
        return epsilon_greedy(self.q_values(obs).argmax(axis=-1), self.num_actions, epsilon, rng)


def load(path: Path | str) -> KarpathyPolicy:
    """Return the player in a JSON file saved by REINFORCEjs's Waterworld or ConvNetJS's RLDemo page.

    Raises:
        UserError: the file is missing, damaged, or a network of other sizes; the line names file and fault.
    """
    path = Path(path)
    try:
        saved = read_json(path)
        if isinstance(saved, dict) and "net" in saved:
            demo, layers = WATERWORLD, _reinforcejs_layers(saved["net"])
        elif isinstance(saved, dict) and "layers" in saved:
            demo, layers = RLDEMO, _convnetjs_layers(saved["layers"])
        else:
            raise _Damage("neither a REINFORCEjs agent (key 'net') nor a ConvNetJS network (key 'layers')")
        _check_sizes(demo, layers)
    except _Damage as damage:
        raise UserError(f"{path}: {damage}") from None
    return KarpathyPolicy(demo, layers)


class _Damage(Exception):
    """What is wrong inside a file; ``load`` adds the file's name."""


def _reinforcejs_layers(net: Any) -> list[Dense]:
    """Read {"W1": {"n": rows, "d": columns, "w": {"0": ...}}, "b1", "W2", "b2"}."""
    matrices = {}
    for name in ("W1", "b1", "W2", "b2"):
        matrix = _get(net, name, "net")
        rows, columns = (_count(_get(matrix, key, name), f"{name}.{key}") for key in ("n", "d"))
        matrices[name] = _numbers(_get(matrix, "w", name), rows * columns, name).reshape(rows, columns)
    return [
        Dense(matrices["W1"], matrices["b1"].ravel(), "tanh"),
        Dense(matrices["W2"], matrices["b2"].ravel()),
    ]


def _convnetjs_layers(saved: Any) -> list[Dense]:
    """Read the list of layers; each filter of an "fc" layer is one row of its matrix."""
    if not isinstance(saved, list):
        raise _Damage("'layers' is not a list")
    layers: list[Dense] = []
    for place, layer in enumerate(saved):
        kind, where = _get(layer, "layer_type", f"layer {place}"), f"layer {place}"
        if kind == "fc":
            inputs = _count(_get(layer, "num_inputs", where), f"{where}.num_inputs")
            filters = _get(layer, "filters", where)
            if not isinstance(filters, list) or not filters:
                raise _Damage(f"{where}: 'filters' is not a list of filters")
            rows = [_numbers(_get(row, "w", f"{where} filter"), inputs, f"{where} filter") for row in filters]
            bias = _numbers(_get(_get(layer, "biases", where), "w", f"{where} biases"), len(rows), f"{where} biases")
            layers.append(Dense(np.stack(rows), bias))
        elif isinstance(kind, str) and kind in ACTIVATIONS and layers:
            layers[-1] = dataclasses.replace(layers[-1], activation=kind)
        elif kind not in ("input", "regression"):
            known = ["input", "fc", "regression", *ACTIVATIONS]
            raise _Damage(f"{where} is of type '{kind}', not understood; nearest: {nearest(str(kind), known)}")
    return layers


def _check_sizes(demo: Demo, layers: list[Dense]) -> None:
    """Refuse a network that does not lead from the demo's inputs to its actions."""
    size = demo.inputs
    for number, layer in enumerate(layers, start=1):
        outputs, inputs = layer.weight.shape
        if inputs != size or layer.bias.size != outputs:
            raise _Damage(
                f"layer of weights {number} is {inputs} -> {outputs} with {layer.bias.size} biases,"
                f" but {size} inputs reach it ({demo.env_id} shows {demo.inputs})"
            )
        size = outputs
    if size != demo.actions or not layers:
        raise _Damage(f"the network has {size} outputs; {demo.env_id} has {demo.actions} actions")


def _get(mapping: Any, key: str, where: str) -> Any:
    if not isinstance(mapping, dict) or key not in mapping:
        raise _Damage(f"{where} has no '{key}'")
    return mapping[key]


def _count(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Damage(f"{where} is {value!r:.40}, not a size")
    return value


def _numbers(saved: Any, count: int, where: str) -> Array:
    """Return ``count`` finite numbers from a list or from JavaScript's {"0": ..., "1": ...}."""
    if isinstance(saved, dict):
        if set(saved) != {str(index) for index in range(len(saved))}:
            raise _Damage(f"{where}: the weights are not numbered 0, 1, 2, ...")
        saved = [saved[str(index)] for index in range(len(saved))]
    if not isinstance(saved, list):
        raise _Damage(f"{where}: the weights are neither a list nor numbered")
    if len(saved) != count:
        raise _Damage(f"{where} has {len(saved)} numbers, {count} expected")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in saved):
        raise _Damage(f"{where} holds something that is not a number")
    try:
        numbers = np.array(saved, dtype=np.float64)
    except OverflowError:
        numbers = np.array([np.inf])
    if not np.isfinite(numbers).all():
        raise _Damage(f"{where} holds a number that is not finite")
    return numbers
