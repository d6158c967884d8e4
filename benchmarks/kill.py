"""Kill trainings at random moments, resume them until they end, and compare them with ones that nothing happened to.

    python -m benchmarks.kill --kills 500 --out kills.json
    python -m benchmarks.kill --cases dqn/CartPole-v1 --kills 20 --moment checkpoint

A run passes if its weights, and all rows of metrics.csv and eval.csv but for times, are those of the unbroken one: 0
bits different, 0 rows lost or doubled. A kill is SIGKILL to the training's process, at a moment as ``--moment`` says:
any time, while a checkpoint is written (its folder changes), or during a resume. Where there is no run folder yet, the
training is started again.

The programs are forked from this one after all modules are imported, so that a kill costs seconds and not the imports.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tensorboard.compat.proto.event_pb2  # this and the experiments below: what a training loads late
import tensorboard.summary.writer.record_writer  # noqa: F401
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import train
from common.cli import parse
from common.errors import UserError
from common.files import write_json
from common.program import run
from common.settings import Between
from experiments import resuming, training  # noqa: F401
from experiments.command_line import RunOptions

TIMES = ("wall_s", "sps", "acting", "environment", "learning")
STOPPED = (130, 143, -signal.SIGTERM)  # by SIGTERM, after saving or before there was anything to save
OWN = "own_world:Own-v0"  # an environment of one's own, through --import
OWN_MODULE = """
import gymnasium
import numpy as np
from gymnasium import spaces

class Own(gymnasium.Env):
    observation_space, action_space = spaces.Box(-5.0, 5.0, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal(size=2).astype(np.float32)
        return self.x.clip(-5, 5), {}

    def step(self, action):
        self.x = (0.9 * self.x + 0.3 * (2 * action - 1) + self.np_random.normal(size=2) / 5).astype(np.float32)
        return self.x.clip(-5, 5), float(-abs(self.x[0])), bool(self.np_random.random() < 0.02), False, {}

if "Own-v0" not in gymnasium.registry:
    gymnasium.register("Own-v0", Own, max_episode_steps=100)
"""
# what makes a run of seconds; agents without such a setting are given none of it
REPLAY = "--learning-starts 500 --capacity 3000"
STEPS = {"Waterworld-v1": 60_000, "RLDemo-v0": 40_000, "CartPole-v1": 30_000, "ALE/Pong-v5": 3_000, OWN: 20_000}
AGENTS = {
    "d3qn": REPLAY,
    "rainbow": REPLAY,
    "iqn": REPLAY,
    "btr": REPLAY,
    "dqn": REPLAY,
    "pqn": "",
    "stream_q": "",
}
SHARE = {"rainbow": 0.2, "iqn": 0.2, "btr": 0.2, "stream_q": 0.2, "pqn": 0.5}  # of the steps: they are slower
CASES = (
    "d3qn/Waterworld-v1",
    "rainbow/RLDemo-v0",
    "iqn/CartPole-v1",
    "btr/ALE/Pong-v5",
    "pqn/ALE/Pong-v5",
    "dqn/ALE/Pong-v5 --protocol machado2018",
    "stream_q/CartPole-v1",
    "dqn/CartPole-v1",
    f"dqn/{OWN}",
    f"pqn/{OWN}",
    "stream_q/Waterworld-v1",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is killed, how often, and when."""

    cases: tuple[str, ...] = CASES
    """AGENT/ENVIRONMENT, with options of train.py behind it."""
    kills: Annotated[int, Between(1, 100_000)] = 500
    """Kills altogether, spread evenly over the cases."""
    per_run: Annotated[int, Between(1, 1000)] = 5
    """Kills of one training, at most; then it is left to end."""
    moment: Literal["any", "checkpoint", "resume", "mixed"] = "mixed"
    """When: any time, while a checkpoint is written, during a resume, or each of them in turn."""
    with_signal: Literal["KILL", "TERM"] = "KILL"
    """TERM asks it to save and end, which works without checkpoints."""
    every: str = "1s"
    """Time between checkpoints."""
    steps: Annotated[int, Between(100, 10**9)] | None = None
    """Agent steps of each training; by default some that take about ten seconds."""
    seed: int = 1
    """Of the moments."""
    out: Path | None = None
    """Write the results as JSON into this file."""
    place: Path | None = None
    """Where the runs lie; by default a temporary folder, removed at the end."""


class Attempt(NamedTuple):
    """A training until it ended or was killed."""

    code: int | None  # None: killed
    seconds: float


@dataclasses.dataclass
class Result:
    """All kills of a case."""

    case: str
    runs: int = 0
    kills: int = 0
    started_anew: int = 0
    """Kills before there was anything to resume."""
    at_checkpoints: int = 0
    in_resumes: int = 0
    different_weights: int = 0
    different_rows: int = 0
    lost: int = 0
    doubled: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled or different."""
        return not (self.different_weights or self.different_rows or self.lost or self.doubled or self.failed)


def main(argv: Sequence[str]) -> int:
    """Do what the options ask for; return 0 if all runs passed."""
    options = parse(Options, argv, prog="kill.py", description=__doc__)
    if options.with_signal == "KILL" and not checkpoints():
        raise UserError("this train.py makes no checkpoints, so only --with-signal TERM can be resumed")
    console, rng = Console(), random.Random(options.seed)
    place = options.place or Path(tempfile.mkdtemp(prefix="tidepool-kill-"))
    results = []
    try:
        for number, case in enumerate(options.cases):
            wanted = (options.kills + len(options.cases) - 1 - number) // len(options.cases)
            folder = place / case.replace("/", "-").replace(" ", "_").replace(":", "-")
            results.append(killed(case, wanted, options, folder, rng, console))
            if options.out is not None:
                write_json(options.out, as_json(options, results))
    finally:
        if options.place is None:
            shutil.rmtree(place, ignore_errors=True)
    show(console, results)
    return 0 if all(result.passed for result in results) else 1


def checkpoints() -> bool:
    """Whether `train.py` makes checkpoints."""
    return "checkpoint_every" in {field.name for field in dataclasses.fields(RunOptions)}


def command(case: str, options: Options) -> list[str]:
    """Return the words of a case's training."""
    what, *more = case.split()
    agent, _, env_id = what.partition("/")
    steps = options.steps or int(STEPS.get(env_id, 20_000) * SHARE.get(agent, 1.0))
    words = f"{env_id} --agent {agent} --total-timesteps {steps} --evaluations 4 --eval-episodes 2 --seed 1 --threads 1"
    words += f" --device cpu --keep-state no {AGENTS.get(agent, '')}"
    if "Pong" in env_id:
        words += " --eval-max-steps 200"
    if checkpoints():
        words += f" --checkpoint-every {options.every}"
    return [*words.split(), *more]


def killed(case: str, wanted: int, options: Options, folder: Path, rng: random.Random, console: Console) -> Result:
    """Train a case without a break, then again and again with kills; return what came of it."""
    folder.mkdir(parents=True)
    (folder / "own_world.py").write_text(textwrap.dedent(OWN_MODULE))
    words, result = command(case, options), Result(case)
    whole = attempt(folder, [*words, "--runs-dir", "unbroken"])
    if whole.code != 0:
        result.failed.append(f"the unbroken run: code {whole.code}: {last_line(folder)}")
        return result
    unbroken = newest(folder / "unbroken")
    assert unbroken is not None
    console.print(f"{case}: unbroken in {whole.seconds:.1f} s", highlight=False)
    turns = moments(options, rng)
    while result.kills < wanted and len(result.failed) < 3:
        broken = until_it_ends(words, wanted, whole.seconds, options, folder, rng, turns, result)
        result.runs += 1
        if broken is not None:
            compare(unbroken, broken, result)
        shutil.rmtree(folder / "broken", ignore_errors=True)
        console.print(f"{case}: {result.kills} kills, {'all equal' if result.passed else 'FAILED'}", highlight=False)
    return result


def moments(options: Options, rng: random.Random) -> Iterator[str]:
    """Yield the moment of each attempt: "mixed" is all three in turn, each time in another order."""
    kinds: list[str] = [options.moment]
    if options.moment == "mixed":
        kinds = ["any", "checkpoint", "resume"] if options.with_signal == "KILL" else ["any"]
    while True:
        yield from rng.sample(kinds, len(kinds))


def until_it_ends(
    words: list[str],
    wanted: int,
    seconds: float,
    options: Options,
    folder: Path,
    rng: random.Random,
    turns: Iterator[str],
    result: Result,
) -> Path | None:
    """Return the folder of a training that was killed a few times and resumed until its end; None: it failed."""
    kills = min(options.per_run, wanted - result.kills)
    number = getattr(signal, f"SIG{options.with_signal}")
    while True:
        run_folder = newest(folder / "broken")
        resumed = run_folder is not None
        again = ["--resume", str(run_folder)] if resumed else [*words, "--runs-dir", "broken"]
        again += ["--import", "own_world"] if resumed and any(OWN in word for word in words) else []
        moment = next(turns)
        due = Due(moment if resumed or moment != "resume" else "any", seconds, run_folder, rng)
        done = attempt(folder, again, (number, due) if kills > 0 else None)
        if done.code is None or (options.with_signal == "TERM" and done.code in STOPPED):
            kills -= 1
            result.kills += 1
            result.at_checkpoints += due.moment == "checkpoint" and due.seen
            result.in_resumes += due.moment == "resume"
            if (left := newest(folder / "broken")) is not None and not (left / "config.json").exists():
                shutil.rmtree(left)  # made, and killed before anything was in it
                left = None
            result.started_anew += left is None
        elif done.code == 0 or (done.code == 2 and f" --from {run_folder}" in last_line(folder)):
            # the latter: it was killed when it had finished, and says that a new run can start from its network
            return newest(folder / "broken")
        else:
            result.failed.append(f"{' '.join(again)}: code {done.code}: {last_line(folder)}")
            return None


class Due:
    """When the next kill comes.

    Attributes:
        moment: "any", "checkpoint" or "resume".
        seen: whether a checkpoint was seen being written.
    """

    def __init__(self, moment: str, seconds: float, run_folder: Path | None, rng: random.Random) -> None:
        self.moment, self.seen, self._folder, self._rng = moment, False, run_folder, rng
        longest = {"any": seconds * 0.7, "checkpoint": seconds, "resume": 0.5}[moment]
        self._at = time.monotonic() + rng.uniform(0.0, longest)
        self._skip, self._before = rng.randrange(3), None

    def __call__(self, broken: Path) -> bool:
        """Return whether it comes now; ``broken`` is where the run folder is made."""
        now = time.monotonic()
        if self.moment != "checkpoint":
            return now >= self._at
        self._folder = self._folder or newest(broken)
        if self._folder is None:
            return False
        state = changes(self._folder / "state")
        if self._before is not None and state != self._before:
            if self._skip == 0:
                self.seen = True
                time.sleep(self._rng.uniform(0.0, 0.02))
                return True
            self._skip -= 1
        self._before = state
        return now >= self._at + 30.0  # it makes none


def changes(folder: Path) -> Any:
    """Return what changes when something in a folder does; its own time and those of the folders in it."""
    try:
        inside = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        return [(entry.name, entry.stat().st_mtime_ns) for entry in inside], folder.stat().st_mtime_ns
    except OSError:
        return None


def attempt(folder: Path, words: list[str], kill: tuple[int, Due] | None = None) -> Attempt:
    """Train in a child process, in a folder; kill it when that is due."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        train_here(folder, words)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return Attempt(None if code == -signal.SIGKILL else code, time.monotonic() - began)
        if kill is not None and kill[1](folder / "broken"):
            os.kill(child, kill[0])
            kill = None
        time.sleep(0.001 if kill is not None else 0.02)


def train_here(folder: Path, words: list[str]) -> None:
    """Be the training, in a process of its own; never return."""
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["train.py", *words]
    sys.path.insert(0, str(folder))
    code: Any = 1
    try:
        run(train.main)
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException as error:
        print(f"traceback: {type(error).__name__}: {error}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def newest(place: Path) -> Path | None:
    """Return the run folder in a folder; None: there is none yet."""
    found = sorted(place.iterdir()) if place.is_dir() else []
    return found[-1] if found else None


def last_line(folder: Path) -> str:
    """Return the last line that a training printed."""
    lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1][:400] if lines else "nothing was printed"


# ------------------------------------------------------------------ comparison


def compare(unbroken: Path, broken: Path, result: Result) -> None:
    """Add to a result what differs between two runs."""
    digests = [
        hashlib.sha256((one / "agent" / "network.safetensors").read_bytes()).digest() for one in (unbroken, broken)
    ]
    result.different_weights += digests[0] != digests[1]
    for name, key in (
        ("metrics.csv", lambda row: (row["agent_steps"], bool(row["eval_return"]))),
        ("eval.csv", lambda row: (row["agent_steps"], row["episode"])),
    ):
        expected, found = rows(unbroken / name, key), rows(broken / name, key)
        result.doubled += sum(len(of_key) - 1 for of_key in found.values())
        result.lost += len(expected.keys() - found.keys())
        result.different_rows += len(found.keys() - expected.keys())
        result.different_rows += sum(found[key][0] != expected[key][0] for key in found.keys() & expected.keys())


def rows(path: Path, key: Callable[[dict[str, str]], Any]) -> dict[Any, list[dict[str, str]]]:
    """Return a file's rows, without times, by what tells them apart."""
    found: dict[Any, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(key(row), []).append({name: row[name] for name in row if name not in TIMES})
    return found


# ------------------------------------------------------------------ results


def as_json(options: Options, results: list[Result]) -> dict[str, Any]:
    """Return options and results as JSON's types."""
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    found = [{**dataclasses.asdict(result), "passed": result.passed} for result in results]
    return {"options": asked, "kills": sum(result.kills for result in results), "results": found}


def show(console: Console, results: list[Result]) -> None:
    """Print a table."""
    table = Table()
    heads = "case", "runs", "kills", "begun anew", "at checkpoints", "in resumes", "weights", "rows", "lost", "doubled"
    for head in heads:
        table.add_column(head, justify="left" if head == "case" else "right")
    table.add_column("")
    for one in results:
        numbers = one.runs, one.kills, one.started_anew, one.at_checkpoints, one.in_resumes
        wrong = one.different_weights, one.different_rows, one.lost, one.doubled
        table.add_row(one.case, *map(str, (*numbers, *wrong)), "passed" if one.passed else "FAILED")
    console.print(table)
    console.print("weights, rows: how many differ from those of the unbroken run", highlight=False)
    for one in results:
        for line in one.failed:
            console.print(f"{one.case}: {line}", highlight=False)


if __name__ == "__main__":
    run(main)
