"""Tracking: what a tracker gets, that a resumed run goes on there, and that none of its failures reaches a training."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import runs
import tidepool
from common.errors import UserError
from common.files import ROOT
from experiments import planning
from experiments.tracking import beside, follow, record, tracker
from experiments.tracking.follow import Follower, catch_up
from experiments.tracking.tracker import About, Name, Status, Tracked
from tests.scores.helpers import make_run

IMPORTS = (ast.Import, ast.ImportFrom)
HEADER = "agent_steps,frames,wall_s,episodic_return,td_loss\n"


class Memory:
    """A tracker that remembers what it gets; it raises where it is told to."""

    def __init__(self, raising: str = "", reached: float | None = None) -> None:
        self.raising, self.reached = raising, reached
        self.rows: list[Mapping[str, float]] = []
        self.tables: dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]] = {}
        self.films: list[str] = []
        self.known: str | None = None
        self.about: About | None = None
        self.status: Status | None = None

    def _may_raise(self, what: str) -> None:
        if what == self.raising:
            raise RuntimeError("the server is on fire\nand more")

    def begin(self, about: About, known: str | None) -> Tracked:
        self._may_raise("begin")
        self.about, self.known = about, known
        return Tracked("id-1", "https://example.org/runs/1", self.reached)

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        self._may_raise("log")
        self.rows += rows

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables[name] = columns, rows

    def film(self, path: Path) -> None:
        self.films.append(path.name)

    def finish(self, status: Status) -> None:
        self._may_raise("finish")
        self.status = status


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = make_run(tmp_path / "runs", [17.0, 19.0])
    about = json.loads((folder / "config.json").read_text())
    about |= {"commit": "abc123", "versions": {"torch": "2.13"}}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "metrics.csv").write_text(HEADER + "10,40,1.5,3.0,\n20,80,2.5,,0.5\n30,")
    record.write(folder, record.Record("wandb"))
    return folder


def test_a_tracker_gets_rows_config_tables_and_films(run: Path) -> None:
    (run / "videos").mkdir()
    (run / "videos" / "a.mp4").write_bytes(b"film")
    (run / "videos" / ".a.12.mp4").write_bytes(b"half")  # one that is being made
    (run / "videos" / "notes.txt").write_text("no film")
    memory, said = Memory(), list[str]()
    assert catch_up(run, said.append, memory)
    assert memory.rows == [
        {"agent_steps": 10.0, "frames": 40.0, "wall_s": 1.5, "episodic_return": 3.0},
        {"agent_steps": 20.0, "frames": 80.0, "wall_s": 2.5, "td_loss": 0.5},  # blanks and a half line are left out
    ]
    assert memory.about is not None
    wanted = {"commit": "abc123", "versions.torch": "2.13", "learning_rate": 5e-4, "env_id": "tidepool/Waterworld-v1"}
    assert wanted.items() <= memory.about.config.items()
    assert memory.about.tags == {"environment": "tidepool/Waterworld-v1", "agent": "dqn", "preset": "default"}
    columns, rows = memory.tables["evaluation"]
    assert [row[list(columns).index("episode_return")] for row in rows] == ["17.0", "19.0"]
    columns, rows = memory.tables["scores"]
    assert "18.0" in {row[list(columns).index("score")] for row in rows}
    assert len(rows) > 3  # beside the references
    assert (memory.films, memory.status) == (["a.mp4"], "finished")
    assert said == ["tracking begins: wandb, https://example.org/runs/1"]


def test_a_resumed_run_goes_on_under_its_id_and_no_row_comes_twice(run: Path) -> None:
    first = Memory()
    follower = Follower(run, lambda line: None, first)
    follower.begin()
    follower.send()
    assert record.read(run) == record.Record("wandb", "id-1", "https://example.org/runs/1", 2)
    # killed: the logs are cut back to one row, and the second is written again
    (run / "metrics.csv").write_text(HEADER + "10,40,1.5,3.0,\n20,80,9.9,,0.5\n30,120,11,4.0,0.4\n")
    second = Memory()
    follower = Follower(run, lambda line: None, second)
    follower.begin()
    follower.finish("stopped")
    assert second.known == "id-1"
    assert [row["agent_steps"] for row in second.rows] == [30.0]
    assert second.status == "stopped"


@pytest.mark.parametrize(("reached", "steps"), [(None, []), (10.0, [20.0]), (tracker.NOTHING, [10.0, 20.0])])
def test_a_tracker_that_knows_what_it_has_gets_the_rest(run: Path, reached: float | None, steps: list[float]) -> None:
    """What was taken may only have been put into a queue, which ended with its process."""
    assert catch_up(run, list[str]().append, Memory())
    again = Memory(reached=reached)
    assert catch_up(run, list[str]().append, again)
    assert [row["agent_steps"] for row in again.rows] == steps


def test_rows_wait_while_a_tracker_fails(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, said = Memory("log"), list[str]()
    follower = Follower(run, said.append, memory)
    follower.begin()
    assert [follower.send(), follower.send()] == [False, False]
    cure = "wandb login, or WANDB_MODE=offline"
    assert said[1:] == [f"note: wandb fails (the server is on fire): {cure}; training goes on, and it is tried again"]
    memory.raising = ""
    assert not follower.send()  # not at once
    monkeypatch.setattr(time, "monotonic", lambda clock=time.monotonic: clock() + 2 * follow.RETRY_SECONDS)
    assert follower.send()
    assert [row["agent_steps"] for row in memory.rows] == [10.0, 20.0]
    assert said[-1] == "note: wandb takes rows again"


@pytest.mark.parametrize("raising", ["log", "finish"])
def test_what_could_not_be_sent_in_the_end_is_said(run: Path, raising: str) -> None:
    said: list[str] = []
    assert not catch_up(run, said.append, Memory(raising))
    assert said[-1] == f"note: not all was sent to wandb; later: python runs.py track {run}"
    known = record.read(run)
    assert known is not None
    assert known.rows == (0 if raising == "log" else 2)


def test_a_tracker_that_fails_has_no_time_in_the_end(run: Path) -> None:
    memory, said = Memory("log"), list[str]()
    follower = Follower(run, said.append, memory)
    follower.begin()
    assert not follower.hopeless
    follower.send()
    assert follower.hopeless
    assert not follower.finish("finished")
    assert (memory.tables, memory.status) == ({}, None)  # each would fail in its own time
    memory.raising = ""
    assert follower.finish("finished")
    assert not follower.hopeless


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ("follow.SLOW_SECONDS = follow.HOPELESS_SECONDS = 0.1", True),
        ("follow.SLOW_SECONDS, follow.ALONE_SECONDS = 1000, 0.1", False),  # it began to hang after the training
    ],
)
def test_one_that_hangs_is_left_after_the_training(
    times: str, says: bool, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fake(tmp_path, "hangs", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'fake'}:{ROOT}")
    code = f"import sys; from experiments.tracking import follow; {times}; "
    words = [sys.executable, "-c", f"{code}sys.exit(follow.main(sys.argv[1:]))", str(run)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("tracking begins")
        time.sleep(0.5)
        process.stdin.close()
        try:
            assert process.wait(20) == tracker.SAID
        finally:
            process.kill()  # else leaving the block would wait for what hangs
        said = process.stdout.read()
    cure = "which does not answer (wandb login, or WANDB_MODE=offline)"
    assert said == (f"note: not all was sent to wandb, {cure}; later: python runs.py track {run}\n" if says else "")


def test_what_a_tracker_has_lost_is_sent_again(run: Path) -> None:
    memory, said = Memory(), list[str]()
    follower = Follower(run, said.append, memory)
    follower.begin()
    follower.send()
    with (run / "metrics.csv").open("a") as file:
        file.write("120,5,6.0,0.25\n")

    def lose(rows: Sequence[Mapping[str, float]]) -> None:
        raise tracker.Lost("a.wandb is gone")

    memory.log = lose  # type: ignore[method-assign]
    follower.send()
    assert said[-1] == "note: wandb has lost what it had (a.wandb is gone); training goes on"
    again = Memory()
    assert catch_up(run, said.append, again)
    assert [row["agent_steps"] for row in again.rows] == [10, 20, 30]


def test_a_tracker_that_does_not_begin_is_one_line_with_the_cure(run: Path) -> None:
    said: list[str] = []
    assert not Follower(run, said.append, Memory("begin")).begin()
    assert said == [
        "note: wandb can't be used (the server is on fire): wandb login, or WANDB_MODE=offline; training goes on"
    ]
    assert not catch_up(run, said.append, Memory("begin"))  # no training goes on any more
    assert said[1] == said[0].replace("training goes on", f"later: python runs.py track {run}")


@pytest.mark.parametrize("damage", ["{", '{"tracker": "nobody"}', '{"tracker": "wandb", "id": "a\\u001b[2J"}', "[]"])
def test_a_damaged_file_stops_no_training(run: Path, damage: str) -> None:
    (run / "tracking.json").write_text(damage)
    said: list[str] = []
    with beside.tracked(run, None, said.append):
        pass
    assert len(said) == 1
    assert said[0].endswith("training goes on")
    assert "\x1b" not in said[0]


# ------------------------------------------------------------------ the process, with a library that misbehaves


FAKE = """
import os, sys, time
where = os.environ["FAKE_LOG"]
def write(line):
    with open(where, "a") as file:
        file.write(line + "\\n")
class Settings:
    def __init__(self, **all): self.sync_dir, self.sync_file = "offline-run", where + ".wandb"
class Run:
    id, url, settings, summary, offline = "r1", None, Settings(), {}, MODE == "gone"
    def define_metric(self, *a, **k): pass
    def log(self, row):
        if MODE == "raises": raise OSError("broken pipe")
        if MODE == "exits": os._exit(1)
        if MODE == "leaves": sys.exit(1)
        if MODE == "gone" and row.get("agent_steps") == 20: os.remove(Settings().sync_file)
        if MODE == "hangs": time.sleep(1000)
        print("noise on the terminal")
        write("row %s" % row.get("agent_steps"))
    def finish(self, exit_code): write("finish %d" % exit_code)
def init(**all):
    if MODE == "logged out": raise RuntimeError("api_key not configured (no-tty)")
    if MODE == "gives up": sys.exit(1)
    if MODE == "gone": open(Settings().sync_file, "w").close()
    return Run()
class Table:
    def __init__(self, **all): pass
"""


def with_fake(folder: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `wandb` be a module that behaves like this in processes that are started; return what it writes to."""
    (folder / "fake").mkdir()
    (folder / "fake" / "wandb.py").write_text(f"MODE = {mode!r}\n{FAKE}")
    monkeypatch.setenv("PYTHONPATH", str(folder / "fake"))
    monkeypatch.setenv("FAKE_LOG", str(folder / "fake.log"))
    there = importlib.util.spec_from_loader("wandb", None, origin="fake")
    monkeypatch.setattr(tracker, "find_spec", lambda name: there)
    return folder / "fake.log"


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("well", "tracking begins: wandb, wandb sync offline-run"),
        ("logged out", "note: wandb can't be used (api_key not configured (no-tty)): wandb login, or"),
        ("gives up", "note: wandb gave up (1): wandb login, or"),
        ("raises", "note: wandb fails (broken pipe): wandb login, or WANDB_MODE=offline"),
        ("leaves", "note: wandb fails (1): wandb login"),
        ("exits", "note: wandb ended by itself (1) and tracks no further; later: python runs.py track "),
        ("gone", "note: wandb has lost what it had ("),
        ("hangs", "note: wandb did not end in time, and was ended; later: python runs.py track "),
    ],
)
def test_whatever_a_library_does_the_trainer_goes_on(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, line: str
) -> None:
    log = with_fake(tmp_path, mode, monkeypatch)
    said: list[str] = []
    with beside.tracked(run, "wandb", said.append, patience=2.0 if mode == "hangs" else 30.0) as tracking:
        began = time.monotonic()
        tracking.status = "finished"
    assert time.monotonic() - began < 25.0
    assert any(one.startswith(line) for one in said), said
    if mode not in ("logged out", "gives up"):  # whose line has it if the training has ended by then
        assert sum("later: python runs.py track" in one for one in said) == (mode != "well")
    assert not any("noise" in one for one in said)
    assert all(len(one) <= 300 for one in said)
    if mode == "well":
        assert log.read_text().split("\n")[:2] == ["row 10.0", "row 20.0"]
        assert log.read_text().endswith("finish 0\n")


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("well", ""),
        ("raises", "wandb fails (broken pipe): wandb login, or WANDB_MODE=offline; not all was sent to wandb"),
        ("logged out", "wandb can't be used (api_key not configured (no-tty)): wandb login, or WANDB_MODE=offline"),
        ("exits", "wandb ended by itself (1) and tracks no further"),
    ],
)
def test_a_run_sent_afterwards_says_why_it_was_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], mode: str, line: str
) -> None:
    log = with_fake(tmp_path, mode, monkeypatch)
    if line:
        with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
            runs.main(["track", str(run)])
    else:
        assert runs.main(["track", str(run)]) == 0
        assert log.read_text().endswith("finish 0\n")
    assert "noise" not in "".join(capfd.readouterr())  # of the library, or of a process that it starts


def test_a_damaged_run_is_said_to_be_that(run: Path) -> None:
    (run / "config.json").write_text("{")
    said: list[str] = []
    assert not catch_up(run, said.append, Memory())
    assert said[0].startswith(f"note: {run}/config.json: not readable as JSON")
    assert "wandb login" not in said[0]


def test_rows_that_can_not_be_read_are_not_said_to_be_sent(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fake(tmp_path, "", monkeypatch)
    (run / "metrics.csv").write_bytes(bytes(range(255)))
    with pytest.raises(UserError, match=r"^\S+metrics.csv: damaged, its first line names no column agent_steps$"):
        runs.main(["track", str(run)])


def test_a_killed_trainer_s_run_is_finished_by_the_process_beside_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = with_fake(tmp_path, "well", monkeypatch)
    code = f"""
import os, importlib.util
from pathlib import Path
from experiments.tracking import beside
beside.tracked(Path({str(run)!r}), "wandb", print).__enter__()
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": f"{tmp_path / 'fake'}:{ROOT}"})
    deadline = time.monotonic() + 30
    while not (log.exists() and "finish" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert log.read_text().endswith("finish 1\n")


def test_a_library_that_is_not_installed_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    said: list[str] = []
    with beside.tracked(run, "trackio", said.append):
        pass
    assert said == ["note: trackio is not installed: pip install -e '.[trackio]'; training goes on"]
    with pytest.raises(UserError, match="trackio is not installed: pip install"):
        runs.main(["track", str(run), "--track", "trackio"])


def test_without_the_option_nothing_is_started_nor_imported(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [1.0])
    with beside.tracked(folder, None, pytest.fail):
        assert not (folder / "tracking.json").exists()
    libraries = {"wandb", "trackio", "mlflow"}
    for path in (ROOT / "experiments").rglob("*.py"):
        if not path.name.startswith("with_"):
            top = ast.Module([node for node in ast.parse(path.read_text()).body if isinstance(node, IMPORTS)], [])
            assert not libraries & set(re.split(r"[\s._]+", ast.unparse(top))), path


def test_a_tracked_training_is_the_same_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = with_fake(tmp_path, "well", monkeypatch)
    short: dict[str, Any] = {"total_timesteps": 800, "eval_episodes": 1, "evaluations": 1, "learning_starts": 100}
    folders = [
        tidepool.train("CartPole-v1", agent="dqn", progress=False, runs_dir=tmp_path / name, **short, **more)
        for name, more in (("alone", {}), ("tracked", {"track": "wandb"}))
    ]
    manifests = [json.loads((folder / "agent" / "manifest.json").read_text()) for folder in folders]
    assert manifests[0] == manifests[1]  # with the checksum of the weights
    assert [(folder / "tracking.json").exists() for folder in folders] == [False, True]
    assert "row 800.0" in log.read_text()
    assert log.read_text().endswith("finish 0\n")


def test_runs_of_a_sweep_are_tracked() -> None:
    found = planning.planned(["CartPole-v1", "--seeds", "1-2", "--track", "mlflow"])
    assert found.tracking == ["--track", "mlflow"]
    assert len(found.plan.rows) == 2
    assert not any("track" in word for row in found.plan.rows for word in row.words)
    with pytest.raises(UserError, match="send its runs afterwards"):
        planning.planned(["CartPole-v1", "--track", "mlflow", "--slurm", "a.sh"])


# ------------------------------------------------------------------ the libraries themselves


def sent(run: Path, name: Name) -> list[str]:
    """Send a run in a process of its own, then what came since; return what was said."""
    code = f"""
import sys
from pathlib import Path
from experiments.tracking import follow, record
run = Path({str(run)!r})
record.write(run, record.Record({name!r}))
assert follow.catch_up(run, lambda line: print(line, file=sys.stderr))
with (run / "metrics.csv").open("a") as file:
    file.write("120,5,6.0,0.25\\n")
assert follow.catch_up(run, lambda line: print(line, file=sys.stderr))
"""
    words, env = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=run.parent, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("tracking")]


def test_mlflow_keeps_everything_in_a_file(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow", reason="pip install -e '.[mlflow]'")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    where = f"mlflow, mlflow ui --backend-store-uri {uri}"
    assert sent(run, "mlflow") == [f"tracking begins: {where}", f"tracking goes on: {where}"]
    client = mlflow.MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("tidepool").experiment_id])
    history = client.get_metric_history(found.info.run_id, "episodic_return")
    assert [(one.step, one.value) for one in history] == [(10, 3.0), (30, 6.0)]
    assert (found.data.params["learning_rate"], found.data.params["commit"]) == ("0.0005", "abc123")
    assert found.info.status == "FINISHED"
    assert {one.path for one in client.list_artifacts(found.info.run_id)} == {"evaluation.json", "scores.json"}


def test_mlflow_s_run_that_is_gone_begins_again(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow", reason="pip install -e '.[mlflow]'")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    record.write(run, record.Record("mlflow", "0123456789abcdef0123456789abcdef", "", 2))
    assert runs.main(["track", str(run)]) == 0
    client = mlflow.MlflowClient(uri)
    known = record.read(run)
    assert known is not None
    assert known.id is not None
    assert [one.step for one in client.get_metric_history(known.id, "wall_s")] == [10, 20]


def test_trackio_keeps_everything_on_this_machine(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="pip install -e '.[trackio]'")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    assert len(sent(run, "trackio")) == 2
    code = "import json; from trackio.sqlite_storage import SQLiteStorage as S; runs = S.get_runs('tidepool'); "
    code += "print(json.dumps([runs, S.get_logs('tidepool', runs[0])]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    names, logs = json.loads(done.stdout.splitlines()[-1])
    assert names == [run.name]
    assert [(one["step"], one["episodic_return"]) for one in logs if "episodic_return" in one] == [(10, 3.0), (30, 6.0)]
    assert any("evaluation" in one for one in logs)


def test_trackio_that_can_not_write_says_so(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns, and goes on as if all were well."""
    pytest.importorskip("trackio", reason="pip install -e '.[trackio]'")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "file"))
    said: list[str] = []
    with beside.tracked(run, "trackio", said.append) as tracking:
        tracking.status = "finished"
    assert any(one.startswith("note: trackio has lost what it had (trackio failed to flush") for one in said), said
    known = record.read(run)
    assert known is not None
    assert known.rows == 0


def test_trackio_s_file_that_is_gone_is_said_and_made_again(run: Path, tmp_path: Path) -> None:
    """It makes another one, and goes on as if all were well."""
    pytest.importorskip("trackio", reason="pip install -e '.[trackio]'")
    code = f"""
import time
from pathlib import Path
from experiments.tracking import follow, record
run, file = Path({str(run)!r}), Path({str(tmp_path / "trackio" / "tidepool.db")!r})
record.write(run, record.Record("trackio"))
follower = follow.Follower(run, print)
follower.begin()
follower.send()
for _ in range(100):
    if file.exists() and file.stat().st_size and follower._tracker._is_kept():
        break
    time.sleep(0.1)
file.unlink()
with (run / "metrics.csv").open("a") as table:
    table.write("120,5,6.0,0.25\\n")
assert not follower.finish("finished")
assert record.read(run).rows == 0
assert follow.catch_up(run, print)
from trackio.sqlite_storage import SQLiteStorage
print([one["step"] for one in SQLiteStorage.get_logs("tidepool", run.name) if "wall_s" in one])
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TRACKIO_DIR": str(tmp_path / "trackio")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "note: trackio has lost what it had (its file was removed or damaged meanwhile)" in done.stdout
    (steps,) = (line for line in done.stdout.splitlines() if line.startswith("["))
    assert {10, 20} <= set(json.loads(steps))


def test_wandb_works_offline(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install -e '.[wandb]'")
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_DIR", str(tmp_path))):
        monkeypatch.setenv(name, value)
    lines = sent(run, "wandb")
    assert [line.split(":")[0] for line in lines] == ["tracking begins", "tracking goes on"]
    files = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({path.stem for path in files}) == 1  # one run, in a file each time
    assert any(b"episodic_return" in path.read_bytes() for path in files)
