"""The run folder: everything that one training writes, readable while it is still being written."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
import torch

from common.checked import AtMost, Name
from common.errors import UserError
from common.files import ROOT, write_json
from common.lock import Claim
from common.reading import check_folder, read_json
from common.settings import Between
from common.text import shown
from learning.evaluate import EpisodeResult
from learning.logs import Board, Faults, RowLog

FORMAT = 1
EVAL_COLUMNS = (
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
)
# column of metrics.csv -> TensorBoard's tag
TAGS = {
    "episodic_return": "charts/episodic_return",
    "episodic_length": "charts/episodic_length",
    "sps": "charts/SPS",
    "epsilon": "charts/epsilon",
    "learning_rate": "charts/learning_rate",
    "td_loss": "losses/td_loss",
    "q_values": "losses/q_values",
    "eval_return": "eval/episodic_return",
    "acting": "time/acting",
    "environment": "time/environment",
    "learning": "time/learning",
}
LOGS = ("metrics.csv", "eval.csv", "events.csv")
METRIC_COLUMNS = ("agent_steps", "frames", "updates", "episodes", "wall_s", *TAGS)
EVENT_COLUMNS = ("agent_steps", "frames", "wall_s", "name", "value", "source", "refused")
MILESTONES = (0, 1, 10)  # per cent of the run, at which an agent is kept for films; 100 is the agent itself


@dataclass(frozen=True)
class Described:
    """A run's ``config.json``, as far as a trainer or a window needs it; the rest says where the scores come from."""

    env_id: Name
    agent: Name
    config: Annotated[dict[str, Any], AtMost(1_000)]
    seed: Annotated[int, Between(0, 2**32 - 1)] = 1
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    threads: Annotated[int, Between(1, 256)] = 1
    evaluations: Annotated[int, Between(1, 10_000_000)] = 1
    eval_episodes: Annotated[int, Between(1, 100_000)] = 1
    storage: Literal["cpu", "cuda", "mps"] | None = None
    engine: Literal["torch", "fused", "graphs"] = "torch"  # older runs knew no other
    interim_episodes: Annotated[int, Between(1, 100_000)] | None = None
    keep_state: Literal["auto", "yes", "no"] = "auto"
    checkpoint_every: Name = "5m"
    env_timeout: Annotated[float, Between(0.1, 1e7)] | None = None
    env_processes: Literal["auto", "yes", "no"] = "auto"
    imports: Annotated[tuple[Name, ...], AtMost(100)] = ()
    extended: Annotated[tuple[dict[str, Any], ...], AtMost(10_000)] = ()
    actors: Annotated[int, Between(1, 10_000)] | None = None


LIBRARIES = ("torch", "numpy", "numba", "gymnasium", "ale-py")


class RunFolder:
    """One run: ``config.json``, ``metrics.csv``, ``eval.csv``, ``events.csv`` and TensorBoard's ``events.*``.

    And folders: ``agent/`` is all that playing needs, ``milestones/`` earlier agents, ``state/`` what resuming needs
    besides, ``live/`` is for attached windows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config: dict[str, Any] = read_json(path / "config.json")
        known = self.config.get("format") if isinstance(self.config, dict) else None
        if known != FORMAT:
            known = shown(str(known), 40)
            raise UserError(f"{path / 'config.json'}: format {known} is not known; this version reads {FORMAT}")
        check_folder(path)  # what is written here is written into these files
        self.claim = Claim(self.live)  # no other process trains this run meanwhile
        self.faults = Faults()
        self.rows = {
            log.name: log
            for log in (
                RowLog("metrics.csv", METRIC_COLUMNS),
                RowLog("eval.csv", EVAL_COLUMNS),
                RowLog("events.csv", EVENT_COLUMNS),
            )
        }
        self._board = Board()
        self._opened: int | None = None  # the folder itself, wherever it is moved; None: nothing was written yet

    @classmethod
    def create(cls, runs_dir: Path, env_id: str, agent: str, seed: int, config: Mapping[str, Any]) -> RunFolder:
        """Make a folder that did not exist before: ``<env>__<agent>__<seed>__<time>``."""
        stem = "__".join([env_id.replace("/", "-"), agent, str(seed), time.strftime("%Y%m%d-%H%M%S")])
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            path = _fresh(runs_dir, stem)
            about = {"format": FORMAT, "env_id": env_id, "agent": agent, "seed": seed, **config}
            write_json(path / "config.json", about)
        except OSError as error:
            raise UserError(f"--runs-dir {runs_dir}: can't be written ({error.strerror})") from None
        return cls(path)

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change entries of ``config.json``; `UserError` where it can't be written."""
        self.config |= changes
        try:
            write_json(self.path / "config.json", self.config)
        except OSError as error:
            raise UserError(f"{self.path / 'config.json'}: can't be written ({error.strerror})") from None

    @property
    def agent(self) -> Path:
        """The folder of all that playing needs."""
        return self.path / "agent"

    @property
    def state(self) -> Path:
        """The folder of all that resuming needs besides."""
        return self.path / "state"

    @property
    def live(self) -> Path:
        """The folder that attached windows use; see `learning.live`."""
        return self.path / "live"

    def milestone(self, percent: int) -> Path:
        """Return the folder of the agent as it was after ``percent`` per cent of the run."""
        return self.path / "milestones" / str(percent)

    def milestones_ahead(self, total: int, agent_steps: int) -> list[tuple[float, Path]]:
        """Return at how many agent steps which milestones are still to be written, the next one first.

        A missed one is not made up for: it would be another agent.
        """
        ahead = [(total * percent / 100, self.milestone(percent)) for percent in MILESTONES]
        return [(steps, folder) for steps, folder in ahead if steps >= agent_steps and not folder.exists()]

    # ------------------------------------------------------------------ what is appended

    def log_event(self, row: Mapping[str, str | float]) -> None:
        """Append one row to ``events.csv``: what an attached window changed, or a rejected request."""
        self._add("events.csv", [row])

    def log(self, row: Mapping[str, float | int | None]) -> None:
        """Append one row to ``metrics.csv`` and its values to TensorBoard; None leaves a blank."""
        values = {tag: row.get(column) for column, tag in TAGS.items()}
        self._board.add(
            int(row["agent_steps"] or 0), {tag: value for tag, value in values.items() if value is not None}
        )
        self._add("metrics.csv", [row])

    def log_evaluation(
        self, results: Iterable[EpisodeResult], agent_steps: int, frames: int, epsilon: float, protocol: str
    ) -> None:
        """Append one row an episode to ``eval.csv``; ``agent_steps`` and emulator ``frames`` are the training's."""
        common = {
            **{key: self.config[key] for key in ("env_id", "agent", "seed")},
            "agent_steps": agent_steps,
            "frames": frames,
            "epsilon": epsilon,
            "protocol": protocol,
        }
        rows = [{**common, **result._asdict(), "cut": int(result.cut)} for result in results]
        self._add("eval.csv", rows)

    def positions(self) -> dict[str, int]:
        """Return the size of each log, bytes, so that `cut` can bring them back to what they are now."""
        self.flush()
        return {path.name: path.stat().st_size for path in self._logs()}

    def cut(self, positions: Mapping[str, int]) -> None:
        """Remove from the logs what came after `positions`, and logs that were not there yet."""
        for path in self._logs():
            if path.name not in positions:
                path.unlink()
            elif path.stat().st_size > positions[path.name]:
                os.truncate(path, positions[path.name])

    def _logs(self) -> list[Path]:
        """Return the logs that are there: what is appended to while a run trains."""
        found = [self.path / name for name in LOGS] + sorted(self.path.glob("events.out.tfevents.*"))
        return [path for path in found if path.is_file() and not path.is_symlink()]

    def _add(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows[name].add(rows)
        self.flush()

    def flush(self) -> bool:
        """Write all rows that wait; return False, and say why, where that is not possible now."""
        written = [self.attempt(name, log.flush) for name, log in self.rows.items()]
        return all([*written, self.attempt("TensorBoard's file", self._board.flush)])

    def attempt(self, what: str, write: Callable[[Path], None], again: bool = True) -> bool:
        """Write something into this folder; return False, and say why, where that is not possible now.

        ``again``: it is tried later.
        A folder that was moved is followed, where the system tells where to; one that was removed stays so.
        """

        def into_folder() -> None:
            self._find()
            write(self.path)

        return self.faults.attempt(what, into_folder, again)

    def insist(self, what: str, write: Callable[[Path], None], patience: float) -> None:
        """Write something into this folder as soon as that is possible; one that was removed is made again.

        Raises:
            UserError: it was not possible for ``patience`` seconds.
        """

        def into_folder() -> None:
            try:
                self._find()
            except FileNotFoundError:
                write_json(self.path / "config.json", self.config)
            write(self.path)

        self.faults.insist(what, into_folder, patience)

    def close(self, patience: float = 0.0) -> None:
        """Write what waits, and forget the folder; `UserError` where that is not possible for so many seconds."""
        for name, log in self.rows.items():
            self.insist(name, log.flush, patience)
        self.insist("TensorBoard's file", self._board.flush, patience)
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    @property
    def unwritten(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that could not be written yet, by the file, as JSON's types: a state keeps them."""
        return {name: list(log.waiting) for name, log in self.rows.items() if log.waiting}

    def take_unwritten(self, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Write the rows that could not be written when a state was saved."""
        for name, waiting in rows.items():
            self._add(name, waiting)

    def _find(self) -> None:
        """Follow the folder if it was moved; `FileNotFoundError` if it was removed."""
        if (self.path / "config.json").exists():
            if self._opened is None and hasattr(os, "O_DIRECTORY"):
                self._opened = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            return
        with suppress(OSError, TypeError):  # only Linux tells; another name for what was removed
            moved = Path(os.readlink(f"/proc/self/fd/{self._opened}"))
            if moved != self.path and (moved / "config.json").is_file():
                self.path = moved
                self.faults.say(f"note: the run folder was moved; the run goes on in {moved}")
                return
        raise FileNotFoundError(errno.ENOENT, "the run folder is gone")


def _fresh(runs_dir: Path, stem: str) -> Path:
    """Make and return a new folder; a second run within one second gets a number."""
    for attempt in range(1, 1000):
        path = runs_dir / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise UserError(f"{runs_dir / stem}: a thousand runs of this name exist")


def provenance(device: str, threads: int) -> dict[str, Any]:
    """Return the provenance of a score: commit, library versions, hardware."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES if _installed(name)},
        },
        "device": device,
        "threads": threads,
        "processor": f"{processor()} ({torch.backends.cpu.get_cpu_capability()})",  # and the instructions used of it
        "hardware": {
            "machine": f"{platform.system()} {platform.machine()}",
            "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 0,
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        },
    }


def processor() -> str:
    """Return the processor's name, where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name.replace("-", "_")) is not None


def _commit() -> str | None:
    """Return the project's commit, with ``+`` when files differ from it; None outside a checkout of its own."""
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None  # its files lie inside another repository, whose commits say nothing about them
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def as_json(config: Any) -> dict[str, Any]:
    """Return a settings dataclass as JSON's types."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(config).items()
    }
