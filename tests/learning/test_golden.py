"""Every loss, priority, schedule and return against its source's formula, in float64, by loops that can be read.

The formulas are the papers' and their authors' codes', written anew here without this project's functions; where a case
is small enough the numbers are worked out in its docstring. Commits of the codes are in agents/published_sources.csv.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents import recipe
from learning.checkpoint import config_from
from learning.config import FamilyConfig, exponential
from learning.heads import HEADS, QOutput, pairwise_error, project, quantile_huber, smear
from learning.learner import CentredRMSProp, radam_sizes
from learning.losses import Loss, td_loss
from learning.replay import Batch, Replay, ReplayExperience
from learning.rollout import q_lambda
from learning.stream import ObGD
from learning.sum_tree import SumTree
from tests.learning.test_replay import SPACE

F64 = NDArray[np.float64]
B, A, N = 3, 4, 5  # transitions, actions, atoms or quantiles
RNG = np.random.default_rng(7)


def double(array: Any) -> Tensor:
    return torch.as_tensor(np.asarray(array, np.float64))


def close(found: Tensor | NDArray[Any], expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=tolerance)


def batch(**changes: Any) -> Batch:
    """Return transitions whose observations are their own numbers, and those of the next ones B more."""
    plain: dict[str, Any] = {
        "obs": torch.arange(B)[:, None],
        "action": torch.tensor([1, 0, 3]),
        "reward": double([0.5, -1.0, 2.0]),
        "discount": double([0.9, 0.0, 0.729]),
        "next_obs": torch.arange(B, 2 * B)[:, None],
        "weight": double(np.ones(B)),
    }
    return Batch(**{**plain, **changes})


def table(values: F64) -> Any:
    """Return a "network" whose expectations are the rows of a table, (2 B, A)."""
    return lambda obs: QOutput(double(values)[obs[:, 0]])


def softmax(x: F64, axis: int = -1) -> F64:
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def huber(x: float) -> float:
    return 0.5 * x * x if abs(x) <= 1 else abs(x) - 0.5


# ------------------------------------------------------------------ expectations


@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("is_double", [False, True])
def test_dqn_and_double_dqn(loss: Any, is_double: bool) -> None:
    """r + gamma max Q' (Mnih et al. 2015); r + gamma Q'(argmax Q) (van Hasselt et al. 2015, equation 4)."""
    online, target, one = RNG.normal(size=(2 * B, A)), RNG.normal(size=(2 * B, A)), batch()
    found = td_loss(table(online), table(target), one, FamilyConfig(loss=loss, double=is_double))
    for b in range(B):
        best = (online if is_double else target)[B + b].argmax()
        y = float(one.reward[b]) + float(one.discount[b]) * target[B + b, best]
        error = y - online[b, int(one.action[b])]
        close(found.per_sample[b], huber(error) if loss == "huber" else 0.5 * error**2)
        close(found.priority[b], abs(error))


def munchausen(target: F64, one: Batch, b: int, current: F64) -> tuple[float, F64, F64]:
    """Return the rewards' bonus, the next policy, and tau log of it. Vieillard et al. 2020, equation 1."""
    alpha, tau, floor = 0.9, 0.03, -1.0
    log_now = np.log(softmax(current / tau))[int(one.action[b])]
    following = softmax(target / tau)
    return alpha * max(tau * log_now, floor), following, tau * np.log(following)


def test_munchausen_dqn() -> None:
    """Like munchausen_rl/agents/m_dqn.py; both log-policies are the target network's. Gaps of a few temperatures."""
    online, target = (0.05 * RNG.normal(size=(2 * B, A)) for _ in range(2))
    one = batch()
    found = td_loss(table(online), table(target), one, FamilyConfig(munchausen=True, loss="huber"))
    for b in range(B):
        bonus, following, log = munchausen(target[B + b], one, b, target[b])
        y = float(one.reward[b]) + bonus + float(one.discount[b]) * (following * (target[B + b] - log)).sum()
        close(found.priority[b], abs(y - online[b, int(one.action[b])]))


# ------------------------------------------------------------------ distributions


def test_c51_projection() -> None:
    """Bellemare et al. 2017, algorithm 1: each moved atom's probability goes to its neighbours, ends are clipped."""
    low, high = -2.0, 2.0
    atoms, spacing = np.linspace(low, high, N), (high - low) / (N - 1)
    probability = softmax(RNG.normal(size=(B, N)))
    reward, discount = np.array([0.3, -5.0, 1.0]), np.array([0.9, 0.5, 0.0])
    expected = np.zeros((B, N))
    for b in range(B):
        for j in range(N):
            place = (min(max(reward[b] + discount[b] * atoms[j], low), high) - low) / spacing
            below, above = math.floor(place), math.ceil(place)
            if below == above:
                expected[b, below] += probability[b, j]
            else:
                expected[b, below] += probability[b, j] * (above - place)
                expected[b, above] += probability[b, j] * (place - below)
    moved = double(reward[:, None] + discount[:, None] * atoms)
    close(project(moved, double(probability), double(atoms)), expected)


def test_c51_loss_and_priority() -> None:
    """The divergence: sum m (log m - log p). The gradient is the cross-entropy's; Hessel et al. 2017 take KL too."""
    logits, m = RNG.normal(size=(B, A, N)), softmax(RNG.normal(size=(B, N)))
    one, head = batch(), HEADS["categorical"]
    loss, priority = head.loss(QOutput(double(np.zeros((B, A))), None, double(logits)), one.action, double(m), SMALL)
    p = softmax(logits)[np.arange(B), one.action.numpy()]
    close(loss, (m * (np.log(m) - np.log(p))).sum(1))
    close(priority, loss)


SMALL = FamilyConfig()


def test_quantile_huber_loss() -> None:
    """Dabney et al. 2017, equation 10: sum over i of the mean over j of |tau_i - 1(u < 0)| L(u), u = target_j - i."""
    theta, y, tau = RNG.normal(size=(B, N)), 2 * RNG.normal(size=(B, 7)), RNG.random((B, N))
    expected = [
        sum(np.mean([abs(tau[b, i] - (u < 0)) * huber(u) for u in y[b] - theta[b, i]]) for i in range(N))
        for b in range(B)
    ]
    close(quantile_huber(double(theta), double(tau), double(y)), expected)


class Fractions:
    """A "network" that reads returns at fractions it draws, and says how many it was asked for each time."""

    def __init__(self, level: F64, usual: int) -> None:
        self.level, self.usual = level, usual  # (2 B, A)
        self.asked: list[tuple[int, int]] = []  # observations, fractions

    def __call__(self, obs: Tensor, drawn: int | None = None) -> QOutput:
        count = self.usual if drawn is None else drawn
        self.asked.append((len(obs), count))
        tau = (np.arange(count) + 0.5) / count
        # a fraction moves a return by its square: means over 5 and over 3 fractions are not the same
        returns = self.level[obs[:, 0].numpy(), :, None] + 0.02 * (1 + np.arange(A))[:, None] * tau**2
        return QOutput(double(returns.mean(-1)), double(returns), None, double(tau)[None])


@pytest.mark.parametrize("apart", [0, 3])
def test_m_iqn(apart: int) -> None:
    """Like munchausen_rl/agents/m_iqn.py: policies by `apart` fractions, returns by N others, quantile by quantile."""
    online, target = Fractions(0.05 * RNG.normal(size=(2 * B, A)), N), Fractions(0.05 * RNG.normal(size=(2 * B, A)), N)
    one = batch()
    config = FamilyConfig(munchausen=True, head="implicit_quantile", num_quantiles=N, policy_quantiles=apart)
    found = td_loss(online, target, one, config)
    assert target.asked == ([(2 * B, 3), (B, N)] if apart else [(2 * B, N)])
    assert online.asked == [(B, N)]
    policy = Fractions(target.level, apart or N)(torch.arange(2 * B)[:, None]).q_values.numpy()
    returns = Fractions(target.level, N)(torch.arange(2 * B)[:, None]).returns
    predicted = online(one.obs).returns
    assert returns is not None
    assert predicted is not None
    for b in range(B):
        bonus, following, log = munchausen(policy[B + b], one, b, policy[b])
        y = [
            float(one.reward[b])
            + bonus
            + float(one.discount[b]) * (following * (returns[B + b, :, j].numpy() - log)).sum()
            for j in range(N)
        ]
        theta = predicted[b, int(one.action[b])].numpy()
        taus = (np.arange(N) + 0.5) / N
        loss = sum(np.mean([abs(taus[i] - (u < 0)) * huber(u) for u in y - theta[i]]) for i in range(N))
        close(found.per_sample[b], loss)
        close(found.priority[b], abs(np.mean(y) - theta.mean()))


@pytest.mark.parametrize("is_double", [False, True])
def test_iqn_chooses_by_fractions_of_their_own(is_double: bool) -> None:
    """Dabney et al. 2018, section 3.1: the argmax is over K fractions; with double Q-learning the online network's."""
    online, target = (Fractions(RNG.normal(size=(2 * B, A)), N) for _ in range(2))
    config = FamilyConfig(head="implicit_quantile", num_quantiles=N, policy_quantiles=3, double=is_double)
    td_loss(online, target, batch(), config)
    assert online.asked == ([(B, N), (B, 3)] if is_double else [(B, N)])
    assert target.asked == ([(B, N)] if is_double else [(B, N), (B, 3)])


def test_hl_gauss_target() -> None:
    """Farebrother et al. 2024, appendix A: N + 1 edges from v_min to v_max; differences of the CDF, over their sum.

    51 bins from -10 to 10 are 20 / 51 wide; sigma is 0.75 of that.
    """
    low, high, bins = -10.0, 10.0, 51
    edges, sigma = np.linspace(low, high, bins + 1), 0.75 * (high - low) / bins
    config = FamilyConfig(head="histogram", num_atoms=bins, v_min=low, v_max=high)
    head = HEADS["histogram"](config)
    centres = head.get_buffer("atoms").double()
    close(centres, (edges[1:] + edges[:-1]) / 2, 1e-5)
    targets = np.array([0.1, -7.77, 9.99])
    expected = []
    for y in targets:
        cdf = np.array([0.5 * (1 + math.erf((edge - y) / (sigma * math.sqrt(2)))) for edge in edges])
        expected.append((cdf[1:] - cdf[:-1]) / (cdf[-1] - cdf[0]))
    found = smear(double(targets), double((edges[1:] + edges[:-1]) / 2), 0.75)
    close(found, expected)
    # far from the ends the mean is the target: a histogram loses nothing
    close((found.numpy() @ ((edges[1:] + edges[:-1]) / 2))[:2], targets[:2], 1e-5)


def test_bins_of_older_agents_have_their_centres_at_the_ends() -> None:
    config = FamilyConfig(head="histogram", num_atoms=3, v_min=-1.0, v_max=1.0, bin_range="centres")
    assert HEADS["histogram"](config).get_buffer("atoms").tolist() == [-1.0, 0.0, 1.0]
    # which is what a file from before says, in which nothing is said
    for values, expected in (
        ({"head": "histogram"}, "centres"),
        ({"head": "histogram", "bin_range": "edges"}, "edges"),
    ):
        assert config_from(FamilyConfig, values, Path("config.json")).bin_range == expected
    edges = FamilyConfig(head="histogram", num_atoms=4, v_min=-1.0, v_max=1.0)
    assert HEADS["histogram"](edges).get_buffer("atoms").tolist() == [-0.75, -0.25, 0.25, 0.75]


# ------------------------------------------------------------------ priorities and weights


def test_btrs_priorities() -> None:
    """Eight predictions and eight targets, both 1, -1, 1, ...: errors are 0 or 2, half of each.

    Their mean over targets is 1, its sum over predictions 8; the means of both are 0, and so is their error.
    """
    alternating = double([[1.0, -1.0] * 4])
    assert pairwise_error(alternating, alternating).tolist() == [8.0]
    theta, y = RNG.normal(size=(B, N)), RNG.normal(size=(B, N))
    close(
        pairwise_error(double(theta), double(y)),
        [[np.abs(y[b] - t).mean() for t in theta[b]] for b in range(B)] @ np.ones(N),
    )
    output = QOutput(double(np.zeros((1, 1))), alternating[:, None], None, double([np.arange(8) / 8]))
    for priority, expected in (("td_error", 0.0), ("pairwise", 8.0)):
        config = FamilyConfig(head="quantile", prioritized=True, priority=priority)  # type: ignore[arg-type]
        _, found = HEADS["quantile"].loss(output, torch.tensor([0]), alternating, config)
        assert found.tolist() == [expected]


@pytest.mark.parametrize("head", ["expected", "quantile", "categorical"])
def test_a_priority_may_be_the_loss(head: Any) -> None:
    """As in valeoai/rainbow-iqn-apex: what the learner's loss returns, before importance weights."""
    values = RNG.normal(size=(2 * B, A, N))

    def network(obs: Tensor) -> QOutput:
        rows = double(values)[obs[:, 0]]
        if head == "categorical":
            return QOutput(rows.mean(-1), double(np.linspace(-1, 1, N)), rows)
        fractions = (torch.arange(N, dtype=torch.float64) + 0.5)[None] / N
        return QOutput(rows.mean(-1), rows, None, fractions) if head == "quantile" else QOutput(rows.mean(-1))

    losses: list[Loss] = []
    for priority in ("td_error", "loss"):
        config = FamilyConfig(head=head, v_max=1.0, num_atoms=N, num_quantiles=N, prioritized=True, priority=priority)
        losses.append(td_loss(network, network, batch(), config))
    close(losses[1].priority, losses[1].per_sample)
    assert torch.equal(losses[0].priority, losses[1].priority) == (head == "categorical")


def test_without_quantiles_what_is_about_them_changes_nothing() -> None:
    """So that BTR's head can be taken away, as an ablation does, and the rest of its settings stay."""
    values, one = RNG.normal(size=(2 * B, A)), batch()
    plain, other = (
        td_loss(table(values), table(values), one, FamilyConfig(prioritized=True, **more))  # type: ignore[arg-type]
        for more in ({}, {"priority": "pairwise", "policy_quantiles": 3})
    )
    assert torch.equal(plain.priority, other.priority)
    assert torch.equal(plain.per_sample, other.per_sample)


def test_fast_rainbows_weights() -> None:
    """Priorities 0.25, 1, 4 and exponent 1/2: powers 0.5, 1, 2 of 3.5 (but for the 1e-6 added to each priority).

    (N P)^-beta by the replay's largest weight, that of 0.5: with beta 0.45 a batch of the last two has (0.5 / 1)^0.45 =
    0.732043 and (0.5 / 2)^0.45 = 0.535887. By the batch's largest they would be 1 and 0.732043.
    """
    for keeps_least, expected in ((True, [0.732043, 0.535887]), (False, [1.0, 0.732043])):
        tree = SumTree(5, 0.5, keeps_least)
        index = np.array([4, 1, 3])
        tree.admit(index)
        tree.update(index, np.array([0.25, 1.0, 4.0]))
        close(tree.weights(np.array([1, 3]), 0.45, 0.0), expected, 2e-6)
    # the least likely of all is forgotten with its record, and known again after a resume
    again = SumTree(5, 0.5, True)
    tree = SumTree(5, 0.5, True)
    tree.admit(index)
    tree.update(index, np.array([0.25, 1.0, 4.0]))
    again.load(tree.powers.copy(), tree.largest)
    close(again.weights(np.array([1, 3]), 0.45, 0.0), [0.732043, 0.535887], 2e-6)
    tree.drop(np.array([4]))
    close(tree.weights(np.array([1, 3]), 0.45, 0.0), [1.0, 0.732043], 2e-6)


def test_the_least_power_is_that_of_all_records_whatever_happens_to_them() -> None:
    """Against a search through all powers, over many changes."""
    rng, tree = np.random.default_rng(3), SumTree(13, 0.7, True)
    for _ in range(300):
        some = rng.choice(13, 4, replace=False)
        which = rng.integers(3)
        if which == 0:
            tree.admit(some)
        elif which == 1:
            tree.drop(some)
        else:
            tree.update(some, rng.exponential(size=4))
        held = tree.powers[tree.powers > 0]
        if len(held):
            picked = np.flatnonzero(tree.powers > 0)[:2]
            chance = 0.9 * tree.powers / tree.powers.sum() + 0.1 / len(held)
            least = chance[tree.powers > 0].min()
            close(tree.weights(picked, 0.5, 0.1), (least / chance[picked]) ** 0.5, 1e-6)


def test_weights_of_dqn_zoo() -> None:
    """replay.py: ((1/N) / P)^beta over the batch's largest; P mixes in a thousandth of 1/N."""
    tree, index = SumTree(4, 0.6), np.arange(4)
    tree.admit(index)
    tree.update(index, priority := np.array([0.1, 1.0, 2.0, 5.0]))
    power = (priority + 1e-6) ** 0.6
    chance = 0.999 * power / power.sum() + 0.001 / 4
    raw = (0.25 / chance[[1, 3]]) ** 0.4
    close(tree.weights(np.array([1, 3]), 0.4, 0.001), raw / raw.max(), 1e-7)


# ------------------------------------------------------------------ schedules


def published(agent: str, preset: str = "paper") -> Any:
    one = recipe(agent)
    return one.config(**one.presets[preset].settings)


def test_btrs_epsilon() -> None:
    """Agent.py: eps -= (eps - 0.01) / 2e6 at each step, from the first; none after half of the run."""
    epsilon = 1.0
    for _ in range(1_000):
        epsilon -= (epsilon - 0.01) / 50.0
    close(np.array(exponential(1.0, 0.01, 50.0, 1_000)), epsilon)
    btr = published("btr")
    assert btr.epsilon(0, 200_000) == 1.0
    # after 2 million steps 1/e of the way is left: 0.01 + 0.99 / e = 0.374201
    assert btr.epsilon(2_000_000, 200_000) == pytest.approx(0.374201, abs=1e-6)
    assert btr.epsilon(24_999_999, 200_000) == pytest.approx(0.01, abs=1e-5)
    assert btr.epsilon(25_000_000) == btr.epsilon(30_000_000) == 0.0
    short = published("btr_short", "short")
    assert short.epsilon(5_000_000) == 0.0 < short.epsilon(4_999_999)


def test_fast_rainbows_epsilon() -> None:
    """argp.py, with noisy layers: 0.002 to 0 over 20,000 steps, from the first one."""
    config = published("fast_rainbow")
    assert [config.epsilon(steps, 100_000) for steps in (0, 10_000, 20_000, 10**6)] == [0.002, 0.001, 0.0, 0.0]


def test_the_epsilon_of_dqn_waits_for_learning_to_start() -> None:
    """1 to 0.1 over a million actions after 50,000; Munchausen's to 0.01 over 250,000 after 20,000."""
    dqn, munchausen_dqn = published("dqn", "nature"), published("munchausen_dqn")
    assert [dqn.epsilon(steps, 50_000) for steps in (0, 50_000, 550_000, 1_050_000)] == pytest.approx([1, 1, 0.55, 0.1])
    assert munchausen_dqn.epsilon(145_000, 20_000) == pytest.approx(0.505)
    assert published("rainbow").epsilon(0) == 0.0  # the noise explores


@pytest.mark.parametrize(
    ("agent", "start", "middle", "end"),
    [("rainbow", 0.4, 0.7, 1.0), ("fast_rainbow", 0.45, 0.725, 1.0), ("btr", 0.2, 0.2, 0.2)],
)
def test_importance_exponents(agent: str, start: float, middle: float, end: float) -> None:
    config = published(agent)
    experience = ReplayExperience.__new__(ReplayExperience)
    experience.config = config
    for steps, expected in ((0, start), (config.total_timesteps // 2, middle), (config.total_timesteps, end)):
        experience.steps = steps
        assert experience.importance_exponent == pytest.approx(expected)


# ------------------------------------------------------------------ returns


def test_n_step_returns() -> None:
    """Rewards 1, 2, 4 at gamma 1/2: 1 + 2/2 + 4/4 = 3, and 1/8 of the next value; 0 of it where the third ends it."""
    for ends, discount in ((False, 0.125), (True, 0.0)):
        replay = Replay(64, 1, SPACE, n_step=3)
        replay.reset(np.zeros((1, 1), np.float32))
        for step, reward in enumerate((1.0, 2.0, 4.0)):
            last = ends and step == 2
            replay.add(
                np.array([0]),
                np.array([reward]),
                np.array([0.0 if last else 0.5]),
                np.full((1, 1), step + 1.0, np.float32),
            )
        draws = replay.draw(1, 64, np.random.default_rng(0))
        first = draws.start[0] == 0
        assert set(draws.reward[0][first].tolist()) == {3.0}
        assert set(draws.discount[0][first].tolist()) == {discount}


def test_q_lambda_of_purejaxql() -> None:
    """pqn_atari.py, _compute_targets: G_t = r + gamma (1 - done) q' + gamma lambda (G' - q'), r where it is done."""
    gamma, lam, steps, lanes = 0.99, 0.65, 12, 3
    reward, value = RNG.normal(size=(steps, lanes)), RNG.normal(size=(steps, lanes))
    done = RNG.random((steps, lanes)) < 0.2
    expected = np.zeros((steps, lanes))
    expected[-1] = reward[-1] + gamma * (1 - done[-1]) * value[-1]
    for t in range(steps - 2, -1, -1):
        whole = reward[t] + gamma * value[t] + gamma * lam * (expected[t + 1] - value[t])
        expected[t] = (1 - done[t]) * whole + done[t] * reward[t]
    learnt: Any = q_lambda  # the arrays of a run are float32
    close(learnt(reward, gamma * (1.0 - done), value, done, lam), expected)


# ------------------------------------------------------------------ steps


def test_centred_rmsprop() -> None:
    """Graves 2013, equations 38 to 41, without momentum; DQN Zoo's optax.rmsprop(centered=True)."""
    start, gradients = np.array([1.0, -2.0]), [np.array([0.1, -0.3]), np.array([-0.2, 0.5])]
    parameter = torch.nn.Parameter(double(start))
    optimizer = CentredRMSProp([parameter], 2.5e-4, 0.95, 0.01 / 32**2)
    w, mean, square = start.copy(), np.zeros(2), np.zeros(2)
    for g in gradients:
        parameter.grad = double(g)
        optimizer.step()
        mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g**2
        w -= 2.5e-4 * g / np.sqrt(square - mean**2 + 0.01 / 32**2)
    close(parameter.detach(), w)


def test_radam() -> None:
    """Liu et al. 2019, algorithm 2: the step adapts once the length of its average exceeds 5, as in optax."""
    for step in (1, 5, 6, 100):
        longest = 2 / (1 - 0.999) - 1
        length = longest - 2 * step * 0.999**step / (1 - 0.999**step)
        size, adaptive = radam_sizes(step, 0.9, 0.999)
        assert adaptive == (length > 5)
        if adaptive:
            r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            assert size == pytest.approx(r * math.sqrt(1 - 0.999**step) / (1 - 0.9**step))
        else:
            assert size == pytest.approx(1 / (1 - 0.9**step))


def test_stream_qs_step() -> None:
    """optim.py: z = gamma lambda z + g; w -= delta z lr / max(1, lr kappa max(|delta|, 1) |z|_1)."""
    start, gradients, errors = np.array([1.0, -2.0]), [np.array([0.1, -0.3]), np.array([-4.0, 5.0])], [0.5, -3.0]
    parameter = torch.nn.Parameter(double(start))
    optimizer = ObGD([parameter], lr=1.0, decay=0.99 * 0.8, kappa=2.0)
    w, z = start.copy(), np.zeros(2)
    assert parameter.grad is not None
    for g, delta in zip(gradients, errors, strict=True):
        optimizer.decay()
        parameter.grad.add_(double(g))
        optimizer.move(delta)
        z = 0.99 * 0.8 * z + g
        bound = max(abs(delta), 1.0) * np.abs(z).sum() * 1.0 * 2.0
        w -= delta * z * (1.0 / bound if bound > 1 else 1.0)
    close(parameter.detach(), w)
