"""The folder of an ablation: which of its runs are finished, which can be resumed, and the settings of them all."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError
from common.files import write_json
from common.reading import read_json, rows
from common.settings import option_name
from learning import states
from scores.runs import CONFIG_FILE, METRICS_FILE, read_run

State = Literal["finished", "stopped", "broken", "none"]
FORMAT = 1
SETTINGS_FILE = "ablation.json"
BROKEN = "broken"


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One variant with one seed: the place of its run, and its progress."""

    folder: Path
    """The variant's runs folder, ``--runs-dir`` of `train.py`."""
    seed: int

    @property
    def log(self) -> Path:
        """The file that the run's output goes to."""
        return self.folder / f"seed{self.seed}.log"

    def find(self) -> tuple[State, Path | None]:
        """Return the state of this run, and its run folder if there is one; of several the furthest."""
        folders = self._folders()
        known: tuple[tuple[State, Callable[[Path], bool]], ...] = (("finished", finished), ("stopped", stopped))
        for state, holds in known:
            for path in folders:
                if holds(path):
                    return state, path
        return ("broken", folders[-1]) if folders else ("none", None)

    def finished_folder(self) -> Path | None:
        """Return the run folder of the finished run, None before it is finished."""
        state, path = self.find()
        return path if state == "finished" else None

    def progress(self, total: int) -> tuple[int, int]:
        """Return the agent steps of the newest run, done and total; ``total`` is used before it has a config."""
        folders = self._folders()
        return (steps(folders[-1]), total_steps(folders[-1]) or total) if folders else (0, total)

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
        return sorted(path for path in self.folder.glob(f"*__{self.seed}__*") if path.is_dir())


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


def wall_seconds(run: Path) -> float | None:
    """Return the wall-clock seconds that a run took, evaluations included; None if unknown."""
    seconds = None
    with contextlib.suppress(UserError):
        for row in rows(run / METRICS_FILE):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                seconds = max(seconds or 0.0, float(row["wall_s"]))
    return seconds


def record_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new ablation, or check that they are those that it was started with.

    Args:
        out: the folder.
        settings: JSON values by the name of their option; a setting that only one version knows is ignored.

    Raises:
        UserError: the folder is not an ablation's, or a setting differs: the message names it.
    """
    path = out / SETTINGS_FILE
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"--out {out}: not empty and not an ablation; choose a new or empty folder")
        try:
            write_json(path, {"format": FORMAT, "settings": dict(settings)})
        except OSError as error:
            raise UserError(f"--out {out}: can't be written ({error.strerror})") from None
        return
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("settings"), dict):
        raise UserError(f"{path}: damaged, or of another version; choose another --out")
    before = about["settings"]
    for name, value in settings.items():
        if name in before and before[name] != value:
            raise UserError(
                f"{out} was started with {_option(name, before[name])}, not with {_option(name, value)};"
                " use the same settings, or choose another --out"
            )


def _option(name: str, value: Any) -> str:
    if name == "env_id":
        return str(value)
    if isinstance(value, bool):
        return option_name(name if value else f"no_{name}")
    return " ".join([option_name(name), *map(str, value if isinstance(value, list) else [value])])


def _about(run: Path) -> dict[str, Any]:
    """Return a run's ``config.json``, empty if it can't be read."""
    try:
        about = read_json(run / CONFIG_FILE)
    except UserError:
        return {}
    return about if isinstance(about, dict) else {}
