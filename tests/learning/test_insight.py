"""What can be read of a network besides its Q values, against values computed by hand and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from agents import AGENTS, karpathy
from agents.apple_chaser import AppleChaser
from agents.family import network as draw
from agents.policy import RandomPolicy
from learning.config import FamilyConfig, LearnerConfig, torch_generator
from learning.heads import HEADS, QOutput
from learning.insight import NetworkReader, Neuron, Readable, distribution, reader_of
from learning.networks import QNetwork
from learning.policy import NetworkPolicy, player
from learning.stream import StreamNetwork

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"
VECTOR = spaces.Box(-1, 1, (6,), np.float32)
FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
ACTIONS = 3


def policy_of(agent: str, space: spaces.Box, **settings: Any) -> NetworkPolicy:
    """Return a small agent with initial weights."""
    recipe = AGENTS[agent]
    switches = {**recipe.switches, "hidden": (16,), **settings}
    if space is FRAMES and agent != "stream_q":
        switches["encoder"] = "small"
    config = recipe.config(**switches)
    network = recipe.network(space, ACTIONS, config, torch_generator(3, "network"))
    return player(agent, config, "CartPole-v1", network, ACTIONS)


def sample(space: spaces.Box, seed: int = 0) -> NDArray[Any]:
    return np.asarray(spaces.Box(space.low, space.high, space.shape, space.dtype.type, seed=seed).sample())


def with_statistics(network: nn.Module) -> nn.Module:
    """Give Stream-Q's running statistics some observations."""
    if isinstance(network, StreamNetwork):
        for seed in range(5):
            network.observe(torch.from_numpy(sample(VECTOR, seed)))
    return network


# ---------------------------------------------------------------------------------------- insight


@pytest.mark.parametrize("space", [VECTOR, FRAMES], ids=["vectors", "frames"])
@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_can_be_read(agent: str, space: spaces.Box) -> None:
    policy, obs = policy_of(agent, space), sample(space)
    assert isinstance(policy, Readable)
    insight = policy.reader().insight(obs)
    # to rounding: with hooks convolutions go layer by layer, without them as `learning.encoders` does
    np.testing.assert_allclose(insight.q_values, policy.q_values(obs[None])[0], rtol=1e-5, atol=1e-6)
    assert insight.activations, "at least one hidden layer"
    names = [name for name, _ in insight.activations]
    assert len(set(names)) == len(names)
    if space is FRAMES:
        maps = [values for name, values in insight.activations if name.startswith("convolution")]
        assert maps
        assert all(values.ndim == 3 for values in maps)
    assert all(np.isfinite(values).all() for _, values in insight.activations)
    head = getattr(AGENTS[agent].config(**AGENTS[agent].switches), "head", "expected")
    assert (insight.distribution is None) == (head == "expected")
    if insight.distribution is not None:
        check_distribution(insight.distribution, insight.q_values)
    assert policy.reader().saliency(obs, 1).shape == ((84, 84) if space is FRAMES else (6,))


def check_distribution(found: Any, q_values: NDArray[np.float64]) -> None:
    assert found.returns.shape == found.probabilities.shape
    assert len(found.returns) == len(q_values)
    assert (found.probabilities >= 0).all()
    np.testing.assert_allclose(found.probabilities.sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose((found.probabilities * found.returns).sum(1), q_values, atol=1e-5)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_the_mean_of_every_heads_distribution_is_its_q_value(head: str, dueling: bool) -> None:
    config = FamilyConfig(head=head, dueling=dueling, hidden=(8,), head_hidden=(8,), v_min=-3.0, v_max=7.0)  # type: ignore[arg-type]
    network = draw(VECTOR, ACTIONS, config, torch_generator(1, "network"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)  # otherwise all returns are almost equally likely
    insight = NetworkReader(network).insight(sample(VECTOR))
    if head == "expected":
        assert insight.distribution is None
        return
    assert insight.distribution is not None
    check_distribution(insight.distribution, insight.q_values)
    assert np.ptp(insight.distribution.returns, axis=1).min() > 0
    if head in ("categorical", "histogram"):
        inset = 5 / 51 if head == "histogram" else 0.0  # half a bin: bins end at the ends
        expected = np.linspace(-3 + inset, 7 - inset, 51)
        np.testing.assert_allclose(insight.distribution.returns[2], expected, atol=1e-5)


def test_a_categorical_distribution_by_hand() -> None:
    """Logits log 1, log 1, log 2 are 1/4, 1/4, 1/2; returns -1, 0, 1: a mean of 1/4. The other row is uniform: 0."""
    logits = torch.log(torch.tensor([[[1.0, 1.0, 2.0], [5.0, 5.0, 5.0]]]))
    output = QOutput(torch.tensor([[0.25, 0.0]]), torch.tensor([-1.0, 0.0, 1.0]), logits)
    found = distribution(output)
    assert found is not None
    np.testing.assert_allclose(found.probabilities, [[0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]], atol=1e-7)
    np.testing.assert_array_equal(found.returns, [[-1, 0, 1], [-1, 0, 1]])


def test_quantiles_are_equally_likely_and_not_sorted() -> None:
    returns = torch.tensor([[[3.0, 1.0], [0.0, 1.0]]])
    found = distribution(QOutput(returns.mean(2), returns, None, torch.tensor([[0.25, 0.75]])))
    assert found is not None
    np.testing.assert_array_equal(found.probabilities, [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(found.returns, [[3, 1], [0, 1]])


def small_network() -> QNetwork:
    """Return a network of two inputs, two rectified units and two actions; the bounds are 2, so inputs are halved."""
    space = spaces.Box(-2, 2, (2,), np.float32)
    network = QNetwork(space, 2, LearnerConfig(hidden=(2,)), torch_generator(0, "network"))
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 1.0]]))  # type: ignore[operator]
        network.layers[0].bias.copy_(torch.tensor([0.5, 0.0]))  # type: ignore[operator]
        network.output.linear.weight.copy_(torch.tensor([[1.0, 1.0], [3.0, -1.0]]))  # type: ignore[operator]
        network.output.linear.bias.zero_()  # type: ignore[operator]
    return network


def test_activations_and_gradients_by_hand() -> None:
    """Inputs (2, 1), halved (1, 0.5): 1 + 1 + 0.5 = 2.5, and -1 + 0.5 = -0.5, rectified 0. Q = (2.5, 7.5).

    Only the first unit is active: dQ(1) / d input = 3 * (1, 2) / 2 = (1.5, 3). The second unit's own gradient, before
    its rectifier, is (-1, 1) / 2 although it is inactive.
    """
    reader, obs = NetworkReader(small_network()), np.array([2.0, 1.0], np.float32)
    insight = reader.insight(obs)
    np.testing.assert_allclose(insight.q_values, [2.5, 7.5])
    assert [name for name, _ in insight.activations] == ["hidden 1"]
    np.testing.assert_allclose(insight.activations[0][1], [2.5, 0.0])
    np.testing.assert_allclose(reader.saliency(obs, 1), [1.5, 3.0])
    np.testing.assert_allclose(reader.first_weights(), [[1, 2], [-1, 1]])
    inactive = Neuron("hidden 1", 1)
    np.testing.assert_allclose(reader.excitation(np.stack([obs, -obs]), inactive), [-0.5, 0.5])
    excitation, gradient = reader.excitation_gradient(obs, inactive)
    assert excitation == pytest.approx(-0.5)
    np.testing.assert_allclose(gradient, [-0.5, 0.5])
    with pytest.raises(KeyError):
        reader.excitation(obs[None], Neuron("hidden 2", 0))


def test_the_last_hidden_layer_is_the_heads_input() -> None:
    for settings in ({}, {"layer_norm": True}, {"encoder": "impala", "layer_norm": True}):
        config = FamilyConfig(hidden=(16, 8), **settings)
        space = FRAMES if settings.get("encoder") else VECTOR
        network = draw(space, ACTIONS, config, torch_generator(1, "network"))
        obs = sample(space)
        activations = dict(NetworkReader(network).insight(obs).activations)
        with torch.no_grad():
            features = network.features(torch.from_numpy(obs[None]))[0].numpy()
        np.testing.assert_allclose(activations["hidden 2"], features, rtol=1e-6)
        assert (activations["hidden 1"] >= 0).all()


def test_feature_maps_are_the_inputs_of_the_next_layer() -> None:
    policy, obs = policy_of("dqn", FRAMES), sample(FRAMES)
    activations = dict(policy.reader().insight(obs).activations)
    encoder = policy.network.convolutions
    frames = torch.from_numpy(obs[None]).float() / 255
    with torch.no_grad():
        first = torch.relu(encoder.layers[0](frames))  # type: ignore[index, operator, union-attr]
        last = encoder(torch.from_numpy(obs[None]))  # type: ignore[operator]
    np.testing.assert_allclose(activations["convolution 1"], first[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(activations["convolution 2"].ravel(), last[0].numpy(), atol=1e-6)


def test_stream_q_activations_are_normalised() -> None:
    policy = policy_of("stream_q", VECTOR, hidden=(16, 8))
    with_statistics(policy.network)
    insight = policy.reader().insight(sample(VECTOR))
    assert [name for name, _ in insight.activations] == ["hidden 1", "hidden 2"]
    with torch.no_grad():
        last = torch.from_numpy(insight.activations[-1][1]).float()
        q = policy.network.head(last) * policy.network.rewards.value  # type: ignore[operator, union-attr]
    np.testing.assert_allclose(q.numpy(), insight.q_values, atol=1e-6)


def test_an_unknown_network_shows_its_weighted_layers() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 5), nn.Linear(5, ACTIONS)

        def forward(self, obs: torch.Tensor) -> QOutput:
            return QOutput(self.last(torch.tanh(self.first(obs))))

    reader, obs = NetworkReader(Other()), sample(VECTOR)
    insight = reader.insight(obs)
    assert [(name, values.shape) for name, values in insight.activations] == [("first", (5,)), ("last", (3,))]
    np.testing.assert_array_equal(insight.activations[-1][1], insight.q_values)
    assert reader.saliency(obs, 0).shape == (6,)


# --------------------------------------------------------------------------------------- gradients


def finite_differences(
    value: Callable[[NDArray[np.float64]], Any], x: NDArray[Any], entries: Any, h: float
) -> NDArray[np.float64]:
    """Return central differences of value(x) at some entries."""
    found = []
    for entry in entries:
        up, down = x.astype(np.float64), x.astype(np.float64)
        up[entry] += h
        down[entry] -= h
        found.append((value(up) - value(down)) / (2 * h))
    return np.array(found)


@pytest.mark.parametrize("agent", AGENTS)
def test_saliency_against_finite_differences(agent: str) -> None:
    policy, obs = policy_of(agent, VECTOR), sample(VECTOR)
    with_statistics(policy.network)
    numerical = finite_differences(lambda x: policy.q_values(x.astype(np.float32)[None])[0, 2], obs, range(6), 2e-3)
    found = policy.reader().saliency(obs, 2)
    assert found.max() > 0
    np.testing.assert_allclose(found, np.abs(numerical), atol=0.01 * found.max())


@pytest.mark.parametrize("agent", ["dqn", "rainbow_iqn", "pqn", "stream_q"])
def test_saliency_of_frames_is_summed_over_the_stack(agent: str) -> None:
    policy, obs = policy_of(agent, FRAMES), sample(FRAMES)
    found = policy.reader().saliency(obs, 0)
    assert found.shape == (84, 84)
    for row, column in ((40, 40), (20, 61)):
        stack = [(frame, row, column) for frame in range(4)]
        numerical = finite_differences(lambda x: policy.q_values(x.astype(np.float32)[None])[0, 0], obs, stack, 1.0)
        assert found[row, column] == pytest.approx(np.abs(numerical).sum(), abs=0.03 * found.max())


@pytest.mark.parametrize("neuron", [Neuron("hidden 1", 4), Neuron("convolution 2", 7)])
def test_excitation_gradient_against_finite_differences(neuron: Neuron) -> None:
    reader, obs = policy_of("dqn", FRAMES).reader(), sample(FRAMES).astype(np.float64)
    excitation, gradient = reader.excitation_gradient(obs, neuron)
    assert gradient.shape == obs.shape
    assert reader.excitation(obs[None], neuron)[0] == pytest.approx(excitation, abs=1e-5)
    steepest = [tuple(int(i) for i in np.unravel_index(np.abs(gradient).argmax(), obs.shape))]
    numerical = finite_differences(lambda x: reader.excitation(x[None], neuron)[0], obs, steepest, 0.5)
    assert gradient[steepest[0]] == pytest.approx(numerical[0], rel=0.03)


def test_excitation_is_taken_before_the_rectifier() -> None:
    """Black frames leave the bias, of either sign; the encoder's rectifier, which is in place, comes after it."""
    policy, black = policy_of("dqn", FRAMES), np.zeros((1, *FRAMES.shape), np.uint8)
    bias = policy.network.convolutions.layers[0].bias.detach().numpy()  # type: ignore[index, union-attr]
    found = [policy.reader().excitation(black, Neuron("convolution 1", unit))[0] for unit in range(16)]
    np.testing.assert_allclose(found, bias, atol=1e-7)
    assert bias.min() < 0


def test_reading_does_not_change_the_network() -> None:
    """Spectral normalisation updates u and v where gradients are enabled, but not for the reader."""
    config = FamilyConfig(hidden=(8,), encoder="impala", impala_pool=2, spectral_norm=True, noisy=True)
    network = draw(FRAMES, ACTIONS, config, torch_generator(1, "network"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reader, obs = NetworkReader(network), sample(FRAMES)
    reader.saliency(obs, 0)
    reader.excitation_gradient(obs, Neuron("block 1", 3))
    reader.insight(obs)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_first_layer_is_the_one_the_observation_enters() -> None:
    assert policy_of("dqn", FRAMES).reader().first_weights().shape == (16, 4, 6, 6)
    assert policy_of("noisy_dqn", VECTOR).reader().first_weights().shape == (16, 6)
    # not the layer that embeds quantile fractions, 64 -> 6, which comes before it
    without = policy_of("iqn", VECTOR, hidden=(), head_hidden=(8,))
    assert without.reader().first_weights().shape == (8, 6)


# ---------------------------------------------------------------------------------- other policies


@pytest.mark.parametrize("name", ["reinforcejs_wateragent.json", "convnetjs_rldemo_net.json"])
def test_karpathys_networks_can_be_read(name: str) -> None:
    policy = karpathy.load(PRETRAINED / name)
    reader = reader_of(policy)
    assert reader is not None
    obs = np.random.default_rng(1).random((policy.layers[0].weight.shape[1],), np.float32)
    insight = reader.insight(obs)
    np.testing.assert_allclose(insight.q_values, policy.q_values(obs[None])[0], rtol=1e-12)
    assert insight.distribution is None
    assert [values.shape for _, values in insight.activations] == [layer.bias.shape for layer in policy.layers[:-1]]
    layer = policy.layers[0]
    assert layer.activation is not None
    first = karpathy.ACTIVATIONS[layer.activation](layer.weight @ obs + layer.bias)
    np.testing.assert_allclose(insight.activations[0][1], first, rtol=1e-12)
    numerical = finite_differences(lambda x: policy.q_values(x[None])[0, 3], obs, range(len(obs)), 1e-6)
    np.testing.assert_allclose(reader.saliency(obs, 3), np.abs(numerical), atol=1e-6)
    np.testing.assert_array_equal(reader.first_weights(), policy.layers[0].weight)


def test_scripted_and_random_policies_have_no_reader() -> None:
    for policy in (RandomPolicy(4), AppleChaser(), None):
        assert not isinstance(policy, Readable)
        assert reader_of(policy) is None
