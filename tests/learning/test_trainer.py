"""The trainer as a whole: it learns known Q values, is reproducible bit for bit, resumes, and reports errors."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import AGENTS, load_policy
from common.errors import UserError
from learning.evaluate import EpisodeResult, evaluate
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests import tiny
from tests.learning.helpers import RecordingWatcher, counters_of, plan, rewrite, trainer

WATERWORLD = "tidepool/Waterworld-v1"


def weights(one: Trainer) -> dict[str, torch.Tensor]:
    return one.learner.online.state_dict()


def equal(one: Trainer, other: Trainer) -> bool:
    return all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


# Together they cover every idea and every experience: replay, prioritized or not, rollouts and a stream.
COVERING_AGENTS = ["dqn", "rainbow", "btr", "hl_gauss", "pqn", "stream_q"]


@pytest.mark.parametrize("agent", [name for name in AGENTS if name != "btr_short"])  # on vectors that is btr
def test_the_optimal_q_values_of_the_corridor_are_learnt(agent: str, tmp_path: Path) -> None:
    """One step, gamma 0.9, half of the actions random: Q must converge to Q*, not only to the right order.

    Munchausen's fixed point differs on purpose: its gap between the better and the worse action is wider.
    """
    run = trainer(
        tmp_path,
        tiny.CORRIDOR,
        agent,
        total_timesteps=6_000,
        gamma=0.9,
        n_step=1,
        epsilon_final=0.5,
        learning_rate=3e-3,
        final_learning_rate=1e-4,
        target_period=50,
        hidden=(32,),
        capacity=5_000,
        noisy_epsilon=True,
    )
    assert run.run(RecordingWatcher())
    q, q_star = run.policy.q_values(np.eye(5, dtype=np.float32)[:4]), tiny.Corridor.q_star(0.9)
    if getattr(run.plan.config, "munchausen", False):
        assert (q[:, 1] - q[:, 0] > q_star[:, 1] - q_star[:, 0]).all()
        np.testing.assert_allclose(q[:, 1], q_star[:, 1], atol=0.06)
    else:
        np.testing.assert_allclose(q, q_star, atol=0.03)


# one of each kind of experience, and Munchausen's; the last two have no n-step returns
@pytest.mark.parametrize(
    ("agent", "n_step"), [("dqn", 1), ("dqn", 3), ("btr", 1), ("btr", 3), ("pqn", 3), ("stream_q", 3)]
)
def test_truncation_does_not_cut_the_return(agent: str, n_step: int, tmp_path: Path) -> None:
    """Episodes are truncated after 5 steps; the value is that of the endless loop, 1 / (1 - 0.8) = 5, not 3.4."""
    run = trainer(
        tmp_path,
        tiny.LOOP,
        agent,
        total_timesteps=16_000 // (n_step + 1),
        gamma=0.8,
        n_step=n_step,
        learning_rate=3e-3,
        final_learning_rate=1e-4,
        target_period=50,
        noisy_epsilon=True,
        epsilon_final=0.5,
    )
    run.run(RecordingWatcher())
    q = run.policy.q_values(np.array([[1.0, 0.0]], np.float32))
    # Munchausen adds a small log-probability to each reward: 0.9 * 0.03 * log(1/2) or less
    np.testing.assert_allclose(q, 5.0, atol=0.2 if getattr(run.plan.config, "munchausen", False) else 0.1)


@pytest.mark.parametrize("env_id", [WATERWORLD, "CartPole-v1"])
def test_one_seed_gives_one_run_bit_for_bit(env_id: str, tmp_path: Path) -> None:
    one, same, other = (trainer(tmp_path, env_id, seed=seed) for seed in (1, 1, 2))
    watchers = [RecordingWatcher() for _ in range(3)]
    for run, watcher in zip((one, same, other), watchers, strict=True):
        run.run(watcher)
    assert equal(one, same)
    assert not equal(one, other)
    assert watchers[0].evaluations == watchers[1].evaluations
    for row, again in zip(watchers[0].rows, watchers[1].rows, strict=True):
        for column in ("agent_steps", "episodic_return", "td_loss", "q_values", "epsilon", "updates"):
            assert row[column] == again[column]


# on CartPole all of them are resumed in test_resuming.py, and killed in test_states.py
@pytest.mark.parametrize(
    ("env_id", "agent"), [("CartPole-v1", "d3qn"), *((WATERWORLD, one) for one in COVERING_AGENTS)]
)
def test_a_resumed_run_equals_an_uninterrupted_one(env_id: str, agent: str, tmp_path: Path) -> None:
    uninterrupted = trainer(tmp_path, env_id, agent)
    assert uninterrupted.run(RecordingWatcher())
    stopped = trainer(tmp_path, env_id, agent)
    watcher = RecordingWatcher(stop_at=1_200)
    watcher.trainer = stopped
    assert not stopped.run(watcher)
    resumed = Trainer(stopped.plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert 1_200 <= resumed.agent_steps < 1_400
    np.testing.assert_array_equal(resumed.episodes.obs, stopped.episodes.obs)
    assert not equal(resumed, uninterrupted)
    assert resumed.run(RecordingWatcher())
    assert equal(resumed, uninterrupted)
    # the finished run keeps its state too, to be extended
    counters = counters_of(resumed.run_folder)
    assert (counters["agent_steps"], counters["evaluation_due"]) == (resumed.agent_steps, False)


def test_a_run_stopped_before_its_first_step_resumes_too(tmp_path: Path) -> None:
    uninterrupted = trainer(tmp_path, "CartPole-v1")
    uninterrupted.run(RecordingWatcher())
    stopped = trainer(tmp_path, "CartPole-v1")
    stopped.stop_requested = True
    assert not stopped.run(RecordingWatcher())
    resumed = Trainer(stopped.plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert resumed.agent_steps == 0
    resumed.run(RecordingWatcher())
    assert equal(resumed, uninterrupted)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("counters.json", b"{}", r"state/\d+/counters\.json: damaged, it lacks agent_steps"),
        ("counters.json", b"{", r"counters\.json: not readable as JSON"),
        ("learner.safetensors", b"half", r"learner\.safetensors: not readable"),
        ("replay.safetensors", b"half", r"replay\.safetensors: not readable"),
    ],
)
def test_a_damaged_state_is_reported(file: str, content: bytes, message: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, "CartPole-v1")
    run.stop_requested = True
    assert not run.run(RecordingWatcher())
    rewrite(run.run_folder, file, content)  # its checksum fits: it was never another
    with pytest.raises(UserError, match=message):
        Trainer(run.plan, RunFolder(run.run_folder.path)).load_state()


def test_the_run_folder_has_the_documented_files(tmp_path: Path) -> None:
    run = trainer(tmp_path, WATERWORLD)
    run.run(RecordingWatcher())
    folder = run.run_folder.path
    rows = list(csv.DictReader((folder / "eval.csv").open()))
    assert list(rows[0]) == [
        "env_id",
        "agent",
        "seed",
        "agent_steps",
        "frames",
        "episode",
        "episode_return",
        "episode_length",
        "epsilon",
        "protocol",
        "cut",
    ]
    final = [row for row in rows if row["agent_steps"] == "2000"]
    assert [row["episode"] for row in final] == list("01234")
    assert {row["protocol"] for row in final} == {"waterworld-1000"}
    metrics = list(csv.DictReader((folder / "metrics.csv").open()))
    assert float(metrics[-2]["td_loss"]) > 0
    assert metrics[-1]["eval_return"]
    # the saved agent plays exactly as the trained one
    policy = load_policy(folder)
    obs = np.random.default_rng(0).uniform(-1, 1, (20, 152)).astype(np.float32)
    np.testing.assert_array_equal(policy.q_values(obs), run.policy.q_values(obs))
    results = evaluate(policy, WATERWORLD, 5, 0.0)
    assert [f"{result.episode_return}" for result in results] == [row["episode_return"] for row in final]


def test_tensorboard_has_the_standard_tags(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trainer(tmp_path, "CartPole-v1")
    run.run(RecordingWatcher())
    board = EventAccumulator(str(run.run_folder.path))
    board.Reload()
    tags = board.Tags()["scalars"]
    expected = {"charts/episodic_return", "charts/SPS", "losses/td_loss", "losses/q_values", "eval/episodic_return"}
    assert expected <= set(tags)


def test_the_replay_ratio_does_not_depend_on_the_number_of_environments(tmp_path: Path) -> None:
    for num_envs in (1, 4, 7):
        run = trainer(tmp_path, "CartPole-v1", num_envs=num_envs)
        run.run(RecordingWatcher())
        sampled = run.learner.updates * 32
        assert sampled == pytest.approx((2000 - 200) * 8, abs=2 * 32 + 8 * num_envs)


def test_logged_returns_are_those_of_the_environment(tmp_path: Path) -> None:
    """Every step of the loop is rewarded with 1 and every episode has 5 steps: the return is 5, whatever is learnt."""
    run = trainer(tmp_path, tiny.LOOP)
    watcher = RecordingWatcher()
    run.run(watcher)
    assert {row["episodic_return"] for row in watcher.rows if row["episodic_return"] is not None} == {5.0}
    assert {row["episodic_length"] for row in watcher.rows if row["episodic_length"] is not None} == {5.0}
    assert watcher.rows[-1]["episodes"] == 400


def test_a_nan_loss_names_the_update_and_keeps_the_saved_agent(tmp_path: Path) -> None:
    run = trainer(tmp_path, "CartPole-v1")
    folder = run.run_folder.path
    poisoned_after = []

    class Poison(RecordingWatcher):
        def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
            poisoned_after.append(run.learner.updates)
            with torch.no_grad():
                run.learner.parameters[0][0, 0] = float("nan")

    with pytest.raises(UserError, match=r"the loss became nan at update \d+ .*agent step 1,0") as error:
        run.run(Poison())
    assert f"update {poisoned_after[0] + 1} " in str(error.value)
    assert "..." not in str(error.value)  # nothing of it was left out
    policy = load_policy(folder)
    assert np.isfinite(policy.q_values(np.zeros((1, 4), np.float32))).all()  # type: ignore[arg-type]


def test_a_run_folder_is_never_used_twice(tmp_path: Path) -> None:
    paths = {RunFolder.create(tmp_path, "a/b", "dqn", 1, {}).path for _ in range(5)}
    assert len(paths) == 5
    assert all(json.loads((path / "config.json").read_text())["env_id"] == "a/b" for path in paths)


def test_between_rows_there_are_pulses_and_evaluations_report_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning.trainer.PULSE_SECONDS", 0.0)
    monkeypatch.setattr("learning.trainer.LOGS_PER_RUN", 4)
    run, watcher = trainer(tmp_path, WATERWORLD), RecordingWatcher()
    run.run(watcher)
    assert [row["agent_steps"] for row in watcher.rows] == [500, 1000, 1500, 2000]
    assert len(watcher.pulses) == 2_000 / 4 - 4
    assert all(row["td_loss"] is None for row in watcher.pulses)
    metrics = list(csv.DictReader((run.run_folder.path / "metrics.csv").open()))
    assert len([row for row in metrics if row["td_loss"] or row["sps"]]) == 4  # pulses are not logged
    assert "left_s" not in metrics[0]
    assert watcher.rows[-1]["left_s"] > 0  # at the end the final evaluation is left
    # one on the way with one episode, the final one with five, 1,000 steps each
    assert [progress[:2] for progress in watcher.progresses[:2]] == [(0, 1), (0, 1)]
    assert watcher.progresses[-1][:2] == (5, 5)
    assert len(watcher.progresses) == 2 * 1_002


def test_evaluations_on_the_way_may_have_other_numbers_of_episodes(tmp_path: Path) -> None:
    one = dataclasses.replace(plan("CartPole-v1"), evaluations=3, eval_episodes=7, interim_episodes=2)
    run, watcher = Trainer(one, RunFolder.create(tmp_path, "CartPole-v1", "dqn", 1, {})), RecordingWatcher()
    run.run(watcher)
    assert [(steps, len(results)) for steps, results in watcher.evaluations] == [(668, 2), (1336, 2), (2000, 7)]


class StoppingInEvaluation(RecordingWatcher):
    """Asks for a stop in the middle of an evaluation at this agent step."""

    def __init__(self, run: Trainer, at: int) -> None:
        super().__init__()
        self.run, self.at = run, at

    def evaluating(self, finished: int, episodes: int, left: float) -> None:
        super().evaluating(finished, episodes, left)
        if self.run.agent_steps >= self.at and len(self.progresses) > 3:
            self.run.stop_requested = True


def eval_rows(run: Trainer) -> list[list[str]]:
    with (run.run_folder.path / "eval.csv").open() as file:
        return list(csv.reader(file))


def metric_rows(run: Trainer) -> list[dict[str, str]]:
    """Return the rows of metrics without what depends on the clock."""
    with (run.run_folder.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    timed = ("wall_s", "sps", "acting", "environment", "learning")
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


@pytest.mark.parametrize("at", [1_000, 2_000])  # on the way, at the end
def test_a_stop_in_an_evaluation_ends_it_at_once_and_nothing_differs_after_a_resume(at: int, tmp_path: Path) -> None:
    whole = trainer(tmp_path, "CartPole-v1")
    assert whole.run(RecordingWatcher())
    run, lines = trainer(tmp_path, "CartPole-v1"), list[str]()
    run.announce = lines.append
    watcher = StoppingInEvaluation(run, at)
    assert not run.run(watcher)
    assert run.agent_steps == at
    assert len(watcher.evaluations) == (at == 2_000)
    assert lines == ["the evaluation is left; it is done again when the run is resumed"]
    for _ in range(2):  # stopped in the same one again, then not
        resumed = Trainer(run.plan, RunFolder(run.run_folder.path))
        resumed.load_state()
        assert resumed.evaluation_due
        again = StoppingInEvaluation(resumed, at)
        assert not resumed.run(again)
        assert again.evaluations == []
    resumed = Trainer(run.plan, RunFolder(run.run_folder.path))
    resumed.load_state()
    assert resumed.run(RecordingWatcher())
    assert not resumed.evaluation_due
    assert equal(resumed, whole)
    assert eval_rows(resumed) == eval_rows(whole)
    assert metric_rows(resumed) == metric_rows(whole)


def test_a_stop_before_an_evaluation_leaves_it_for_later(tmp_path: Path) -> None:
    """Ctrl-C in the last step of training: the run is not finished, and its final evaluation is not begun."""
    run = trainer(tmp_path, "CartPole-v1")
    watcher = RecordingWatcher(stop_at=2_000)
    watcher.trainer = run
    assert not run.run(watcher)
    assert len(watcher.evaluations) == 1
    resumed = Trainer(run.plan, RunFolder(run.run_folder.path))
    resumed.load_state()
    assert resumed.run(RecordingWatcher())
    assert [row[3] for row in eval_rows(resumed)[1:]] == ["1000"] + ["2000"] * 5


def test_an_endless_environment_is_trained_evaluated_and_resumed(tmp_path: Path) -> None:
    """No training episode ends, and no evaluation would: what is shown are the running ones; the scores say so."""
    run = trainer(tmp_path, tiny.TRAP, epsilon_start=0.0, epsilon_final=0.0, eval_max_steps=70)
    with torch.no_grad():  # action 0 for ever
        run.learner.parameters[-1].copy_(torch.tensor([1e6, -1e6]))
    watcher = RecordingWatcher(stop_at=500)
    watcher.trainer = run
    assert not run.run(watcher)
    row = watcher.rows[-1]
    assert (row["episodes"], row["episodic_return"], row["running_length"], row["running_return"]) == (
        0,
        None,
        125,
        125,
    )
    assert list(run.episodes.actions[0]) == [0] * 125
    resumed = Trainer(run.plan, RunFolder(run.run_folder.path))
    resumed.load_state()
    np.testing.assert_array_equal(resumed.episodes.lengths, [125] * 4)
    assert list(resumed.episodes.actions[3]) == [0] * 125
    watcher = RecordingWatcher()
    assert resumed.run(watcher)
    assert all(result.cut for _, results in watcher.evaluations for result in results)
    with (resumed.run_folder.path / "eval.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["protocol"], row["episode_length"], row["cut"]) for row in rows} == {
        ("gymnasium-default cap=70", "70", "1")
    }


def test_an_older_runs_file_of_evaluations_keeps_its_columns(tmp_path: Path) -> None:
    run = trainer(tmp_path, "CartPole-v1")
    path = run.run_folder.path / "eval.csv"
    path.write_text("episode,protocol,episode_return\n0,gymnasium-default,1.0\n")
    run.run_folder.log_evaluation([EpisodeResult(1, 2.0, 2, cut=True)], 4, 4, 0.0, "gymnasium-default cap=2")
    assert path.read_text().splitlines()[1:] == ["0,gymnasium-default,1.0", "1,gymnasium-default cap=2,2.0"]
