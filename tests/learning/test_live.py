"""Attached windows: what is published and when, what can be requested, and that watching does not change training."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from common import lock
from common.errors import UserError
from common.files import write_json
from common.tail import Tail
from learning import live
from learning.checkpoint import MANIFEST, WEIGHTS, read_manifest
from learning.live import COST_SHARE, GRACE_SECONDS, ControlRequests, WeightPublisher
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests.learning.helpers import RecordingWatcher, counters_of, plan, rewrite, trainer

CARTPOLE = "CartPole-v1"


def equal(one: Trainer, other: Trainer) -> bool:
    weights, others = (run.learner.online.state_dict() for run in (one, other))
    return all(torch.equal(value, others[name]) for name, value in weights.items())


def short(folder: Path, agent: str = "dqn") -> Trainer:
    """Return a run of 240 agent steps, with a row of metrics after every step of the environments."""
    return trainer(folder, CARTPOLE, agent, total_timesteps=240, learning_starts=60, epsilon_steps=100, replay_ratio=2)


class AttachedWindow(RecordingWatcher):
    """Acts as an attached window: sends a heartbeat at every row of metrics and requests at some agent steps."""

    def __init__(self, run: Trainer, requests: dict[int, list[tuple[str, Any]]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.trainer = run
        self.requests = requests or {}
        self.published: list[int] = []

    def progress(self, row: dict[str, Any]) -> None:
        assert self.trainer is not None
        folder = self.trainer.run_folder.live
        live.write_heartbeat(folder)
        os.utime(folder / live.WATCHER, ns=(0, len(self.rows) + 1))  # distinct even where the clock is coarse
        if (folder / MANIFEST).exists():
            self.published.append(read_manifest(folder)["agent_steps"])
        for name, value in self.requests.get(row["agent_steps"], []):
            live.append_request(folder, name, value)
        super().progress(row)


@pytest.fixture
def _publish_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a trainer check for windows and publish at every step."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(live, "PUBLISH_SECONDS", 0.0)
    monkeypatch.setattr(live, "COST_SHARE", 1e9)


# ---------------------------------------------------------------------- training does not change


@pytest.mark.usefixtures("_publish_every_step")
@pytest.mark.parametrize("agent", ["dqn", "rainbow", "pqn", "stream_q"])
def test_a_watched_run_equals_an_unwatched_one_bit_for_bit(agent: str, tmp_path: Path) -> None:
    alone, watched = (short(tmp_path, agent) for _ in range(2))
    watcher, window = RecordingWatcher(), AttachedWindow(watched)
    assert alone.run(watcher)
    assert watched.run(window)
    assert equal(alone, watched)
    assert watcher.evaluations == window.evaluations
    for row, again in zip(watcher.rows, window.rows, strict=True):
        for column in ("agent_steps", "episodic_return", "td_loss", "q_values", "epsilon", "learning_rate", "updates"):
            assert row[column] == again[column]
    assert len(window.published) > 20
    assert window.published == sorted(window.published)
    assert not (watched.run_folder.path / "events.csv").exists()
    # only the window's heartbeat is left, which the window removes itself
    assert [path.name for path in watched.run_folder.live.iterdir()] == [live.WATCHER]
    live.remove_heartbeat(watched.run_folder.live)
    assert not watched.run_folder.live.exists()
    assert not alone.run_folder.live.exists()


@pytest.mark.parametrize("total", [2_000, 20])
def test_milestones_are_saved_once(total: int, tmp_path: Path) -> None:
    run = trainer(tmp_path, CARTPOLE, total_timesteps=total)
    watcher = RecordingWatcher(stop_at=total // 20)
    watcher.trainer = run
    run.run(watcher)  # 5 %
    folder = run.run_folder
    steps = {percent: folder.milestone(percent) / MANIFEST for percent in (0, 1, 10)}
    if total == 2_000:
        assert not steps[10].exists()
    before = {percent: path.stat().st_mtime_ns for percent, path in steps.items() if path.exists()}
    resumed = Trainer(run.plan, RunFolder(folder.path))
    if not run.agent_steps >= total:
        resumed.load_state()
        resumed.run(RecordingWatcher())
    assert {percent: steps[percent].stat().st_mtime_ns for percent in before} == before
    reached = {percent: json.loads(path.read_text())["agent_steps"] for percent, path in steps.items()}
    assert reached == ({0: 0, 1: 20, 10: 200} if total == 2_000 else {0: 0, 1: 4, 10: 4})


def test_missed_milestones_are_skipped(tmp_path: Path) -> None:
    """A run of a version without milestones, stopped at 5 %, saves the one at 10 % only, not those at 0 and 1 %."""
    folder = RunFolder.create(tmp_path, CARTPOLE, "dqn", 1, {})
    assert folder.milestones_ahead(2_000, 100) == [(200.0, folder.milestone(10))]
    assert [steps for steps, _ in folder.milestones_ahead(2_000, 0)] == [0.0, 20.0, 200.0]


# ---------------------------------------------------------------------- the cost of publishing


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_publisher(folder: Path, seconds: float) -> tuple[WeightPublisher, Clock, list[float]]:
    """Return a publisher whose publications take ``seconds``, its clock, and the times at which they began."""
    clock, began = Clock(), []

    def publish(where: Path) -> None:
        assert where == folder
        (where / MANIFEST).write_text("{}")
        began.append(clock.now)
        clock.now += seconds

    folder.mkdir()
    return WeightPublisher(folder, publish, clock), clock, began


def run_clock(publisher: WeightPublisher, clock: Clock, seconds: float, beat: Callable[[], None] = lambda: None) -> int:
    """Advance the clock in training steps of 10 ms, with a heartbeat a second; return the number of `attend` calls."""
    end, last, attended = clock.now + seconds, clock.now - 1.0, 0
    while clock.now < end:
        if clock.now - last >= 1.0:
            last = clock.now
            beat()
        clock.now += 0.01
        if publisher.due():
            publisher.attend()
            attended += 1
    return attended


@pytest.mark.parametrize(("seconds", "longest_gap"), [(0.0001, 0.5), (0.004, 0.5), (0.02, 2.0), (0.5, 50.0)])
def test_publishing_takes_at_most_its_share_of_time(seconds: float, longest_gap: float, tmp_path: Path) -> None:
    publisher, clock, began = make_publisher(tmp_path / "live", seconds)
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        live.write_heartbeat(publisher.live)
        os.utime(publisher.live / live.WATCHER, ns=(0, beats))

    run_clock(publisher, clock, 300.0, beat)
    assert seconds * len(began) <= COST_SHARE * 300.0 + seconds
    gaps = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert min(gaps) >= 0.5
    assert max(gaps) <= longest_gap + seconds + 0.03  # and as often as the share allows


def test_nothing_is_published_without_an_attached_window(tmp_path: Path) -> None:
    publisher, clock, began = make_publisher(tmp_path / "live", 0.01)
    assert run_clock(publisher, clock, 60.0) in (59, 60, 61)  # one check a second
    assert began == []


def test_publishing_stops_when_heartbeats_stop(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    live.write_heartbeat(folder)  # left behind by a window that was killed
    publisher = WeightPublisher(folder, lambda where: pytest.fail("no window is attached"), clock := Clock())
    run_clock(publisher, clock, 20.0)
    (tmp_path / "other").mkdir()
    publisher, clock, began = make_publisher(tmp_path / "other" / "live", 0.001)
    live.write_heartbeat(publisher.live)
    run_clock(publisher, clock, 20.0)  # one heartbeat, then no more
    assert 1 <= len(began) <= GRACE_SECONDS / 0.5 + 1
    live.write_heartbeat(publisher.live)
    os.utime(publisher.live / live.WATCHER, ns=(0, 7))
    count = len(began)
    run_clock(publisher, clock, 1.5)
    assert len(began) > count
    assert (publisher.live / MANIFEST).exists()
    live.remove_heartbeat(publisher.live)
    run_clock(publisher, clock, 1.0)
    count = len(began)
    run_clock(publisher, clock, 20.0)
    assert len(began) == count
    assert not (publisher.live / MANIFEST).exists()  # so that it is not mistaken for the newest


def test_a_full_disk_does_not_stop_training(tmp_path: Path) -> None:
    def full(where: Path) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "live").mkdir()
    publisher = WeightPublisher(tmp_path / "live", full, clock := Clock())
    live.write_heartbeat(publisher.live)
    run_clock(publisher, clock, 10.0)


def test_weights_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    for name in (MANIFEST, WEIGHTS):
        (folder / name).write_text("old")
    WeightPublisher(folder, lambda where: None)
    assert list(folder.iterdir()) == []


# ---------------------------------------------------------------------- evaluations in progress


def test_an_evaluation_is_told_to_a_window_and_to_nobody_else(tmp_path: Path) -> None:
    publisher, clock, _ = make_publisher(tmp_path / "live", 0.0)
    clock.now += 1.0
    publisher.evaluating(0, 20)
    assert list(publisher.live.iterdir()) == []  # nobody watches
    live.write_heartbeat(publisher.live)
    clock.now += 1.0
    publisher.evaluating(3, 20)
    assert live.evaluation(publisher.live) == (3, 20)
    clock.now += 0.4
    publisher.evaluating(4, 20)
    assert live.evaluation(publisher.live) == (3, 20)  # twice a second at most
    clock.now += 0.2
    publisher.evaluating(5, 20)
    assert live.evaluation(publisher.live) == (5, 20)
    publisher.evaluated()
    assert live.evaluation(publisher.live) is None
    clock.now += 60.0
    publisher.evaluating(6, 20)  # the window is gone
    assert live.evaluation(publisher.live) is None


def test_a_window_gets_the_weights_that_are_evaluated(tmp_path: Path) -> None:
    """Else it would show those of the last publication, and call their step the one that is evaluated."""
    publisher, clock, times = make_publisher(tmp_path / "live", 0.0)
    for evaluation in (1, 2):
        for step in range(10):
            clock.now += 1.0
            live.write_heartbeat(publisher.live)
            publisher.evaluating(step, 20)
        publisher.evaluated()
        assert len(times) == evaluation


def test_an_evaluation_of_a_killed_run_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / live.EVALUATION).write_text('{"finished": 3, "episodes": 20}')
    assert live.evaluation(tmp_path) == (3, 20)
    WeightPublisher(tmp_path, lambda where: None)
    assert live.evaluation(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"finished": 3}', '{"finished": 3, "episodes": "20"}'),
        *('{"finished": 1.5, "episodes": 2}', '{"finished": 21, "episodes": 20}'),
        *('{"finished": -1, "episodes": 20}', "[" * 60_000),
    ],
)
def test_an_unreadable_evaluation_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / live.EVALUATION).write_text(text)
    assert live.evaluation(tmp_path) is None


@pytest.mark.usefixtures("_publish_every_step")
def test_a_run_tells_how_far_its_evaluation_is(tmp_path: Path) -> None:
    run = short(tmp_path)
    told: list[tuple[int, tuple[int, int] | None]] = []

    class Looking(AttachedWindow):
        def evaluating(self, finished: int, episodes: int, left: float) -> None:
            super().evaluating(finished, episodes, left)
            told.append((finished, live.evaluation(run.run_folder.live)))

        def evaluated(self, agent_steps: int, results: list[Any]) -> None:
            super().evaluated(agent_steps, results)
            told.append((-1, live.evaluation(run.run_folder.live)))

    assert run.run(Looking(run))
    ends = [place for place, (finished, _) in enumerate(told) if finished < 0]
    assert len(ends) == 2  # evaluations
    assert [told[end][1] for end in ends] == [None, None]
    # the file follows the progress: a step of the evaluation later, as the window's own note comes first
    second = told[ends[0] + 1 : ends[1]]
    assert second[0][1] is None
    assert [seen for _, seen in second[1:]] == [(finished, 5) for finished, _ in second[:-1]]
    assert {finished for finished, _ in second} >= {0, 1, 4}


def test_only_one_process_at_a_time_trains_a_run(tmp_path: Path) -> None:
    import psutil

    run = trainer(tmp_path, CARTPOLE, total_timesteps=100)
    other = psutil.Process(os.getppid())
    write_json(run.run_folder.live / lock.FILE, [[other.pid, other.create_time()]])
    assert live.is_training(run.run_folder.live)
    with pytest.raises(UserError, match=f"process {other.pid} is using it"):
        run.run(RecordingWatcher())
    # an ended process that had the same id
    write_json(run.run_folder.live / lock.FILE, [[other.pid, other.create_time() - 100]])
    assert not live.is_training(run.run_folder.live)
    assert run.run(RecordingWatcher())


# ---------------------------------------------------------------------- requests


def requests() -> ControlRequests:
    return ControlRequests(plan(CARTPOLE).config)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not JSON", "not a request with a name and a value: 'not JSON'"),
        ("[1, 2]", "not a request"),
        ("17", "not a request"),
        ('{"name": "epsilon"}', "not a request"),
        ('{"name": 3, "value": 1}', "not a request"),
        ('{"name": "epsilon", "value": 1, "source": 4}', "not a request"),
        ("[" * 5_000, "not a request"),
        ('{"name": "epsilon", "value": 1.5}', "epsilon 1.5 is out of range; allowed: 0 to 1"),
        ('{"name": "epsilon", "value": -0.1}', "out of range"),
        ('{"name": "epsilon", "value": NaN}', "epsilon nan is out of range"),
        ('{"name": "epsilon", "value": true}', "epsilon is a number"),
        ('{"name": "epsilon", "value": "0.5"}', "epsilon is a number"),
        ('{"name": "epsilon", "value": 1' + "0" * 400 + "}", "out of range"),
        ('{"name": "learning_rate", "value": 0}', "learning_rate 0 is out of range; allowed: 1e-08 to 1"),
        ('{"name": "learning", "value": 1}', "learning is true or false"),
        ('{"name": "epsilo", "value": 0.5}', "unknown request 'epsilo'; did you mean epsilon"),
    ],
)
def test_invalid_requests_are_rejected_with_the_reason(line: str, reason: str, tmp_path: Path) -> None:
    control = requests()
    path = tmp_path / live.REQUESTS
    path.write_text(line + "\n")
    (event,) = control.read(path)
    assert reason in event.refused
    assert event.row["value"] == ""
    assert str(event).startswith("a request of the window was rejected: ")
    assert control.in_force == {}
    assert control.read(path) == []


def test_the_last_request_counts_and_null_restores_the_schedule(tmp_path: Path) -> None:
    control, folder = requests(), tmp_path
    path = folder / live.REQUESTS
    for value in (0.1, 0.2, 0.3):
        live.append_request(folder, "epsilon", value)
    live.append_request(folder, "learning_rate", 0.01, source="test")
    epsilon, rate = control.read(path)
    assert (epsilon.name, epsilon.value, rate.source) == ("epsilon", 0.3, "test")
    assert str(epsilon) == "epsilon is now 0.3 (set by the window)"
    assert control.overrides == {"epsilon": 0.3, "learning_rate": 0.01}
    live.append_request(folder, "learning", False)
    assert str(control.read(path)[0]) == "learning stopped by the window"
    assert control.overrides["learning_rate"] == 0.0
    for name in ("epsilon", "learning"):
        live.append_request(folder, name, None)
    assert [str(event) for event in control.read(path)] == [
        "epsilon follows its schedule again (set by the window)",
        "learning resumed by the window",
    ]
    assert control.overrides == {"learning_rate": 0.01}


def test_requests_are_read_in_whole_lines_and_once(tmp_path: Path) -> None:
    control, path = requests(), tmp_path / live.REQUESTS
    assert control.read(path) == []
    path.write_text('{"name": "epsilon", "value": 0.5')
    assert control.read(path) == []  # still being written
    live.append_request(tmp_path, "epsilon", 0.25)  # its writer was killed: the next line is not lost
    assert [event.value for event in control.read(path)] == [None, 0.25]
    path.write_text('{"name": "epsilon", "value": 0.75}\n')  # the file was replaced
    assert [event.value for event in control.read(path)] == [0.75]
    path.write_bytes(b"\xff" * 200_000 + b'\n{"name": "epsilon", "value": 0.5}\n')
    for _ in range(4):
        events = control.read(path)
    assert [event.value for event in events if not event.refused] == [0.5]
    path.unlink()
    assert control.read(path) == []
    live.append_request(tmp_path, "epsilon", 0.125)
    assert control.read(path)[0].value == 0.125


@pytest.mark.usefixtures("_publish_every_step")
def test_requests_in_force_survive_stop_and_resume(tmp_path: Path) -> None:
    by_step: dict[int, list[tuple[str, Any]]] = {
        100: [("epsilon", 0.9), ("learning_rate", 0.002)],
        120: [("epsilon", 7)],
        200: [("learning_rate", None)],
    }
    uninterrupted, stopped = (short(tmp_path) for _ in range(2))
    lines: list[str] = []
    uninterrupted.announce = lines.append
    whole, first = AttachedWindow(uninterrupted, by_step), AttachedWindow(stopped, by_step, stop_at=160)
    assert uninterrupted.run(whole)
    assert not stopped.run(first)
    resumed = Trainer(stopped.plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert (resumed.agent.epsilon, resumed.agent.learning_rate) == (0.9, 0.002)
    second = AttachedWindow(resumed, by_step)
    assert resumed.run(second)
    assert equal(uninterrupted, resumed)
    rows, alone = [*first.rows, *second.rows], RecordingWatcher()
    short(tmp_path).run(alone)
    for row, again in zip(whole.rows, rows, strict=True):
        assert (row["epsilon"], row["learning_rate"]) == (again["epsilon"], again["learning_rate"])
    for row, untouched in zip(rows, alone.rows, strict=True):
        at = row["agent_steps"]
        assert row["epsilon"] == (0.9 if at > 100 else untouched["epsilon"])
        assert row["learning_rate"] == (0.002 if 100 < at <= 200 else untouched["learning_rate"])
    with (resumed.run_folder.path / "events.csv").open(newline="") as file:
        events = list(csv.DictReader(file))
    assert [(event["agent_steps"], event["name"], event["value"]) for event in events] == [
        ("100", "epsilon", "0.9"),
        ("100", "learning_rate", "0.002"),
        ("120", "epsilon", ""),
        ("200", "learning_rate", "schedule"),
    ]
    assert "epsilon 7 is out of range" in events[2]["refused"]
    assert lines[0] == "epsilon is now 0.9 (set by the window) at 100 agent steps"
    assert Tail(uninterrupted.run_folder.path / "events.csv").rows()[0]["value"] == "0.9"
    assert not (resumed.run_folder.live / live.REQUESTS).exists()  # the run has ended


@pytest.mark.usefixtures("_publish_every_step")
@pytest.mark.parametrize("agent", ["dqn", "btr", "pqn", "stream_q"])
def test_learning_can_be_paused_and_resumed(agent: str, tmp_path: Path) -> None:
    run = short(tmp_path, agent)
    kept: list[dict[str, torch.Tensor]] = []

    class Keep(AttachedWindow):
        def progress(self, row: dict[str, Any]) -> None:
            kept.append({name: value.clone() for name, value in run.learner.online.named_parameters()})
            super().progress(row)

    watcher = Keep(run, {120: [("learning", False)], 160: [("learning", True)]})
    run.run(watcher)
    at = {row["agent_steps"]: weights for row, weights in zip(watcher.rows, kept, strict=True)}

    def same(one: int, other: int) -> bool:
        return all(torch.equal(value, at[other][name]) for name, value in at[one].items())

    assert not same(80, 120)
    assert same(124, 160)
    assert not same(160, 240)
    assert watcher.rows[-1]["learning_rate"] > 0


def test_a_saved_request_out_of_range_is_reported(tmp_path: Path) -> None:
    run = trainer(tmp_path, CARTPOLE, total_timesteps=400)
    run.stop_requested = True
    run.run(RecordingWatcher())
    counters = counters_of(run.run_folder)
    assert counters["requests"] == {"in_force": {}, "position": 0}
    damaged = {**counters, "requests": {"in_force": {"epsilon": 3}, "position": 0}}
    rewrite(run.run_folder, "counters.json", json.dumps(damaged).encode())
    with pytest.raises(UserError, match=r"damaged, .*epsilon 3 is out of range"):
        Trainer(run.plan, RunFolder(run.run_folder.path)).load_state()
    older = {key: value for key, value in counters.items() if key != "requests"}
    rewrite(run.run_folder, "counters.json", json.dumps(older).encode())
    Trainer(run.plan, RunFolder(run.run_folder.path)).load_state()  # saved by a version without requests
