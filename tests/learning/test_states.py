"""States of a run: whole or not there, whenever it is killed; and a run that goes on from one is the run."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from common.errors import UserError
from learning import replay_state, states
from learning.runfolder import RunFolder
from learning.states import COUNTERS, MANIFEST, Piece, Saved, States
from learning.trainer import Trainer
from tests.learning.helpers import RecordingWatcher, trainer

CARTPOLE, RLDEMO = "CartPole-v1", "tidepool/RLDemo-v0"
AGENTS = ("d3qn", "rainbow", "pqn", "stream_q")
TIMES = ("wall_s", "sps", "acting", "environment", "learning")  # columns that differ from one time to the next


class Killed(BaseException):
    """Stands for the end of the process: nothing that is not on the disk by now will be."""


def rows(run: RunFolder, name: str) -> list[dict[str, str]]:
    """Return a log without its times; every line of it must be whole."""
    with (run.path / name).open(newline="") as file:
        found = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in found)
    return [{key: value for key, value in row.items() if key not in TIMES} for row in found]


def board(run: RunFolder) -> list[tuple[int, str]]:
    """Return steps and tags of what TensorBoard shows of a run, but for times."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(run.path), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in shown.Tags()["scalars"] if not tag.startswith(("time/", "charts/SPS"))]
    return sorted((event.step, tag) for tag in tags for event in shown.Scalars(tag))


def same_run(one: Trainer, other: Trainer) -> None:
    """Check that two runs are the same, bit for bit, and have written the same."""
    for name, value in one.learner.online.state_dict().items():
        assert torch.equal(value, other.learner.online.state_dict()[name]), name
    for log in ("metrics.csv", "eval.csv"):
        assert rows(one.run_folder, log) == rows(other.run_folder, log)
    assert board(one.run_folder) == board(other.run_folder)


def killed_at(run: Trainer, agent_steps: int, every: int) -> None:
    """Train with a state after every so many steps, and die at some agent step."""
    step, count = run.step, 0

    def step_or_die() -> None:
        nonlocal count
        if count and count % every == 0:
            run.save_state(wait=count % (2 * every) == 0)  # also while another is written
        if run.agent_steps >= agent_steps:
            raise Killed
        step()
        count += 1

    run.step = step_or_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run.run(RecordingWatcher())
    run.states.wait()


# ------------------------------------------------------------------ runs


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("env_id", [CARTPOLE, RLDEMO])
def test_a_killed_run_goes_on_as_if_nothing_had_been(env_id: str, agent: str, tmp_path: Path) -> None:
    """Twice, and with states at other moments than the unbroken run, which has none."""
    settings = {"total_timesteps": 1_600, "capacity": 600}  # so that rings come round
    unbroken = trainer(tmp_path, env_id, agent, **settings)
    unbroken.run(RecordingWatcher())
    run = trainer(tmp_path, env_id, agent, **settings)
    folder = run.run_folder.path
    for number, (end, every) in enumerate(((900, 37), (1_500, 61))):
        if number:
            run = Trainer(run.plan, RunFolder(folder))
            run.load_state()
            assert 0 < run.agent_steps < 900
        killed_at(run, end, every)
    with (folder / "metrics.csv").open("a") as file:
        file.write("1500,15")  # it died while it wrote
    run = Trainer(run.plan, RunFolder(folder))
    run.load_state()
    assert run.run(RecordingWatcher())
    same_run(run, unbroken)


def test_a_run_killed_before_its_first_state_begins_anew(tmp_path: Path) -> None:
    unbroken, run = (trainer(tmp_path, CARTPOLE, total_timesteps=800) for _ in range(2))
    unbroken.run(RecordingWatcher())
    killed_at(run, 500, 10_000)
    assert run.states.find() is None
    again = Trainer(run.plan, RunFolder(run.run_folder.path))
    again.start_over()
    again.run(RecordingWatcher())
    same_run(again, unbroken)


def test_states_come_when_they_are_due_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken, run = (trainer(tmp_path, CARTPOLE, total_timesteps=800) for _ in range(2))
    unbroken.run(RecordingWatcher())
    run.plan = dataclasses.replace(run.plan, state_every=0.0, keep_state="no")
    saved: list[int] = []
    save = run.save_state

    def count(*arguments: Any, **options: Any) -> None:
        saved.append(run.agent_steps)
        save(*arguments, **options)

    monkeypatch.setattr(run, "save_state", count)
    run.run(RecordingWatcher())
    assert len(saved) > 2  # as many as the disk has time for
    same_run(run, unbroken)
    assert not run.run_folder.state.exists()


def test_updates_that_no_row_has_reported_yet_are_a_part_of_the_state(tmp_path: Path) -> None:
    run = trainer(tmp_path, CARTPOLE)
    run.begin()
    while run.learner.updates < 7:
        run.step()
    run.save_state()
    again = Trainer(run.plan, run.run_folder)
    again.load_state()
    assert again.update_log.read() == run.update_log.read() != (None, None)


# ------------------------------------------------------------------ what is on the disk


SLOTS, RINGS = 10, 2


class Rings:
    """Two rings of numbers, as a replay has them; number i of ring r is 1,000 r + i."""

    def __init__(self, folder: Path) -> None:
        self.states, self.ends = States(folder), np.zeros(RINGS, np.int64)

    def grow(self, *counts: int) -> None:
        """Get so many records each."""
        self.ends += counts

    def take(self, first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate(
            [1_000 * ring + np.arange(*span) for ring, span in enumerate(zip(first, end, strict=True))]
        )

    def save(self) -> None:
        into = self.states.begin()
        into.add_json(COUNTERS, {"ends": self.ends.tolist()})
        into.add_records(self.ends, SLOTS, 8, self.take)
        self.states.save(into)
        self.states.wait()

    @staticmethod
    def check(saved: Saved | None) -> list[int]:
        """Check that a state has the newest records of each ring; return how many each ring had got."""
        assert saved is not None
        ends: list[int] = saved.json(COUNTERS)["ends"]
        held = np.full((RINGS, SLOTS), -1)

        def put(first: NDArray[np.int64], end: NDArray[np.int64], records: NDArray[Any]) -> None:
            at = 0
            for ring in range(RINGS):
                for number in range(int(first[ring]), int(end[ring])):
                    held[ring, number % SLOTS] = records[at]
                    at += 1
            assert at == len(records)

        saved.records(put, RINGS, SLOTS, ())
        for ring in range(RINGS):
            for number in range(max(ends[ring] - SLOTS, 0), ends[ring]):
                assert held[ring, number % SLOTS] == 1_000 * ring + number
        return ends


def test_states_share_records_and_the_last_two_are_kept(tmp_path: Path) -> None:
    rings = Rings(tmp_path)
    sizes = []
    for counts in ((3, 5), (4, 0), (1, 1), (0, 0), (9, 2), (25, 30), (1, 1)):
        rings.grow(*counts)
        rings.save()
        assert Rings.check(States(tmp_path).find()) == rings.ends.tolist()
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "records").iterdir()) // 8)
        assert len([path for path in tmp_path.iterdir() if path.name != "records"]) <= 2
    # what is new, and what the state before needs besides; never two of the same
    assert sizes == [8, 12, 14, 14, 25, 45, 22]


def test_what_is_written_ahead_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rings, write = Rings(tmp_path), states._write_piece
    written: list[int] = []
    rings.save()

    def count(path: Path, records: NDArray[Any]) -> Any:
        written.append(len(records))
        return write(path, records)

    monkeypatch.setattr(states, "_write_piece", count)
    rings.grow(3, 3)
    rings.states.write_records(rings.ends, SLOTS, 8, rings.take, least=64)
    assert not written
    rings.grow(1, 1)
    rings.states.write_records(rings.ends, SLOTS, 8, rings.take, least=64)
    rings.grow(1, 0)
    rings.save()
    assert written == [8, 1]
    Rings.check(States(tmp_path).find())


def test_large_records_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "PIECE_BYTES", 32)
    rings = Rings(tmp_path)
    rings.grow(9, 8)
    rings.save()
    pieces = list((tmp_path / "records").iterdir())
    assert len(pieces) == 5
    assert max(path.stat().st_size for path in pieces) <= 40
    assert Rings.check(States(tmp_path).find()) == [9, 8]


@pytest.mark.parametrize("operation", ["write", "sync", "replace", "unlink", "rmtree"])
def test_a_kill_at_any_moment_leaves_a_whole_state(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the first, second, ... such operation of the third and fourth state; then it goes on."""
    targets: dict[str, tuple[Any, str]] = {
        "write": (states, "_write_file"),
        "sync": (states, "_sync"),
        "replace": (os, "replace"),
        "unlink": (Path, "unlink"),
        "rmtree": (shutil, "rmtree"),
    }
    place, name = targets[operation]
    real: Callable[..., Any] = getattr(place, name)
    kills = 0
    for moment in range(100):
        rings = Rings(tmp_path / str(moment))
        for _ in range(2):
            rings.grow(6, 8)
            rings.save()
        left = moment

        def die(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                if operation == "write":
                    real(arguments[0], bytes(arguments[1])[:5])  # half of it
                raise Killed
            left -= 1
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(place, name, die)
            try:
                for _ in range(2):
                    rings.grow(6, 8)
                    rings.save()
            except Killed:
                kills += 1
            else:
                break
        ends = Rings.check(States(rings.states.folder).find())
        assert ends[0] in (rings.ends[0] - 6, rings.ends[0])
        again = Rings(rings.states.folder)
        saved = again.states.find()
        assert saved is not None
        again.ends = np.array(ends)
        again.states.go_on_from(saved, again.ends)
        for _ in range(3):
            again.grow(3, 2)
            again.save()
            assert Rings.check(States(again.states.folder).find()) == again.ends.tolist()
        assert not list(again.states.folder.glob("*.part"))
    assert kills >= {"write": 6, "sync": 4, "replace": 2, "unlink": 1, "rmtree": 2}[operation]


def test_a_kill_while_states_are_removed_leaves_none_that_is_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings = Rings(tmp_path)
    rings.grow(3, 5)
    rings.save()

    def half(path: Path, **options: Any) -> None:
        for manifest in (path / MANIFEST, *path.glob("*/" + MANIFEST)):
            manifest.unlink(missing_ok=True)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(Killed):
            rings.states.remove()
    assert States(tmp_path).find() is None
    States(tmp_path).remove()
    assert not tmp_path.exists()


@pytest.mark.parametrize("damage", ["half", "changed", "gone", "no manifest", "manifest"])
def test_the_state_before_a_damaged_one_is_taken(damage: str, tmp_path: Path) -> None:
    rings = Rings(tmp_path)
    for _ in range(2):
        rings.grow(2, 2)
        rings.save()
    newest = States(tmp_path).newest()
    assert newest is not None
    file = newest.folder / (COUNTERS if "manifest" not in damage else MANIFEST)
    if damage in ("gone", "no manifest"):
        file.unlink()
    elif damage == "changed":
        file.write_bytes(file.read_bytes().replace(b"4", b"5"))
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    said: list[str] = []
    saved = States(tmp_path).find(said.append)
    assert Rings.check(saved) == [2, 2]
    (line,) = said
    assert str(file) in line
    assert line.endswith("the state before is taken")
    # and once the run has gone on, the damaged one does not come back
    again = Rings(tmp_path)
    again.ends = np.array([2, 2])
    assert saved is not None
    again.states.go_on_from(saved, again.ends)
    for grown in (3, 4):
        again.grow(1, 1)
        again.save()
        assert Rings.check(States(tmp_path).find()) == [grown, grown]


def test_damaged_records_are_noticed(tmp_path: Path) -> None:
    """By their size at once, else when they are loaded: there may be gigabytes."""
    rings = Rings(tmp_path)
    for _ in range(2):
        rings.grow(2, 2)
        rings.save()
    older, newer = sorted((tmp_path / "records").iterdir())
    newer.write_bytes(b"half")
    said: list[str] = []
    assert Rings.check(States(tmp_path).find(said.append)) == [2, 2]
    assert said == [f"{newer}: damaged, its size is not the manifest's; the state before is taken"]
    older.write_bytes(bytes(older.stat().st_size))
    with pytest.raises(UserError, match=r"\.bin: damaged, its size or checksum is not the manifest's"):
        Rings.check(States(tmp_path).find())
    older.unlink()
    with pytest.raises(UserError, match=r"\.bin: not readable"):
        States(tmp_path).find()


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": [10**9, 1], "shape": [10**9 + 1]},
        {"counts": [1, 1, 1], "first": [0, 0, 0], "shape": [3]},
        {"counts": [1, 1], "shape": [2, 10**9]},
        {"bytes": 10**12},
    ],
)
def test_records_that_no_ring_can_hold_are_refused_before_they_are_read(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings = Rings(tmp_path)
    rings.grow(3, 5)
    rings.save()
    manifest = next(tmp_path.glob("*/manifest.json"))
    about = json.loads(manifest.read_text())
    about["records"][0] |= changes
    manifest.write_text(json.dumps(about))
    monkeypatch.setattr(Piece, "read", lambda self: pytest.fail("read"))
    monkeypatch.setattr(Piece, "check", lambda self: None)  # a file of that size, of holes, is easily made
    with pytest.raises(UserError, match="damaged"):
        Rings.check(States(tmp_path).find())


def test_a_manifest_names_no_file_elsewhere(tmp_path: Path) -> None:
    rings = Rings(tmp_path / "state")
    rings.grow(2, 2)
    rings.save()
    (tmp_path / "other").write_bytes(b"secret")
    newest = States(tmp_path / "state").newest()
    assert newest is not None
    manifest = (newest.folder / MANIFEST).read_text()
    (newest.folder / MANIFEST).write_text(manifest.replace('"file": "', '"file": "../../other'))
    with pytest.raises(UserError, match="damaged"):
        States(tmp_path / "state").find()


@pytest.mark.parametrize("failing", ["_write_piece", "_sync", "_write_file"])
def test_a_full_disk_costs_one_state_and_not_those_before(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings = Rings(tmp_path)
    rings.grow(4, 4)
    rings.save()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(states, failing, full)
            rings.grow(4, 4)
            with pytest.raises(OSError, match="No space left on device"):
                rings.save()
        assert Rings.check(States(tmp_path).find()) == [4, 4]
    rings.grow(4, 4)
    rings.save()
    assert Rings.check(States(tmp_path).find()) == [16, 16]


def test_a_run_tells_once_of_states_that_fail_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path, CARTPOLE, total_timesteps=800)
    run.plan = dataclasses.replace(run.plan, state_every=0.0)
    said: list[str] = []
    run.announce = said.append
    write = states._write_file

    def full_for_a_while(path: Path, data: bytes) -> None:
        if 200 < run.agent_steps < 500:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(states, "_write_file", full_for_a_while)
    assert run.run(RecordingWatcher())
    failed, again = said
    assert failed.startswith("note: the state can't be written (No space left on device); training goes on")
    assert again == "note: the run can be written again, and nothing that waited was lost"


def test_a_state_of_the_first_format_loads(tmp_path: Path) -> None:
    """It had no manifest, lay in ``state/`` itself, and its observations ring by ring."""
    run = trainer(tmp_path, CARTPOLE, "rainbow")
    run.begin()
    while run.learner.updates < 5:
        run.step()
    run.save_state()
    saved, folder = run.states.newest(), run.run_folder.state
    assert saved is not None
    for name in saved.files or ():
        shutil.copy(saved.folder / name, folder / name)
    np.save(folder / "observations.npy", replay_state.held(run.experience.replay).numpy())  # type: ignore[attr-defined]
    shutil.rmtree(saved.folder)
    shutil.rmtree(folder / "records")
    again = Trainer(run.plan, RunFolder(run.run_folder.path))
    again.load_state()
    for _ in range(20):
        run.step()
        again.step()
    for mine, theirs in zip(run.learner.parameters, again.learner.parameters, strict=True):
        assert torch.equal(mine, theirs)
    again.save_state()
    assert not (folder / COUNTERS).exists()
    assert States(folder).find() is not None
