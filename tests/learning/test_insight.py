"""What a network says beyond its expectations, against numbers worked out by hand and finite differences."""

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
from agents.loading import load_policy
from agents.policy import RandomPolicy
from learning.config import FamilyConfig, LearnerConfig, RolloutConfig, torch_generator
from learning.heads import HEADS, QOutput
from learning.insight import NetworkReader, Neuron, Readable, distribution, reader_of
from learning.networks import QNetwork
from learning.policy import Munchausen, NetworkPolicy, Training, player
from learning.stream import StreamNetwork

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"
VECTOR = spaces.Box(-1, 1, (6,), np.float32)
FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
ACTIONS = 3


def policy_of(agent: str, space: spaces.Box, **settings: Any) -> NetworkPolicy:
    """Return a freshly drawn, small agent."""
    recipe = AGENTS[agent]
    switches = {**recipe.switches, "hidden": (16,), **settings}
    if space is FRAMES and agent != "stream_q":
        switches["encoder"] = "small"
    config = recipe.config(**switches)
    network = recipe.network(space, ACTIONS, config, torch_generator(3, "network"))
    return player(agent, config, "CartPole-v1", network, ACTIONS)


def sample(space: spaces.Box, seed: int = 0) -> NDArray[Any]:
    return np.asarray(spaces.Box(space.low, space.high, space.shape, space.dtype.type, seed=seed).sample())


def settled(network: nn.Module) -> nn.Module:
    """Let Stream-Q's statistics know something."""
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
    np.testing.assert_array_equal(insight.q_values, policy.q_values(obs[None])[0])
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
def test_the_mean_of_every_heads_distribution_is_the_expectation(head: str, dueling: bool) -> None:
    config = FamilyConfig(head=head, dueling=dueling, hidden=(8,), head_hidden=(8,), v_min=-3.0, v_max=7.0)  # type: ignore[arg-type]
    network = draw(VECTOR, ACTIONS, config, torch_generator(1, "network"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)  # else all returns are nearly equally likely
    insight = NetworkReader(network).insight(sample(VECTOR))
    if head == "expected":
        assert insight.distribution is None
        return
    assert insight.distribution is not None
    check_distribution(insight.distribution, insight.q_values)
    assert np.ptp(insight.distribution.returns, axis=1).min() > 0
    if head in ("categorical", "histogram"):
        np.testing.assert_allclose(insight.distribution.returns[2], np.linspace(-3, 7, 51), atol=1e-5)


def test_a_categorical_distribution_by_hand() -> None:
    """Logits log 1, log 1, log 2 are 1/4, 1/4, 1/2; returns -1, 0, 1: a mean of 1/4. The other row is even: 0."""
    logits = torch.log(torch.tensor([[[1.0, 1.0, 2.0], [5.0, 5.0, 5.0]]]))
    said = QOutput(torch.tensor([[0.25, 0.0]]), torch.tensor([-1.0, 0.0, 1.0]), logits)
    found = distribution(said)
    assert found is not None
    np.testing.assert_allclose(found.probabilities, [[0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]], atol=1e-7)
    np.testing.assert_array_equal(found.returns, [[-1, 0, 1], [-1, 0, 1]])


def test_quantiles_are_equally_likely_and_keep_their_order() -> None:
    returns = torch.tensor([[[3.0, 1.0], [0.0, 1.0]]])
    found = distribution(QOutput(returns.mean(2), returns, None, torch.tensor([[0.25, 0.75]])))
    assert found is not None
    np.testing.assert_array_equal(found.probabilities, [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(found.returns, [[3, 1], [0, 1]])


def by_hand() -> QNetwork:
    """Two inputs, two rectified units, two actions; 2 is the largest input, so inputs are halved."""
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

    Only the first unit is on: dQ(1) / d input = 3 * (1, 2) / 2 = (1.5, 3). The second unit's own gradient, before
    its rectifier, is (-1, 1) / 2 although it is off.
    """
    reader, obs = NetworkReader(by_hand()), np.array([2.0, 1.0], np.float32)
    insight = reader.insight(obs)
    np.testing.assert_allclose(insight.q_values, [2.5, 7.5])
    assert [name for name, _ in insight.activations] == ["hidden 1"]
    np.testing.assert_allclose(insight.activations[0][1], [2.5, 0.0])
    np.testing.assert_allclose(reader.saliency(obs, 1), [1.5, 3.0])
    np.testing.assert_allclose(reader.first_weights(), [[1, 2], [-1, 1]])
    off = Neuron("hidden 1", 1)
    np.testing.assert_allclose(reader.excitation(np.stack([obs, -obs]), off), [-0.5, 0.5])
    excitation, gradient = reader.excitation_gradient(obs, off)
    assert excitation == pytest.approx(-0.5)
    np.testing.assert_allclose(gradient, [-0.5, 0.5])
    with pytest.raises(KeyError):
        reader.excitation(obs[None], Neuron("hidden 2", 0))


def test_the_last_hidden_layer_is_what_the_head_sees() -> None:
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


def test_feature_maps_are_those_that_the_next_layer_sees() -> None:
    policy, obs = policy_of("dqn", FRAMES), sample(FRAMES)
    activations = dict(policy.reader().insight(obs).activations)
    encoder = policy.network.convolutions
    frames = torch.from_numpy(obs[None]).float() / 255
    with torch.no_grad():
        first = torch.relu(encoder.layers[0](frames))  # type: ignore[index, operator, union-attr]
        last = encoder(torch.from_numpy(obs[None]))  # type: ignore[operator]
    np.testing.assert_allclose(activations["convolution 1"], first[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(activations["convolution 2"].ravel(), last[0].numpy(), atol=1e-6)


def test_stream_q_activations_are_its_normalised_ones() -> None:
    policy = policy_of("stream_q", VECTOR, hidden=(16, 8))
    settled(policy.network)
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


def slopes(value: Callable[[NDArray[np.float64]], Any], x: NDArray[Any], places: Any, h: float) -> NDArray[np.float64]:
    """Return central differences of value(x) at some entries."""
    found = []
    for place in places:
        up, down = x.astype(np.float64), x.astype(np.float64)
        up[place] += h
        down[place] -= h
        found.append((value(up) - value(down)) / (2 * h))
    return np.array(found)


@pytest.mark.parametrize("agent", AGENTS)
def test_saliency_is_the_slope_of_the_expectation(agent: str) -> None:
    policy, obs = policy_of(agent, VECTOR), sample(VECTOR)
    settled(policy.network)
    measured = slopes(lambda x: policy.q_values(x.astype(np.float32)[None])[0, 2], obs, range(6), 2e-3)
    found = policy.reader().saliency(obs, 2)
    assert found.max() > 0
    np.testing.assert_allclose(found, np.abs(measured), atol=0.01 * found.max())


@pytest.mark.parametrize("agent", ["dqn", "rainbow_iqn", "pqn", "stream_q"])
def test_saliency_of_frames_is_summed_over_the_stack(agent: str) -> None:
    policy, obs = policy_of(agent, FRAMES), sample(FRAMES)
    found = policy.reader().saliency(obs, 0)
    assert found.shape == (84, 84)
    for row, column in ((40, 40), (20, 61)):
        stack = [(frame, row, column) for frame in range(4)]
        measured = slopes(lambda x: policy.q_values(x.astype(np.float32)[None])[0, 0], obs, stack, 1.0)
        assert found[row, column] == pytest.approx(np.abs(measured).sum(), abs=0.03 * found.max())


@pytest.mark.parametrize("neuron", [Neuron("hidden 1", 4), Neuron("convolution 2", 7)])
def test_the_gradient_of_an_excitation_is_its_slope(neuron: Neuron) -> None:
    reader, obs = policy_of("dqn", FRAMES).reader(), sample(FRAMES).astype(np.float64)
    excitation, gradient = reader.excitation_gradient(obs, neuron)
    assert gradient.shape == obs.shape
    assert reader.excitation(obs[None], neuron)[0] == pytest.approx(excitation, abs=1e-5)
    steepest = [tuple(int(i) for i in np.unravel_index(np.abs(gradient).argmax(), obs.shape))]
    measured = slopes(lambda x: reader.excitation(x[None], neuron)[0], obs, steepest, 0.5)
    assert gradient[steepest[0]] == pytest.approx(measured[0], rel=0.03)


def test_a_filter_that_is_off_tells_how_far() -> None:
    """Black frames leave the bias, of either sign: the encoder's own rectifier, which works in place, comes later."""
    policy, black = policy_of("dqn", FRAMES), np.zeros((1, *FRAMES.shape), np.uint8)
    bias = policy.network.convolutions.layers[0].bias.detach().numpy()  # type: ignore[index, union-attr]
    found = [policy.reader().excitation(black, Neuron("convolution 1", unit))[0] for unit in range(16)]
    np.testing.assert_allclose(found, bias, atol=1e-7)
    assert bias.min() < 0


def test_reading_leaves_the_network_alone() -> None:
    """Spectral normalisation moves its vectors wherever gradients flow: not here."""
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


def test_the_first_layer_is_the_one_that_the_observation_reaches() -> None:
    assert policy_of("dqn", FRAMES).reader().first_weights().shape == (16, 4, 6, 6)
    assert policy_of("noisy_dqn", VECTOR).reader().first_weights().shape == (16, 6)
    # not the layer that embeds quantile fractions, 64 -> 6, which stands before it
    without = policy_of("iqn", VECTOR, hidden=(), head_hidden=(8,))
    assert without.reader().first_weights().shape == (8, 6)


# ---------------------------------------------------------------------------------- other players


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
    measured = slopes(lambda x: policy.q_values(x[None])[0, 3], obs, range(len(obs)), 1e-6)
    np.testing.assert_allclose(reader.saliency(obs, 3), np.abs(measured), atol=1e-6)
    np.testing.assert_array_equal(reader.first_weights(), policy.layers[0].weight)


def test_scripts_and_chance_have_nothing_to_read() -> None:
    for policy in (RandomPolicy(4), AppleChaser(), None):
        assert not isinstance(policy, Readable)
        assert reader_of(policy) is None


# --------------------------------------------------------------------------------- how it learnt


def test_agents_tell_how_they_learnt() -> None:
    water, pong = load_policy(PRETRAINED / "waterworld"), load_policy(PRETRAINED / "pong")
    assert isinstance(water, NetworkPolicy)
    assert isinstance(pong, NetworkPolicy)
    assert water.training == Training(gamma=0.98, double=True, n_step=3)
    # dqn_zoo's rules: in learning a lost life ends the return
    assert pong.training == Training(
        gamma=0.99, clip_rewards=True, life_loss_ends=True, target_network=False, q_lambda=0.9
    )


def test_how_munchausen_and_rollouts_learnt() -> None:
    config = FamilyConfig(munchausen=True, munchausen_network="online", head="implicit_quantile", n_step=3)
    told = Training.of(config)
    assert told.munchausen == Munchausen(0.9, 0.03, -1.0, by_online=True)
    assert (told.head, told.n_step, told.target_network) == ("implicit_quantile", 3, True)
    assert Training.of(RolloutConfig(q_lambda=0.3)).q_lambda == 0.3
    assert Training.of(AGENTS["stream_q"].config()).trace_decay == 0.8


def test_choosing_by_known_expectations_is_acting() -> None:
    policy = policy_of("dqn", VECTOR)
    obs = np.stack([sample(VECTOR, seed) for seed in range(20)])
    for epsilon in (0.0, 0.5):
        acted = policy.act(obs, epsilon, np.random.default_rng(7))
        chosen = policy.choose(policy.q_values(obs), epsilon, np.random.default_rng(7))
        np.testing.assert_array_equal(acted, chosen)
    assert len(set(acted.tolist())) > 1
