"""The range of returns of categorical heads: chosen from measured rewards, recorded, and watched in training."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from agents import load_policy, recipe
from common.settings import validate
from learning import ranges
from learning.config import FamilyConfig
from learning.heads import Categorical, Histogram, QOutput, greedy
from learning.losses import td_loss
from learning.ranges import CLIPPED_ATARI, RangeWatch, Rewards, measure, suggest, typical, with_range, with_scale
from tests import tiny
from tests.learning.helpers import close, trainer, transitions
from train import main

C51 = FamilyConfig(head="categorical", gamma=0.9)
SHORT = ["--gamma", "0.9", "--hidden", "16", "--num-envs", "4", "--learning-starts", "50", "--n-step", "1"]
SHORT += [
    "--target-period",
    "2",
    "--learning-rate",
    "0.01",
    "--final-learning-rate",
    "0.003",
    "--batch-size",
    "32",
    "--replay-ratio",
    "8",
]
SHORT += ["--reward-scale", "1", "--evaluations", "1", "--eval-episodes", "2", "--device", "cpu", "--threads", "1"]


@pytest.fixture(autouse=True, scope="module")
def _environments() -> None:
    tiny.register()


def rewards(*values: float, ends: tuple[int, ...] = ()) -> Rewards:
    mask = np.zeros(len(values), np.bool_)
    mask[list(ends)] = True
    return Rewards(np.array(values), mask)


# ------------------------------------------------------------------ what is chosen


def test_a_constant_reward_is_expected_exactly_with_a_margin() -> None:
    # 10 a step, 10 steps ahead: 100, and one of 10 at once; a tenth of 110 on both sides: -11 to 121, rounded outward
    assert suggest(rewards(10, 10, 10, 10), C51) == (-11.0, 130.0)
    assert suggest(rewards(-1, -1, -1, -1), C51) == (-13.0, 2.2)  # -11 to 1, as a goal may come; margin 1.2


def test_rare_rewards_may_become_more_frequent_and_ends_come_once() -> None:
    # one in 100: root mean square 0.1, times 10 steps, and one of 1 at once: 2; margin 0.2
    assert suggest(rewards(*[1] + [0] * 99), C51) == (-0.2, 2.2)
    # 100 at the end comes once, -3 a step go on: -30 - 3 to 100, 133 wide
    assert suggest(rewards(-3, -3, 100, ends=(2,)), C51) == (-47.0, 120.0)


def test_munchausens_bonus_and_gamma_1_count() -> None:
    soft = replace(C51, munchausen=True, munchausen_alpha=0.5, munchausen_floor=-2.0, munchausen_temperature=1.0)
    # -0.5 * 2 once; an entropy bonus at each of 10 steps: -1 to 11 + 10; margin 2.2
    assert suggest(rewards(1, 1), soft) == (-3.2, 24.0)
    # 200 steps of 1 and one more; margin 20.1
    assert suggest(rewards(1, 1), replace(C51, gamma=1.0), limit=200) == (-21.0, 230.0)


def test_the_same_seed_measures_the_same_and_rewards_are_clipped_like_the_trainings() -> None:
    one, same, other = (measure("CartPole-v1", C51, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.ends, same.ends)
    assert not np.array_equal(one.ends, other.ends)
    assert one.reward.shape == (4_000,)
    assert 0 < one.ends.sum() < 400
    config, note = with_range(C51, tiny.PAYDAY, seed=1)
    assert (config.v_min, config.v_max) == (-11.0, 130.0)
    assert note is not None
    assert note.startswith("returns are expected from -11 to 130: 4,000 steps of random play brought rewards from 10")
    config, _ = with_range(replace(C51, clip_rewards=True), tiny.PAYDAY, seed=1)
    assert config.support == (-1.1, 13.0)


def test_what_is_known_or_given_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Rewards:
        raise AssertionError

    monkeypatch.setattr("learning.ranges.measure", never)
    for config in (FamilyConfig(), replace(C51, v_max=3.0), replace(C51, v_min=-2.0, v_max=3.0)):
        assert with_range(config, tiny.PAYDAY, seed=1) == (config, None)
    world, note = with_range(C51, "tidepool/Waterworld-v1", seed=1)
    assert (world.support, note) == (envs.returns("tidepool/Waterworld-v1"), None)
    for agent in ("c51", "rainbow", "hl_gauss"):
        config = FamilyConfig(**recipe(agent).presets["paper"].settings)
        assert with_range(config, "ALE/Pong-v5", seed=1) == (config, None)
        assert config.support == (-10.0, 10.0)
        chosen, _ = with_range(replace(config, v_min=None, v_max=None), "ALE/Pong-v5", seed=1)
        assert chosen.support == CLIPPED_ATARI


def test_a_given_lower_end_stays_and_without_rewards_they_are_taken_to_be_1() -> None:
    config, _ = with_range(replace(C51, v_min=-3.0), tiny.PAYDAY, seed=1)
    assert (config.v_min, config.v_max) == (-3.0, 130.0)
    config, note = with_range(C51, "MountainCar-v0", seed=1)
    assert config.support[1] > 0
    nothing = Rewards(np.zeros(5), np.zeros(5, np.bool_))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("learning.ranges.measure", lambda *_: nothing)
        config, note = with_range(C51, tiny.PAYDAY, seed=1)
    assert config.support == pytest.approx((-12.0, 12.0))  # 1.2 / (1 - 0.9)
    assert "so this is for rewards of at most 1" in str(note)


# ------------------------------------------------------------------ the scale of rewards


def test_rare_large_rewards_say_nothing_about_the_usual_return() -> None:
    # gamma 0.9 looks 10 steps ahead
    steps = [-1.0] * 90
    assert typical(rewards(*steps), C51) == pytest.approx(10.0)
    assert typical(rewards(*steps, *[-100.0] * 10), C51) == pytest.approx(10.0)  # falls from a cliff
    assert suggest(rewards(*steps, *[-100.0] * 10), C51)[0] < -300  # which a range must hold
    # one step in 100 has a reward of 20: 20 * 0.1 * 10
    assert typical(rewards(*[20.0] + [0.0] * 99), C51) == pytest.approx(20.0)
    # an end comes once: 3 * 10 + 100; of the two signs the larger one counts
    assert typical(rewards(-3, -3, -100, ends=(2,)), C51) == pytest.approx(130.0)
    assert typical(rewards(-3, -3, 50, ends=(2,)), C51) == pytest.approx(50.0)
    # a goal reached late, or never, is worth about 1
    assert typical(rewards(0, 0, 0.2, ends=(2,)), C51) == 1.0
    assert typical(rewards(0, 0, 0), C51) == 1.0
    assert typical(rewards(1, 1), replace(C51, gamma=1.0), limit=200) == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("env_id", "scale"),
    [("CliffWalking-v1", 0.099), ("Taxi-v4", 0.1), ("FrozenLake-v1", 10.0), ("MountainCar-v0", 0.1)],
)
def test_scales_of_known_environments(env_id: str, scale: float) -> None:
    config, note = with_scale(FamilyConfig(reward_scale=None, gamma=0.99), env_id, seed=1)
    assert config.reward_scale == pytest.approx(scale)
    assert (
        note
        == f"rewards are multiplied by {scale:g}, as 4,000 steps of random play suggest; --reward-scale sets another"
    )


@pytest.mark.parametrize("reward", [250_000.0, 1e9])
def test_the_scale_of_very_large_rewards_is_one_that_loads(reward: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose scale was measured is not refused for it later."""
    monkeypatch.setattr(ranges, "measure", lambda *_: rewards(*[reward] * 100))
    config, _ = with_scale(FamilyConfig(reward_scale=None, gamma=0.99), "CartPole-v1", seed=1)
    validate(config)
    assert config.reward_scale == pytest.approx(0.1 / reward)


# ------------------------------------------------------------------ what is cut off


def output(logits: Tensor, low: float, high: float) -> QOutput:
    head = Categorical(replace(C51, num_atoms=3, v_min=low, v_max=high))
    return head(logits, None)  # type: ignore[no-any-return]


def test_the_share_of_targets_that_a_range_cuts_off() -> None:
    # all probability on the middle atom, 0: rewards of 0.5, 1.0, 1.1 and -2 go to -1, 0, 1: two of four are beyond
    next_q = output(torch.tensor([[[-50.0, 50.0, -50.0]]]).expand(4, 2, 3), -1.0, 1.0)
    reward, discount = torch.tensor([0.5, 1.0, 1.1, -2.0]), torch.full((4,), 0.9)
    for head in (Categorical, Histogram):
        target = head.td_target(next_q, greedy(next_q.q_values), reward, discount, replace(C51, num_atoms=3))
        share = head.cut_off(reward, target, next_q)
        assert share is not None
        close(share, 0.5)


def test_losses_report_it_for_heads_with_a_range_only() -> None:
    def network(obs: Tensor) -> QOutput:
        return output(torch.zeros(len(obs), 2, 3), -1.0, 1.0)

    # rewards of 1 and -2 leave a uniform distribution over -1, 0, 1; 0 does not
    loss = td_loss(network, network, transitions(), replace(C51, num_atoms=3))
    assert loss.cut_off is not None
    close(loss.cut_off, 2 / 3)

    def expected(obs: Tensor) -> QOutput:
        return QOutput(torch.zeros(len(obs), 2))

    assert td_loss(expected, expected, transitions(), FamilyConfig()).cut_off is None


def test_what_is_cut_off_for_long_is_said_with_the_cure(tmp_path: Path) -> None:
    run = trainer(tmp_path, tiny.PAYDAY, "c51", gamma=0.9, v_min=-12.0, v_max=12.0)
    run.begin()
    for _ in range(20):
        run.step()
    config = run.plan.config
    assert isinstance(config, FamilyConfig)
    rows = RangeWatch.ROWS
    falling = [0.5 * 0.8**row for row in range(rows + 3)]  # a network that unlearns what it expected at first
    for shares, said in (
        ([*[0.5] * (rows - 1), 0.01, *[0.5] * (rows - 1)], []),
        (falling, []),
        ([0.3] * 3 * rows, [rows - 1]),  # once
        ([*[0.3] * rows, 0.5, 0.6, 0.9, 0.9], [rows - 1, rows + 1]),  # again when it is twice as bad
    ):
        watch = RangeWatch()
        notes = [watch.note(share, config, run.experience) for share in shares]
        assert [row for row, note in enumerate(notes) if note is not None] == said
    assert notes[rows - 1] == (
        "30% of the targets lie beyond the range of returns, -12 to 12, and are cut off: what is expected there is"
        " wrong; start again with --v-min -12 --v-max 130"
    )
    # where the rewards suggest nothing wider, twice as far at the end to which they tend
    wide = replace(config, v_min=-500.0, v_max=500.0)
    for sign, words in ((1, "--v-min -500 --v-max 1000"), (-1, "--v-min -1000 --v-max 500")):
        run.experience.replay.reward[:] = sign * abs(run.experience.replay.reward)  # type: ignore[attr-defined]
        watch = RangeWatch()
        assert str([watch.note(0.3, wide, run.experience) for _ in range(rows)][-1]).endswith(words)
    run.episodes.close()


# ------------------------------------------------------------------ from the command line


@pytest.mark.parametrize("agent", ["c51", "hl_gauss"])
def test_ten_a_step_are_learnt_by_default(agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [tiny.PAYDAY, "--agent", agent, "--total-timesteps", "6400", *SHORT]
    assert main([*words, "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "note: returns are expected from -11 to 130: 4,000 steps of random play" in printed
    assert "beyond the range" not in printed
    (folder,) = tmp_path.iterdir()
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["v_min"], config["v_max"]) == (-11.0, 130.0)
    q_values = load_policy(folder).q_values(np.array([[1.0, 0.0]], np.float32))
    assert q_values is not None
    assert q_values.max() == pytest.approx(100.0, rel=0.05)  # 10 / (1 - 0.9)


@pytest.mark.parametrize("agent", ["c51", "hl_gauss"])
def test_too_small_a_range_is_said(agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [tiny.PAYDAY, "--agent", agent, "--total-timesteps", "1600", "--v-max", "12", *SHORT]
    assert main([*words, "--runs-dir", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "beyond the range" in line]
    assert "of the targets lie beyond the range of returns, -12 to 12, and are cut off" in line
    assert line.endswith("start again with --v-min -12 --v-max 130")
    assert math.isfinite(float(line.split("note: ")[1].split("%")[0]))
