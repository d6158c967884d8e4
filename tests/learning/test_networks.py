"""Networks: initial weights, input scaling, epsilon-greedy, cosine embedding, noisy and dueling layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.pqn import PQNConfig
from learning.config import LearnerConfig, torch_generator
from learning.networks import (
    CosineEmbedding,
    DuelingHead,
    NoisyLinear,
    QNetwork,
    Scale,
    count_parameters,
    epsilon_greedy,
    sampling_noise,
)
from tests.learning.helpers import close


def test_initial_weights_depend_on_the_seed_only() -> None:
    space = spaces.Box(-1, 1, (4,), np.float32)

    def weights(seed: int) -> torch.Tensor:
        return QNetwork(space, 2, LearnerConfig(hidden=(8,)), torch_generator(seed, "network")).layers[0].weight  # type: ignore[return-value]

    torch.testing.assert_close(weights(1), weights(1), rtol=0, atol=0)
    assert not torch.equal(weights(1), weights(2))


def test_scale_uses_finite_bounds_only() -> None:
    big = np.finfo(np.float32).max
    space = spaces.Box(np.array([-4, -big, 0, -np.inf, 0], np.float32), np.array([2, big, 255, np.inf, 0], np.float32))
    scaled = Scale(space)(torch.tensor([[4.0, 3.0, 255.0, 5.0, 6.0]]))
    torch.testing.assert_close(scaled, torch.tensor([[1.0, 3.0, 1.0, 5.0, 6.0]]))


def test_parameter_count_by_hand() -> None:
    """152 x 128 + 128 + 128 x 128 + 128 + 128 x 5 + 5 = 36,741 for dueling over 4 actions."""
    space = spaces.Box(-1, 1, (152,), np.float32)
    network = QNetwork(space, 4, LearnerConfig(dueling=True), torch_generator(0, "network"))
    assert count_parameters(network) == 36_741


def test_epsilon_greedy_explores_at_the_given_rate() -> None:
    rng = np.random.default_rng(0)
    greedy = np.full(100_000, 3)
    # a random action is the greedy one in a quarter of cases: 0.4 * 3/4 differ; standard error 0.0015
    assert abs((epsilon_greedy(greedy, 4, 0.4, rng) != 3).mean() - 0.3) < 0.006
    np.testing.assert_array_equal(epsilon_greedy(greedy, 4, 0.0, rng), greedy)
    assert abs((epsilon_greedy(greedy, 4, 1.0, rng) == 0).mean() - 0.25) < 0.006


def test_cosine_embedding_by_hand() -> None:
    """Fraction 1/3: cos(0), cos(pi/3), cos(2 pi/3) = 1, 0.5, -0.5, summed by weights 1, 2, 4: 1 + 1 - 2 = 0."""
    embedding = CosineEmbedding(2, cosines=3)
    with torch.no_grad():
        embedding.linear.weight.copy_(torch.tensor([[1.0, 2.0, 4.0], [-1.0, -2.0, -4.0]]))
        embedding.linear.bias.copy_(torch.tensor([0.25, -0.25]))
    close(embedding(torch.tensor([[1 / 3]])), [[[0.25, 0.0]]])
    close(embedding.fractions(7, drawn=9, fixed=4), [[0.125, 0.375, 0.625, 0.875]])
    with sampling_noise([embedding], torch_generator(1, "noise")):
        drawn = embedding.fractions(7, drawn=9, fixed=4)
    assert drawn.shape == (7, 9)
    assert 0 < drawn.min() < 0.2 < 0.8 < drawn.max() < 1


def test_factorised_noise_by_hand() -> None:
    """The noise of a row has rank one: weight (j, i) changes by sigma f(e_j) f(e_i)."""
    layer = NoisyLinear(4, 3, sigma=1.0)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    with sampling_noise([layer], torch_generator(1, "noise")):
        generator = torch_generator(1, "noise")
        shape_in, shape_out = torch.randn((1, 4), generator=generator), torch.randn((1, 3), generator=generator)
        f_in, f_out = (e.sign() * e.abs().sqrt() for e in (shape_in, shape_out))
        x = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
        # sigma / sqrt(4) = 0.5 for every weight and bias
        weight, bias = 0.5 * f_out.T @ f_in, 0.5 * f_out[0]
        close(layer(x), x @ weight.T + bias)


def test_noise_differs_by_row_and_is_shared_by_its_fractions() -> None:
    layer = NoisyLinear(6, 2)
    x = torch.ones(3, 5, 6)
    with sampling_noise([layer], torch_generator(1, "noise")):
        out = layer(x)
    assert out.shape == (3, 5, 2)
    close(out, out[:, :1].expand_as(out))
    assert not torch.allclose(out[0], out[1])
    close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert layer.generator is None


def test_the_network_of_pqns_authors() -> None:
    """flax: the last layer's variance is LeCun's, 1 / inputs, others' He's, 2 / inputs; LayerNorm adds 1e-6."""
    config = PQNConfig(hidden=(400, 300), last_layer="lecun", norm_epsilon=1e-6)
    space = spaces.Box(-1, 1, (50,), np.float32)
    network = QNetwork(space, 200, config, torch_generator(1, "network"))
    weights = dict(network.named_parameters())
    assert weights["output.linear.weight"].var().item() == pytest.approx(1 / 300, rel=0.02)
    assert weights["layers.1.weight"].var().item() == pytest.approx(2 / 400, rel=0.02)
    assert {norm.eps for norm in network.norms} == {1e-6}
    # by default the last layer is small, and the epsilon torch's
    plain = QNetwork(space, 200, PQNConfig(hidden=(400, 300)), torch_generator(1, "network"))
    rows = dict(plain.named_parameters())["output.linear.weight"]
    close(rows @ rows.T, 0.01 * torch.eye(200), atol=1e-6)
    assert {norm.eps for norm in plain.norms} == {1e-5}


def test_noise_has_the_expected_variance() -> None:
    """f(e)^2 is |e|, whose mean is sqrt(2 / pi): so the variance of one output of p ones is sigma^2 (2/pi + .../p)."""
    layer = NoisyLinear(16, 1, sigma=0.5)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    with sampling_noise([layer], torch_generator(7, "noise")):
        out = layer(torch.ones(40_000, 16))
    # 16 weights: (0.5/4)^2 * 16 * E|e| E|e'|; bias: (0.5/4)^2 * E|e|; E|e| = 0.797885; they are uncorrelated
    expected = 0.125**2 * (16 * 0.797885**2 + 0.797885)
    assert out.var().item() == pytest.approx(expected, rel=0.04)
    assert abs(out.mean().item()) < 0.01


def test_dueling_head_by_hand() -> None:
    """Advantages 1, 2, 6 (mean 3) and value 10: Q = 10 + (1 - 3, 2 - 3, 6 - 3) = 8, 9, 13."""
    head = DuelingHead(1, 3, 1, (), dueling=True)
    with torch.no_grad():
        head.linear.weight.zero_()  # type: ignore[operator]
        head.linear.bias.copy_(torch.tensor([1.0, 2.0, 6.0, 10.0]))  # type: ignore[operator]
    torch.testing.assert_close(head(torch.zeros(1, 1)), torch.tensor([[[8.0], [9.0], [13.0]]]))


def test_dueling_streams_with_hidden_layers_by_hand() -> None:
    """Two outputs per action: advantages (1, 2, 6) and (0, 0, 3), values 10 and 20; each output has its own mean."""
    head = DuelingHead(1, 3, 2, (2,), dueling=True)
    with torch.no_grad():
        for layer in head.last_layers:
            layer.weight.zero_()  # type: ignore[operator]
        head.linear.bias.copy_(torch.tensor([1.0, 0.0, 2.0, 0.0, 6.0, 3.0]))  # type: ignore[operator]
        head.value.bias.copy_(torch.tensor([10.0, 20.0]))  # type: ignore[operator]
    expected = torch.tensor([[[8.0, 19.0], [9.0, 19.0], [13.0, 22.0]]])
    torch.testing.assert_close(head(torch.zeros(1, 1)), expected)
