"""Every reader of a file that a person may have got from elsewhere, with a sound file to begin with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from agents import load_policy
from common.files import PRETRAINED
from common.lock import FILE, alive_processes
from experiments import run_table, starting
from experiments.resuming import resume
from experiments.run_status import status_of
from experiments.tracking import record
from experiments.tracking.follow import about
from learning.checkpoint import MANIFEST, WEIGHTS
from learning.config import LearnerConfig
from learning.live import REQUESTS, ControlRequests
from learning.states import RECORDS
from scores import table
from scores.collect import environment_comparisons, read
from scores.finding import find_all
from tests.fuzz.mutate import damaged_bytes, damaged_header, damaged_json, damaged_lines, damaged_table
from viewer import settings
from viewer.playing.attach import LiveAgent
from viewer.video.film import find_milestones

WHEELS, WATER = "convnetjs_rldemo_net.json", "reinforcejs_wateragent.json"
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
RUN, KILLED = FIXTURES / "stopped_run", FIXTURES / "killed_run"  # states of formats 1 and 2
STATE = "killed/state/15"
HUMANS = (
    "name,date,env_id,protocol,seed,episode_return,episode_length,apples,poison\n"
    "ann,2026-11-27T10:00:00+00:00,tidepool/Waterworld-v1,waterworld-1000,3,17.0,1000,20,3\n"
    "bob,2026-11-27T10:00:00+00:00,ALE/Pong-v5,machado2018,4,-3.0,2000,,\n"
)
REQUEST = '{"time": 1.5, "name": "epsilon", "value": 0.25, "source": "window"}\n'


class Reader(NamedTuple):
    """A reader, and the file that is damaged for it."""

    name: str
    file: str
    """In a folder that `sound` has filled."""
    damage: Callable[[bytes, random.Random], bytes]
    read: Callable[[Path], object]


def sound(folder: Path) -> None:
    """Fill a folder with a stopped run with scores, and what else is read, all of it sound."""
    shutil.copytree(RUN, folder / "runs" / "a__dqn__1__x")
    run = folder / "runs" / "a__dqn__1__x"
    shutil.copyfile(PRETRAINED / "waterworld" / "eval.csv", run / "eval.csv")
    (run / "events.csv").write_text(
        "agent_steps,frames,wall_s,name,value,source,refused\n512,512,1.0,epsilon,0.25,window,\n"
    )
    (run / record.FILE).write_text('{"tracker": "wandb", "id": "abc", "where": "wandb sync x", "rows": 3}')
    (run / "live").mkdir()
    (run / "live" / FILE).write_text(f"[[{os.getpid()}, 1.5], [{2**22 + 1}, 2.5]]")
    (run / "live" / REQUESTS).write_text(REQUEST * 3)
    (folder / "runs" / "humans.csv").write_text(HUMANS)
    for name in (WHEELS, WATER):
        shutil.copyfile(PRETRAINED / name, folder / name)
    shutil.copytree(KILLED, folder / "killed")
    shutil.rmtree(folder / "killed" / "state" / "13")  # would be taken in the place of the damaged one
    (folder / settings.FILE).write_text('{"hidden": ["neurons"], "agent_view": true, "size": [800, 600]}')


def run_of(folder: Path) -> Path:
    """Return the run in a folder that `sound` has filled."""
    return folder / "runs" / "a__dqn__1__x"


def rehashed(folder: Path) -> Path:
    """Return the run, in its manifest the checksum of the weights that are there: whoever damages them can do that."""
    agent = run_of(folder) / "agent"
    if not (agent / WEIGHTS).is_file():
        return run_of(folder)
    manifest = json.loads((agent / MANIFEST).read_text())
    manifest["sha256"] = hashlib.sha256((agent / WEIGHTS).read_bytes()).hexdigest()
    (agent / MANIFEST).write_text(json.dumps(manifest))
    return run_of(folder)


def rehash_state(folder: Path) -> None:
    """Write into a state's manifest what its files are now: whoever damages them can do that."""
    state = folder / STATE
    manifest = json.loads((state / MANIFEST).read_text())
    about = {name: state / name for name in manifest["files"]}
    for name, path in about.items():
        manifest["files"][name] |= described(path)
    for entry in manifest["records"]:
        entry |= described(state.parent / RECORDS / entry["file"])
    (state / MANIFEST).write_text(json.dumps(manifest))


def described(path: Path) -> dict[str, object]:
    """Return what a manifest says of a file; nothing of a pipe."""
    if not path.is_file():
        return {}
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _attach(folder: Path) -> None:
    agent = LiveAgent(run_of(folder), follow=False)
    agent.poll()
    agent.status()
    agent.close()


def _compare(folder: Path) -> None:
    data = read(folder / "runs")
    shown = environment_comparisons(data)
    text = table.as_text(shown, width=100) + table.as_json(shown) + table.as_csv(shown) + table.as_markdown(shown)
    for line in [*text.split("\n"), *data.warnings]:
        assert line.isprintable(), line


def _list(folder: Path) -> None:
    console = Console(file=io.StringIO(), width=100)
    runs = [status_of(path) for path in find_all([folder / "runs"])]
    console.print(run_table.table(runs), *map(run_table.details, runs))
    text = console.file.getvalue() + run_table.as_csv(runs) + run_table.as_json(runs)  # type: ignore[attr-defined]
    for line in text.split("\n"):
        assert line.isprintable(), line
    about(folder / "runs" / "a__dqn__1__x")


def _resume(folder: Path) -> None:
    trainer = resume(run_of(folder), Console(quiet=True))
    trainer.episodes.close()
    trainer.run_folder.claim.release()


def _resume_killed(folder: Path, rehash: bool = True) -> None:
    if rehash:
        rehash_state(folder)
    trainer = resume(folder / "killed", Console(quiet=True))
    trainer.episodes.close()
    trainer.run_folder.claim.release()


def _requests(folder: Path) -> None:
    for event in ControlRequests(LearnerConfig()).read(run_of(folder) / "live" / REQUESTS):
        assert str(event).isprintable()


def _window(folder: Path) -> None:
    with _variable(settings.FOLDER_VARIABLE, str(folder)):
        settings.load()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before, os.environ[name] = os.environ.get(name), value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


RUN_FOLDER = "runs/a__dqn__1__x"
READERS = {
    reader.name: reader
    for reader in (
        Reader("manifest", f"{RUN_FOLDER}/agent/{MANIFEST}", damaged_json, lambda f: load_policy(run_of(f))),
        Reader("weights", f"{RUN_FOLDER}/agent/{WEIGHTS}", damaged_header, lambda f: load_policy(rehashed(f))),
        Reader("--from", f"{RUN_FOLDER}/agent/{MANIFEST}", damaged_json, lambda f: starting.find(run_of(f), f)),
        Reader("--film", f"{RUN_FOLDER}/agent/{MANIFEST}", damaged_json, lambda f: find_milestones(run_of(f))),
        Reader("config, attached", f"{RUN_FOLDER}/config.json", damaged_json, _attach),
        Reader("config, resumed", f"{RUN_FOLDER}/config.json", damaged_json, _resume),
        Reader("config, compared", f"{RUN_FOLDER}/config.json", damaged_json, _compare),
        Reader("config, listed", f"{RUN_FOLDER}/config.json", damaged_json, _list),
        Reader("manifest, listed", f"{RUN_FOLDER}/agent/{MANIFEST}", damaged_json, _list),
        Reader("scores, listed", f"{RUN_FOLDER}/eval.csv", damaged_table, _list),
        Reader("tracking", f"{RUN_FOLDER}/{record.FILE}", damaged_json, lambda f: record.read(run_of(f))),
        Reader("counters", f"{RUN_FOLDER}/state/counters.json", damaged_json, _resume),
        Reader("experience", f"{RUN_FOLDER}/state/experience.json", damaged_json, _resume),
        Reader("replay", f"{RUN_FOLDER}/state/replay.safetensors", damaged_header, _resume),
        Reader("observations", f"{RUN_FOLDER}/state/observations.npy", damaged_bytes, _resume),
        Reader("learner", f"{RUN_FOLDER}/state/learner.safetensors", damaged_header, _resume),
        Reader("state", f"{STATE}/{MANIFEST}", damaged_json, lambda f: _resume_killed(f, rehash=False)),
        Reader("records", "killed/state/records/14.bin", damaged_bytes, _resume_killed),
        *(
            Reader(f"{name}, 2", f"{STATE}/{name}", damage, _resume_killed)
            for name, damage in (
                ("counters.json", damaged_json),
                ("experience.json", damaged_json),
                ("replay.safetensors", damaged_header),
                ("learner.safetensors", damaged_header),
            )
        ),
        Reader("metrics", f"{RUN_FOLDER}/metrics.csv", damaged_table, _attach),
        Reader("events", f"{RUN_FOLDER}/events.csv", damaged_table, _attach),
        Reader("scores", f"{RUN_FOLDER}/eval.csv", damaged_table, _compare),
        Reader("humans", "runs/humans.csv", damaged_table, _compare),
        Reader("lock", f"{RUN_FOLDER}/live/{FILE}", damaged_json, lambda f: alive_processes(run_of(f) / "live" / FILE)),
        Reader("requests", f"{RUN_FOLDER}/live/{REQUESTS}", damaged_lines, _requests),
        Reader(
            "ConvNetJS",
            "convnetjs_rldemo_net.json",
            damaged_json,
            lambda f: load_policy(f / "convnetjs_rldemo_net.json"),
        ),
        Reader(
            "REINFORCEjs",
            "reinforcejs_wateragent.json",
            damaged_json,
            lambda f: load_policy(f / "reinforcejs_wateragent.json"),
        ),
        Reader("window", settings.FILE, damaged_json, _window),
    )
}
