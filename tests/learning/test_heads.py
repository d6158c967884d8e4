"""Heads against values computed by hand, against each other, and against finite differences."""

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
from learning.losses import td_loss
from learning.networks import QNetwork, sampling_noise
from tests.learning.helpers import close, transitions

BOX = spaces.Box(-1, 1, (3,), np.float32)
ATOMS = torch.tensor([-1.0, 0.0, 1.0, 2.0])


# ------------------------------------------------------------------------------------ categorical


def test_projection_by_hand() -> None:
    """Atoms -1, 0, 1, 2. 0.25 lies a quarter of the way from 0 to 1; 1 is an atom; 7 and -3 are clipped to the ends."""
    returns = torch.tensor([[0.25, 1.0], [7.0, -3.0]])
    shares = torch.tensor([[0.6, 0.4], [0.9, 0.1]])
    close(project(returns, shares, ATOMS), [[0, 0.45, 0.55, 0], [0.1, 0, 0, 0.9]])


def test_projecting_nan_gives_nan_and_raises_nothing() -> None:
    returns = torch.tensor([[float("nan"), 1.0], [0.0, 1.0]])
    projected = project(returns, torch.full((2, 2), 0.5), ATOMS)
    assert projected[0].isnan().any()
    assert projected[1].isfinite().all()


def test_projection_preserves_mean_and_mass() -> None:
    generator = torch_generator(3, "network")
    returns = torch.rand((50, 9), generator=generator) * 3 - 1
    shares = torch.softmax(torch.randn((50, 9), generator=generator), 1)
    projected = project(returns, shares, ATOMS)
    close(projected.sum(1), torch.ones(50))
    close(projected @ ATOMS, (returns * shares).sum(1), atol=1e-5)
    assert projected.min() >= 0


def test_the_categorical_backup_by_hand() -> None:
    """Probabilities (1/2, 0, 1/2, 0) of -1 and 1 in action 0; reward 0.5, discount 0.5: returns 0 and 1.

    Action 1 has all its mass at 2; it is ignored, although its expectation is higher, as the policy takes action 0.
    """
    config = FamilyConfig(head="categorical", num_atoms=4, v_min=-1, v_max=2)
    low = -1e9
    logits = torch.tensor([[[0.0, low, 0.0, low], [low, low, low, 0.0]]])
    next_output = Categorical(config)(logits, None)
    close(next_output.q_values, [[0.0, 2.0]])
    first = NextPolicy(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    one = Categorical.td_target(next_output, first, torch.tensor([0.5]), torch.tensor([0.5]), config)
    close(one, [[0, 0.5, 0.5, 0]])
    # half of each action: the second one gives 0.5 + 0.5 * 2 = 1.5, between the atoms 1 and 2
    both = NextPolicy(torch.tensor([[0.5, 0.5]]), torch.zeros(1, 2))
    mixed = Categorical.td_target(next_output, both, torch.tensor([0.5]), torch.tensor([0.5]), config)
    close(mixed, [[0, 0.25, 0.25 + 0.25, 0.25]])
    # terminated: the return is the reward, whatever comes next
    over = Categorical.td_target(next_output, both, torch.tensor([1.0]), torch.tensor([0.0]), config)
    close(over, [[0, 0, 1, 0]])


def test_divergence_by_hand() -> None:
    """Prediction: halves; target: 1/4 and 3/4. 0.25 log(0.25 / 0.5) + 0.75 log(0.75 / 0.5) = 0.130812."""
    close(divergence(torch.zeros(1, 2), torch.tensor([[0.25, 0.75]])), [0.130812])
    close(divergence(torch.tensor([[0.0, np.log(3)]]), torch.tensor([[0.25, 0.75]])), [0.0])
    close(divergence(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])), [np.log(2)])


# ---------------------------------------------------------------------------------------- quantile


def test_quantile_huber_by_hand() -> None:
    """Returns 0 and 3 at the fractions 0.25 and 0.75, targets 1 and 5.

    Errors of 0: 1 and 5, Huber 0.5 and 4.5, both weighted by 0.25: mean 0.625. Errors of 3: -2 and 2, Huber 1.5 each,
    weighted by |0.75 - 1| and 0.75: mean 0.75. The sum is 1.375.
    """
    loss = quantile_huber(torch.tensor([[0.0, 3.0]]), torch.tensor([[0.25, 0.75]]), torch.tensor([[1.0, 5.0]]))
    close(loss, [1.375])


def test_the_quantile_backup_by_hand() -> None:
    """Quantiles (0, 2) and (1, 5), half each, entropies 0.1 and 0.3: 1 + 0.5 ((0.1 + 1.3) / 2, (2.1 + 5.3) / 2)."""
    config = FamilyConfig(head="quantile", num_quantiles=2)
    next_output = Quantile(config)(torch.tensor([[[0.0, 2.0], [1.0, 5.0]]]), None)
    close(next_output.q_values, [[1.0, 3.0]])
    assert next_output.fractions is not None
    close(next_output.fractions, [[0.25, 0.75]])
    policy = NextPolicy(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.1, 0.3]]))
    close(Quantile.td_target(next_output, policy, torch.tensor([1.0]), torch.tensor([0.5]), config), [[1.35, 2.85]])


def test_quantile_regression_finds_the_quantiles() -> None:
    """Returns are always 0 (30 %) or 1 (70 %): below the fraction 0.3 the quantile is 0, above it 1."""
    returns = torch.full((1, 4), 0.5, requires_grad=True)
    fractions, target = torch.tensor([[0.125, 0.25, 0.375, 0.875]]), torch.tensor([[0.0] * 3 + [1.0] * 7])
    for _ in range(2000):
        (gradient,) = torch.autograd.grad(quantile_huber(returns, fractions, target).sum(), returns)
        returns = (returns - 0.05 * gradient).detach().requires_grad_()
    # Huber's quadratic part makes it an expectile: the weights of both sides balance
    # at f (1 - x) 0.7 = (1 - f) x 0.3, so x = 0.7 f / (0.7 f + 0.3 (1 - f))
    expected = [0.7 * f / (0.7 * f + 0.3 * (1 - f)) for f in (0.125, 0.25, 0.375, 0.875)]
    close(returns, [expected], atol=1e-4)


def test_as_many_quantile_fractions_as_the_settings_name() -> None:
    """Midpoints of equal parts when it acts; drawn ones, another number, when it learns."""
    config = FamilyConfig(head="implicit_quantile", num_quantiles=5, acting_quantiles=2, hidden=(4,))
    draws = torch_generator(1, "network")
    network = QNetwork(spaces.Box(-1, 1, (3,), np.float32), 2, config, draws, ImplicitQuantile(config))
    fractions = network(torch.zeros(3, 3)).fractions
    assert fractions.tolist() == [[0.25, 0.75]]
    assert network.embedding is not None
    with sampling_noise([network.embedding], draws):
        assert network(torch.zeros(3, 3)).fractions.shape == (3, 5)
        assert network(torch.zeros(3, 3), 7).fractions.shape == (3, 7)
    # the paper's K where nothing is said, and so in older agents; BTR's authors draw as many as in learning
    assert FamilyConfig().acting_quantiles == 32
    assert recipe("btr").presets["paper"].settings["acting_quantiles"] == 8
    assert "acting_quantiles" not in recipe("iqn").presets["paper"].settings


def test_implicit_quantile_output_is_arranged_by_action() -> None:
    """Two fractions, three actions: outputs (B, N, A, 1) become returns (B, A, N) and their means."""
    outputs = torch.tensor([[[[1.0], [2.0], [3.0]], [[5.0], [6.0], [8.0]]]])
    fractions = torch.tensor([[0.2, 0.9]])
    out = ImplicitQuantile(FamilyConfig(head="implicit_quantile"))(outputs, fractions)
    assert out.returns is not None
    close(out.returns, [[[1, 5], [2, 6], [3, 8]]])
    close(out.q_values, [[3, 4, 5.5]])
    assert out.fractions is fractions


# --------------------------------------------------------------------------------------- histogram


def test_histogram_target_by_hand() -> None:
    """Bins -1.5 to -0.5, ... 1.5 to 2.5; a Gaussian of 1 bin's standard deviation at 0.5 is symmetric about the middle.

    Its mass: between 0 and 1 standard deviations 0.341345, from 1 to 2 0.135905, in all 0.954500 within the bins.
    """
    found = smear(torch.tensor([0.5]), ATOMS, 1.0)
    close(found, [[0.135905 / 0.9545, 0.341345 / 0.9545, 0.341345 / 0.9545, 0.135905 / 0.9545]], atol=1e-5)
    # narrow: all mass in one bin; beyond the ends: in the last bin, never empty
    close(smear(torch.tensor([1.1, 99.0]), ATOMS, 0.05), [[0, 0, 1, 0], [0, 0, 0, 1]])


def test_the_histogram_backup_spreads_one_scalar_target() -> None:
    config = FamilyConfig(head="histogram", num_atoms=4, v_min=-1.5, v_max=2.5, bin_sigma=0.75)
    next_output = Histogram(config)(torch.tensor([[[0.0, -1e9, 0.0, -1e9], [-1e9, -1e9, -1e9, 0.0]]]), None)
    td_target = Histogram.td_target(
        next_output, greedy(next_output.q_values), torch.tensor([0.5]), torch.tensor([0.5]), config
    )
    # the best action's expectation is 2: 0.5 + 0.5 * 2 = 1.5
    close(td_target, smear(torch.tensor([1.5]), ATOMS, 0.75))


# ------------------------------------------------------------------------------------- equivalences


def delta_network(head: str, values: list[list[float]], config: FamilyConfig) -> Any:
    """Return a "network" with deterministic returns: all equal its expectation, which lies on an atom."""
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


@pytest.mark.parametrize("munchausen", [False, True])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("head", ["categorical", "quantile", "implicit_quantile"])
def test_deterministic_returns_are_backed_up_as_in_q_learning(head: str, double: bool, munchausen: bool) -> None:
    """On a deterministic problem every distribution's mean is the target of plain Q-learning."""
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
def test_perfect_predictions_have_no_loss_and_no_priority(head: str) -> None:
    """Q* of a loop with reward 1 and discount 0.5 is 2; where predictions are exact, loss and priority are 0."""
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
def test_a_terminal_transition_ignores_its_next_observation(head: str, munchausen: bool, double: bool) -> None:
    config = FamilyConfig(head=head, munchausen=munchausen, double=double, num_atoms=11, v_min=-5, v_max=5)  # type: ignore[arg-type]
    net = draw(BOX, 4, config, torch_generator(1, "network"))
    obs = torch.rand((2, 3, 3), generator=torch_generator(2, "network"))
    batches = [
        transitions(obs=obs[0], next_obs=next_obs, discount=torch.zeros(3), action=torch.tensor([0, 3, 1]))
        for next_obs in (obs[1], 100 * obs[0])
    ]
    one, other = (td_loss(net, net, batch, config) for batch in batches)
    close(one.per_sample, other.per_sample)


# ---------------------------------------------------------------------------- gradients


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
    obs, next_obs = torch.rand((2, 3, 3), generator=generator, dtype=torch.float64)
    batch = transitions(
        obs=obs, next_obs=next_obs, reward=transitions().reward.double(), discount=transitions().discount.double()
    )
    online.scale = target.scale = torch.nn.Identity()  # type: ignore[assignment]  # it would cast to float32

    def mean_loss(*_: Tensor) -> Tensor:
        return td_loss(online, target, batch, config).per_sample.mean()

    assert torch.autograd.gradcheck(mean_loss, tuple(online.parameters()), eps=1e-6, atol=1e-5)
