"""The folder of an ablation: which of its runs are finished, which can go on, and with what it was begun."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError
from common.files import read_json, write_json
from common.settings import option_name
from scores.runs import CONFIG_FILE, METRICS_FILE, read_run

State = Literal["finished", "stopped", "broken", "none"]
FORMAT = 1
SETTINGS_FILE = "ablation.json"
SAVED = Path("state") / "counters.json"  # written last of all when a run stops, so the rest is whole
BROKEN = "broken"


@dataclasses.dataclass(frozen=True)
class Slot:
    """The place of one variant's run with one seed."""

    folder: Path
    """Of the variant's runs: what `train.py` was given as its runs folder."""
    seed: int

    @property
    def log(self) -> Path:
        """The file that the run's output goes to."""
        return self.folder / f"seed{self.seed}.log"

    def find(self) -> tuple[State, Path | None]:
        """Return how far this run is, and its folder if it has one; the best one if it has several."""
        folders = self._folders()
        kinds: tuple[tuple[State, Callable[[Path], bool]], ...] = (("finished", finished), ("stopped", stopped))
        for state, is_so in kinds:
            for path in folders:
                if is_so(path):
                    return state, path
        return ("broken", folders[-1]) if folders else ("none", None)

    def result(self) -> Path | None:
        """Return the finished run, None where there is none."""
        state, path = self.find()
        return path if state == "finished" else None

    def progress(self, total: int) -> tuple[int, int]:
        """Return the agent steps of the newest run, made and to be made; ``total`` as long as there is none."""
        folders = self._folders()
        return (steps(folders[-1]), total_steps(folders[-1]) or total) if folders else (0, total)

    def clear(self, broken: Path) -> None:
        """Move runs that can't go on out of the way, to below ``broken``.

        A run that was killed has no state to go on from, so its seed starts anew. What it leaves may still be of use
        (its curves, the agent of its last evaluation, what it said before it died) and is small, so it is kept; but
        not half a saved state, which nobody can use and which may be gigabytes.
        """
        for path in self._folders():
            if not finished(path) and not stopped(path):
                goal = broken / self.folder.name / path.name
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(path / "state", ignore_errors=True)
                shutil.move(path, goal)
                if self.log.exists():
                    shutil.move(self.log, goal / self.log.name)

    def _folders(self) -> list[Path]:
        # <env>__<agent>__<seed>__<time>: by name, since a run killed at once has no config.json
        return sorted(path for path in self.folder.glob(f"*__{self.seed}__*") if path.is_dir())


def finished(run: Path) -> bool:
    """Return whether a run was trained to its end and all episodes of its last evaluation are written."""
    about = _about(run)
    try:
        total, episodes = int(about["config"]["total_timesteps"]), int(about["eval_episodes"])
    except (KeyError, TypeError, ValueError):
        return False
    last, _ = read_run(run)
    return last is not None and last.agent_steps >= total and len(last.episodes) >= episodes


def stopped(run: Path) -> bool:
    """Return whether a run was stopped in a way that it can go on from."""
    return (run / SAVED).exists() and not finished(run)


def total_steps(run: Path) -> int | None:
    """Return the agent steps that a run is to make, None where that is not known."""
    settings = _about(run).get("config")
    return settings.get("total_timesteps") if isinstance(settings, dict) else None


def steps(run: Path) -> int:
    """Return the agent steps that a run's metrics have reached."""
    most = 0
    with contextlib.suppress(OSError), (run / METRICS_FILE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                most = max(most, int(row["agent_steps"]))
    return most


def wall_seconds(run: Path) -> float | None:
    """Return the seconds that a run took, its evaluations included; None where that is not known."""
    seconds = None
    with contextlib.suppress(OSError), (run / METRICS_FILE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                seconds = max(seconds or 0.0, float(row["wall_s"]))
    return seconds


def begin(out: Path, settings: Mapping[str, Any]) -> None:
    """Write with what an ablation is begun, or check that it is gone on with as it was begun.

    Args:
        out: the folder.
        settings: by the name of their option, as JSON's types; a setting that only one version knows is passed over.

    Raises:
        UserError: something else is in the folder, or a setting differs: the line names it.
    """
    path = out / SETTINGS_FILE
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"--out {out}: holds something else; an ablation needs a folder of its own")
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
                f"{out} was begun with {_typed(name, before[name])}, not with {_typed(name, value)};"
                " say the same again, or choose another --out"
            )


def _typed(name: str, value: Any) -> str:
    if name == "env_id":
        return str(value)
    if isinstance(value, bool):
        return option_name(name if value else f"no_{name}")
    return " ".join([option_name(name), *map(str, value if isinstance(value, list) else [value])])


def _about(run: Path) -> dict[str, Any]:
    """Return a run's ``config.json``, nothing where it can't be read."""
    try:
        about = read_json(run / CONFIG_FILE)
    except UserError:
        return {}
    return about if isinstance(about, dict) else {}
