"""Heads against numbers worked out by hand, against each other, and against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from agents import recipe
from agents.family import network as draw
from learning.config import FamilyConfig, torch_generator
from learning.heads import (
    HEADS,
    Categorical,
    Histogram,
    ImplicitQuantile,
    NextPolicy,
    QOutput,
    Quantile,
    divergence,
    greedy,
    project,
    quantile_huber,
    smear,
    soft,
)
from learning.learner import Learner
from learning.losses import td_loss
from learning.networks import CosineEmbedding, NoisyLinear, sampling_noise
from learning.recipe import Recipe
from learning.replay import Batch

BOX = spaces.Box(-1, 1, (3,), np.float32)
ATOMS = torch.tensor([-1.0, 0.0, 1.0, 2.0])


def close(found: Tensor, wanted: Any, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=found.dtype), atol=atol, rtol=1e-5)


# ------------------------------------------------------------------------------------ categorical


def test_projection_by_hand() -> None:
    """Atoms -1, 0, 1, 2. 0.25 lies a quarter of the way from 0 to 1; 1 is an atom; 7 and -3 count as the ends."""
    returns = torch.tensor([[0.25, 1.0], [7.0, -3.0]])
    shares = torch.tensor([[0.6, 0.4], [0.9, 0.1]])
    close(project(returns, shares, ATOMS), [[0, 0.45, 0.55, 0], [0.1, 0, 0, 0.9]])


def test_what_is_no_number_stays_none_and_raises_nothing() -> None:
    returns = torch.tensor([[float("nan"), 1.0], [0.0, 1.0]])
    projected = project(returns, torch.full((2, 2), 0.5), ATOMS)
    assert projected[0].isnan().any()
    assert projected[1].isfinite().all()


def test_projection_keeps_the_mean_and_the_mass() -> None:
    generator = torch_generator(3, "network")
    returns = torch.rand((50, 9), generator=generator) * 3 - 1
    shares = torch.softmax(torch.randn((50, 9), generator=generator), 1)
    projected = project(returns, shares, ATOMS)
    close(projected.sum(1), torch.ones(50))
    close(projected @ ATOMS, (returns * shares).sum(1), atol=1e-5)
    assert projected.min() >= 0


def test_the_categorical_backup_by_hand() -> None:
    """Probabilities (1/2, 0, 1/2, 0) of -1 and 1 in the best action; reward 0.5, discount 0.5: 0 and 1 follow.

    In the other action all is at 2, and its expectation 2 is not the best only because the policy says so.
    """
    config = FamilyConfig(head="categorical", num_atoms=4, v_min=-1, v_max=2)
    low = -1e9
    logits = torch.tensor([[[0.0, low, 0.0, low], [low, low, low, 0.0]]])
    following = Categorical(config)(logits, None)
    close(following.q_values, [[0.0, 2.0]])
    first = NextPolicy(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    one = Categorical.td_target(following, first, torch.tensor([0.5]), torch.tensor([0.5]), config)
    close(one, [[0, 0.5, 0.5, 0]])
    # half of each action: the second one comes to 0.5 + 0.5 * 2 = 1.5, between the atoms 1 and 2
    both = NextPolicy(torch.tensor([[0.5, 0.5]]), torch.zeros(1, 2))
    mixed = Categorical.td_target(following, both, torch.tensor([0.5]), torch.tensor([0.5]), config)
    close(mixed, [[0, 0.25, 0.25 + 0.25, 0.25]])
    # terminated: whatever comes next, the reward is all
    over = Categorical.td_target(following, both, torch.tensor([1.0]), torch.tensor([0.0]), config)
    close(over, [[0, 0, 1, 0]])


def test_divergence_by_hand() -> None:
    """Said: halves; goal: 1/4 and 3/4. 0.25 log(0.25 / 0.5) + 0.75 log(0.75 / 0.5) = 0.130812; perfect is 0."""
    close(divergence(torch.zeros(1, 2), torch.tensor([[0.25, 0.75]])), [0.130812])
    close(divergence(torch.tensor([[0.0, np.log(3)]]), torch.tensor([[0.25, 0.75]])), [0.0])
    close(divergence(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])), [np.log(2)])


# ---------------------------------------------------------------------------------------- quantile


def test_quantile_huber_by_hand() -> None:
    """Returns 0 and 3 at the fractions 0.25 and 0.75, goals 1 and 5.

    Errors of 0: 1 and 5, Huber 0.5 and 4.5, both weighed 0.25: mean 0.625. Errors of 3: -2 and 2, Huber 1.5 each,
    weighed |0.75 - 1| and 0.75: mean 0.75. The sum is 1.375.
    """
    loss = quantile_huber(torch.tensor([[0.0, 3.0]]), torch.tensor([[0.25, 0.75]]), torch.tensor([[1.0, 5.0]]))
    close(loss, [1.375])


def test_the_quantile_backup_by_hand() -> None:
    """Quantiles (0, 2) and (1, 5), half each, entropies 0.1 and 0.3: 1 + 0.5 ((0.1 + 1.3) / 2, (2.1 + 5.3) / 2)."""
    config = FamilyConfig(head="quantile", num_quantiles=2)
    following = Quantile(config)(torch.tensor([[[0.0, 2.0], [1.0, 5.0]]]), None)
    close(following.q_values, [[1.0, 3.0]])
    assert following.fractions is not None
    close(following.fractions, [[0.25, 0.75]])
    policy = NextPolicy(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.1, 0.3]]))
    close(Quantile.td_target(following, policy, torch.tensor([1.0]), torch.tensor([0.5]), config), [[1.35, 2.85]])


def test_quantile_regression_finds_the_quantiles() -> None:
    """Returns 0 (30 %) and 1 (70 %) for ever: below the fraction 0.3 the answer is 0, above it 1."""
    returns = torch.full((1, 4), 0.5, requires_grad=True)
    fractions, goal = torch.tensor([[0.125, 0.25, 0.375, 0.875]]), torch.tensor([[0.0] * 3 + [1.0] * 7])
    for _ in range(2000):
        (gradient,) = torch.autograd.grad(quantile_huber(returns, fractions, goal).sum(), returns)
        returns = (returns - 0.05 * gradient).detach().requires_grad_()
    # Huber's rounded corner makes an expectile of it: the weights of both sides balance
    # at f (1 - x) 0.7 = (1 - f) x 0.3, so x = 0.7 f / (0.7 f + 0.3 (1 - f))
    wanted = [0.7 * f / (0.7 * f + 0.3 * (1 - f)) for f in (0.125, 0.25, 0.375, 0.875)]
    close(returns, [wanted], atol=1e-4)


def test_implicit_quantiles_are_read_by_action() -> None:
    """Two fractions, three actions: numbers (B, N, A, 1) become returns (B, A, N) and their means."""
    numbers = torch.tensor([[[[1.0], [2.0], [3.0]], [[5.0], [6.0], [8.0]]]])
    fractions = torch.tensor([[0.2, 0.9]])
    out = ImplicitQuantile(FamilyConfig(head="implicit_quantile"))(numbers, fractions)
    assert out.returns is not None
    close(out.returns, [[[1, 5], [2, 6], [3, 8]]])
    close(out.q_values, [[3, 4, 5.5]])
    assert out.fractions is fractions


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


# --------------------------------------------------------------------------------------- histogram


def test_smearing_by_hand() -> None:
    """Bins -1.5 to -0.5, ... 1.5 to 2.5; a Gaussian of width 1 bin at 0.5 is symmetric: the middle bins share.

    Its mass: between 0 and 1 standard deviations 0.341345, from 1 to 2 0.135905, in all 0.954500 within the bins.
    """
    found = smear(torch.tensor([0.5]), ATOMS, 1.0)
    close(found, [[0.135905 / 0.9545, 0.341345 / 0.9545, 0.341345 / 0.9545, 0.135905 / 0.9545]], atol=1e-5)
    # narrow: all in the bin; beyond the end: as at the end, never nothing
    close(smear(torch.tensor([1.1, 99.0]), ATOMS, 0.05), [[0, 0, 1, 0], [0, 0, 0, 1]])


def test_the_histogram_backup_smears_one_number() -> None:
    config = FamilyConfig(head="histogram", num_atoms=4, v_min=-1, v_max=2, bin_sigma=0.75)
    following = Histogram(config)(torch.tensor([[[0.0, -1e9, 0.0, -1e9], [-1e9, -1e9, -1e9, 0.0]]]), None)
    goal = Histogram.td_target(following, greedy(following.q_values), torch.tensor([0.5]), torch.tensor([0.5]), config)
    # the best action's expectation is 2: 0.5 + 0.5 * 2 = 1.5
    close(goal, smear(torch.tensor([1.5]), ATOMS, 0.75))


# ------------------------------------------------------------------------------------- equivalences


def delta_network(head: str, values: list[list[float]], config: FamilyConfig) -> Any:
    """Return a "network" that is certain: all of its returns are its expectation, which lies on an atom."""
    table = torch.tensor(values)

    def forward(obs: Tensor) -> QOutput:
        q = table[obs.long().squeeze(-1)]
        if head == "expected":
            return QOutput(q)
        if head in ("quantile", "implicit_quantile"):
            middles = (torch.arange(8) + 0.5) / 8
            return QOutput(q, q.unsqueeze(-1).expand(-1, -1, 8), None, middles.unsqueeze(0))
        atoms = torch.linspace(*config.support, config.num_atoms)
        return QOutput(q, atoms, -1e6 * (q.unsqueeze(-1) - atoms).abs())

    return forward


def transitions(**changes: Tensor) -> Batch:
    plain = {
        "obs": torch.tensor([[0.0], [1.0], [0.0]]),
        "action": torch.tensor([1, 0, 0]),
        "reward": torch.tensor([1.0, -2.0, 0.0]),
        "discount": torch.tensor([0.5, 0.0, 0.5]),
        "next_obs": torch.tensor([[1.0], [1.0], [0.0]]),
        "weight": torch.ones(3),
    }
    return Batch(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("munchausen", [False, True])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("head", ["categorical", "quantile", "implicit_quantile"])
def test_what_is_certain_is_backed_up_as_one_expectation(head: str, double: bool, munchausen: bool) -> None:
    """On a deterministic problem every distribution's mean is what plain Q-learning says."""
    online, target = [[0.0, 2.0, 4.0], [6.0, -2.0, 0.0]], [[2.0, -4.0, 6.0], [0.0, 4.0, 2.0]]
    means = []
    for name in ("expected", head):
        config = FamilyConfig(
            head=name,  # type: ignore[arg-type]
            double=double,
            munchausen=munchausen,
            munchausen_temperature=1.0,
            num_atoms=401,
            v_min=-20,
            v_max=20,
            num_quantiles=8,
        )
        next_q = delta_network(name, target, config)(transitions().next_obs)
        selecting = delta_network(name, online if double else target, config)(transitions().next_obs).q_values
        policy = soft(selecting, 1.0) if munchausen else greedy(selecting)
        batch = transitions()
        td_target = HEADS[name].td_target(next_q, policy, batch.reward, batch.discount, config)
        if name == "categorical":
            td_target = td_target @ torch.linspace(-20, 20, 401)
        means.append(td_target if name == "expected" else td_target.mean(1) if td_target.dim() > 1 else td_target)
    close(means[1], means[0], atol=2e-4)


@pytest.mark.parametrize("head", HEADS)
def test_perfect_predictions_do_not_surprise(head: str) -> None:
    """Q*(s) of a loop: reward 1, discount 0.5, value 2 for ever; where all is known, loss and priority are 0."""
    config = FamilyConfig(head=head, num_atoms=5, v_min=0, v_max=4, bin_sigma=0.01)  # type: ignore[arg-type]
    net = delta_network(head, [[2.0, 1.0]], config)
    batch = transitions(
        obs=torch.zeros(3, 1),
        next_obs=torch.zeros(3, 1),
        action=torch.zeros(3, dtype=torch.int64),
        reward=torch.ones(3),
        discount=torch.full((3,), 0.5),
    )
    loss = td_loss(net, net, batch, config)
    close(loss.per_sample, torch.zeros(3))
    close(loss.priority, torch.zeros(3))
    close(loss.q_values, torch.full((3,), 2.0))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("munchausen", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_a_terminal_transition_never_looks_at_its_next_observation(head: str, munchausen: bool, double: bool) -> None:
    config = FamilyConfig(head=head, munchausen=munchausen, double=double, num_atoms=11, v_min=-5, v_max=5)  # type: ignore[arg-type]
    net = draw(BOX, 4, config, torch_generator(1, "network"))
    obs = torch.rand((2, 3, 3), generator=torch_generator(2, "network"))
    batches = [
        transitions(obs=obs[0], next_obs=following, discount=torch.zeros(3), action=torch.tensor([0, 3, 1]))
        for following in (obs[1], 100 * obs[0])
    ]
    one, other = (td_loss(net, net, batch, config) for batch in batches)
    close(one.per_sample, other.per_sample)


# ---------------------------------------------------------------------------- gradients and weights


@pytest.mark.parametrize("head", HEADS)
def test_gradients_against_finite_differences(head: str) -> None:
    """The whole loss, through network, head and dueling streams, in double precision."""
    config = FamilyConfig(
        head=head,  # type: ignore[arg-type]
        hidden=(5,),
        dueling=True,
        num_atoms=7,
        v_min=-3,
        v_max=3,
        num_quantiles=4,
        munchausen=True,
        munchausen_temperature=0.5,
    )
    online, target = (draw(BOX, 3, config, torch_generator(seed, "network")).double() for seed in (1, 2))
    generator = torch_generator(5, "network")
    obs, following = torch.rand((2, 3, 3), generator=generator, dtype=torch.float64)
    batch = transitions(
        obs=obs, next_obs=following, reward=transitions().reward.double(), discount=transitions().discount.double()
    )
    online.scale = target.scale = torch.nn.Identity()  # type: ignore[assignment]  # it would make float32 of them

    def mean_loss(*_: Tensor) -> Tensor:
        return td_loss(online, target, batch, config).per_sample.mean()

    assert torch.autograd.gradcheck(mean_loss, tuple(online.parameters()), eps=1e-6, atol=1e-5)


def learner(name: str, **changes: Any) -> Learner:
    found: Recipe = recipe(name)
    config = found.config(**{**found.presets["default"].settings, "hidden": (8,), **changes})
    return Learner(found, config, BOX, 3, seed=1)


@pytest.mark.parametrize(
    "name", ["dqn", "c51", "qr_dqn", "iqn", "hl_gauss", "munchausen_dqn", "noisy_dqn", "dueling_dqn", "rainbow", "btr"]
)
def test_importance_weights_reach_every_head(name: str) -> None:
    """A transition of weight 0 teaches nothing; one of weight 2 as much as two: the gradients show it."""
    obs = torch.rand((4, 3), generator=torch_generator(3, "network"))

    def gradient(weight: list[float], rows: list[int]) -> Tensor:
        one = learner(name, noisy_sigma=0.0, max_grad_norm=None)
        one._stochastic.clear()  # the same fractions for all
        batch = Batch(
            obs[rows],
            torch.tensor([0, 1, 2, 0])[rows],
            torch.tensor([1.0, -1.0, 5.0, 0.5])[rows],
            torch.full((len(rows),), 0.9),
            obs.flip(0)[rows],
            torch.tensor(weight),
        )
        one.update(batch, 1e-3)
        return torch.cat([p.grad.flatten() for p in one.parameters if p.grad is not None])

    full = gradient([1.0, 0.0, 2.0], [0, 1, 2])
    # means over 3 and over 3: the first once, the third twice
    close(full, gradient([1.0, 1.0, 1.0], [0, 2, 2]), atol=1e-5)
    assert (full - gradient([1.0, 1.0, 1.0], [0, 1, 2])).abs().max() > 1e-3


def test_a_loss_without_a_weight_for_every_sample_is_caught() -> None:
    one = learner("dqn")
    batch = transitions(obs=torch.rand(3, 3), next_obs=torch.rand(3, 3), weight=torch.ones(1))
    with pytest.raises(AssertionError, match="one loss and one importance weight"):
        one.update(batch, 1e-3)


# ------------------------------------------------------------------------------------------- noise


def test_noise_is_factorised_by_hand() -> None:
    """With p inputs and q outputs the noise of a row has rank one: weight (j, i) moves by sigma f(e_j) f(e_i)."""
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


def test_noise_is_each_rows_own_and_shared_by_its_fractions() -> None:
    layer = NoisyLinear(6, 2)
    x = torch.ones(3, 5, 6)
    with sampling_noise([layer], torch_generator(1, "noise")):
        out = layer(x)
    assert out.shape == (3, 5, 2)
    close(out, out[:, :1].expand_as(out))
    assert not torch.allclose(out[0], out[1])
    close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert layer.generator is None


def test_noise_has_the_spread_it_should() -> None:
    """f(e)^2 is |e|, whose mean is sqrt(2 / pi): so the variance of one output of p ones is sigma^2 (2/pi + .../p)."""
    layer = NoisyLinear(16, 1, sigma=0.5)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    with sampling_noise([layer], torch_generator(7, "noise")):
        out = layer(torch.ones(40_000, 16))
    # 16 weights: (0.5/4)^2 * 16 * E|e| E|e'|; bias: (0.5/4)^2 * E|e|; E|e| = 0.797885; they don't correlate
    wanted = 0.125**2 * (16 * 0.797885**2 + 0.797885)
    assert out.var().item() == pytest.approx(wanted, rel=0.04)
    assert abs(out.mean().item()) < 0.01


def test_noise_explores_in_training_only_and_every_environment_by_itself() -> None:
    one = learner("noisy_dqn")
    policy = one.policy("CartPole-v1")
    obs = np.repeat(np.array([[0.1, -0.3, 0.7]], np.float32), 6, axis=0)
    quiet = policy.q_values(obs)
    np.testing.assert_array_equal(quiet, policy.q_values(obs))
    noisy = one.noisy_q_values(obs)
    assert len(np.unique(noisy.round(6), axis=0)) == 6
    assert not np.array_equal(noisy, one.noisy_q_values(obs))
    np.testing.assert_array_equal(quiet, policy.q_values(obs))
    again = learner("noisy_dqn")
    np.testing.assert_array_equal(noisy, again.noisy_q_values(obs))
    calm = learner("dqn")
    still = calm.policy("CartPole-v1")
    np.testing.assert_array_equal(calm.noisy_q_values(obs), still.q_values(obs))


def test_the_spread_of_the_noise_is_learnt() -> None:
    one = learner("noisy_dqn")
    layer = one._noisy[0]
    before = layer.weight_sigma.detach().clone()
    batch = transitions(obs=torch.rand(3, 3), next_obs=torch.rand(3, 3))
    one.update(batch, 1e-2)
    assert not torch.equal(before, layer.weight_sigma)
