"""A planned run on disk: whether it is finished, failed, or can be resumed; how far it is.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

from common.errors import MOST, UserError
from common.files import write_json
from common.reading import cells, opened, read_json, rows
from common.signals import PARENT
from common.text import shown
from learning import states
from scores.runs import CONFIG_FILE, METRICS_FILE, read_run

State = Literal["finished", "failed", "stopped", "broken", "none"]
BROKEN = "broken"  # a folder for what can't be resumed


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One configuration with one seed: the place of its run, and its progress."""

    folder: Path
    """The configuration's runs folder, ``--runs-dir`` of `train.py`."""
    seed: int

    @property
    def log(self) -> Path:
        """The file that the run's output goes to."""
        return self.folder / f"seed{self.seed}.log"

    @property
    def failure(self) -> str | None:
        """Why it failed the last time, in one line; None if it did not."""
        try:
            about = read_json(self._failure_file)
        except UserError:
            return None
        return shown(str(about.get("why") if isinstance(about, dict) else about), MOST)

    @property
    def _failure_file(self) -> Path:
        return self.folder / f"seed{self.seed}.failed.json"

    def fail(self, why: str) -> None:
        """Record that it failed, so that it is not tried again unless that is asked for."""
        with contextlib.suppress(OSError):
            write_json(self._failure_file, {"why": why})

    def forget_failure(self) -> None:
        """Forget that it failed: it is tried again."""
        with contextlib.suppress(OSError):
            self._failure_file.unlink(missing_ok=True)

    def prepare(self, trash: Path, starting: list[str], resuming: list[str]) -> tuple[list[str], bool]:
        """Return the command line that starts or resumes it, and whether it resumes.

        Args:
            trash: what can't be resumed is moved below this folder.
            starting: the command line that starts it.
            resuming: more words for one that resumes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.forget_failure()
        self.move_broken(trash)
        state, path = self.find()
        return (["--resume", str(path), *resuming], True) if state == "stopped" else (starting, False)

    def find(self) -> tuple[State, Path | None]:
        """Return the state of this run, and its run folder if there is one; of several the furthest."""
        folders = self._folders()
        if path := next(filter(finished, folders), None):
            return "finished", path
        if self.failure is not None:
            return "failed", folders[-1] if folders else None
        if path := next(filter(stopped, folders), None):
            return "stopped", path
        return ("broken", folders[-1]) if folders else ("none", None)

    def finished_folder(self) -> Path | None:
        """Return the run folder of the finished run, None before it is finished."""
        return next((path for path in self._folders() if finished(path)), None)

    def progress(self, total: int) -> tuple[int, int]:
        """Return the agent steps of the newest run, done and total; ``total`` is used before it has a config."""
        folders = self._folders()
        return (steps(folders[-1]), total_steps(folders[-1]) or total) if folders else (0, total)

    def newest_folder(self) -> Path | None:
        """Return the folder of the run that trains now or trained last, None before there is one."""
        return next(iter(self._folders()[::-1]), None)

    def move_broken(self, destination: Path) -> None:
        """Move run folders that cannot be resumed below ``destination``, so that the seed starts again.

        A run that was killed early has no state to resume from. The rest of its folder is small and may still be useful
        (learning curves, the agent of its last evaluation, its log), so it is kept; a half-written state is useless
        and may be gigabytes, so it is deleted.
        """
        for path in self._folders():
            if not finished(path) and not stopped(path):
                moved = destination / self.folder.name / path.name
                moved.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(path / "state", ignore_errors=True)
                shutil.move(path, moved)
                if self.log.exists():
                    shutil.move(self.log, moved / self.log.name)

    def _folders(self) -> list[Path]:
        # <env>__<agent>__<seed>__<time>: found by name, since a run that was killed at once has no config.json
        part = f"__{self.seed}__"
        try:
            names = [name for name in os.listdir(self.folder) if part in name]  # of a thousand seeds; a glob is slow
        except OSError:
            return []
        return sorted(path for path in map(self.folder.joinpath, names) if path.is_dir())


def finished(run: Path) -> bool:
    """Return whether a run was trained to its end and every episode of its final evaluation is written."""
    about = _about(run)
    try:
        total, episodes = int(about["config"]["total_timesteps"]), int(about["eval_episodes"])
    except (KeyError, TypeError, ValueError):
        return False
    last, _ = read_run(run)
    return last is not None and last.agent_steps >= total and len(last.episodes) >= episodes


def stopped(run: Path) -> bool:
    """Return whether a run was stopped, or killed, with its state saved, so that it can be resumed."""
    return states.exists(run / "state") and not finished(run)


def total_steps(run: Path) -> int | None:
    """Return the total agent steps of a run, None if unknown."""
    settings = _about(run).get("config")
    return settings.get("total_timesteps") if isinstance(settings, dict) else None


def steps(run: Path) -> int:
    """Return the last agent step in a run's metrics, 0 before the first."""
    most = 0
    with contextlib.suppress(UserError):
        for row in rows(run / METRICS_FILE):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                most = max(most, int(row["agent_steps"]))
    return most


def last_row(run: Path, most: int = 8_192) -> dict[str, str]:
    """Return the last row of a run's metrics, read from the end of the file; empty before the first."""
    try:
        with opened(run / METRICS_FILE) as file:
            columns = cells(file.readline(most).decode(errors="replace"))
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - most, 0))
            lines = file.read().decode(errors="replace").split("\n")[:-1]  # the last one may not be whole yet
    except (OSError, UserError):
        return {}
    for line in reversed(lines[1:]):
        if len(found := cells(line)) == len(columns):
            return dict(zip(columns, found, strict=True))
    return {}


def estimate(run: Path) -> float | None:
    """Return the seconds that a run was expected to take before it started; None if unknown."""
    about = _about(run)
    try:
        paces, episodes = (
            about["estimate"],
            about["eval_episodes"] + (about["evaluations"] - 1) * (about.get("interim_episodes") or 1),
        )
        training = about["config"]["total_timesteps"] / paces["steps_per_second"]
        return float(training + episodes * paces["episode_seconds"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def wall_seconds(run: Path) -> float | None:
    """Return the wall-clock seconds that a run took, evaluations included; None if unknown."""
    seconds = None
    with contextlib.suppress(UserError):
        for row in rows(run / METRICS_FILE):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                seconds = max(seconds or 0.0, float(row["wall_s"]))
    return seconds


def _about(run: Path) -> dict[str, Any]:
    """Return a run's ``config.json``, empty if it can't be read."""
    try:
        about = read_json(run / CONFIG_FILE)
    except UserError:
        return {}
    return about if isinstance(about, dict) else {}


def process(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a run's program, which saves and ends when this one does; what it prints goes into a file.

    In a session of its own: otherwise it would receive a terminal's Ctrl-C twice, directly and from us.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, PARENT: str(os.getpid())},
    )
