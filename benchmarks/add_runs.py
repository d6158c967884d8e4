"""Put finished runs into a file of raw scores: the final evaluation, one row an episode.

    python -m benchmarks.add_runs results/atari.csv sweeps/atari          # all finished runs of a sweep
    python -m benchmarks.add_runs results/family.csv runs/RUN runs/RUN

Rows of the same environment, agent, preset and seed are replaced, all others kept; the newest of two such runs counts.
Runs that are not finished, or were trained from uncommitted code, are named and left out. The file's evaluations on the
way go beside it for Atari games (atari_curves.csv), a row an evaluation. The same command may be run again at any time.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common.errors import UserError  # noqa: E402
from common.files import write_bytes  # noqa: E402
from common.text import number_of  # noqa: E402
from experiments.planned import finished, wall_seconds  # noqa: E402
from scores.runs import find_runs  # noqa: E402

Rows = list[dict[str, str]]
KEY = ("env_id", "agent", "preset", "seed")
CURVE_COLUMNS = (
    *("env_id", "agent", "seed", "preset", "agent_steps", "frames", "mean_return", "episodes", "epsilon", "protocol"),
    *("commit", "hardware", "run"),
)


def read_rows(path: Path) -> Rows:
    """Return the rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[dict[str, Any]], columns: Iterable[str] = ()) -> None:
    """Write a CSV file, whole; by default with all columns that any row has."""
    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, file.getvalue().encode())


def described(folder: Path, wall_s: float | None = None) -> dict[str, Any]:
    """Return what makes a run's episodes scores: preset, seconds, commit, device, hardware, versions.

    Args:
        folder: the run.
        wall_s: of the whole command; None: up to the end of its last evaluation.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    seconds = wall_seconds(folder) if wall_s is None else wall_s
    return {
        "preset": config["preset"],
        "wall_s": "" if seconds is None else round(seconds),
        "commit": config["commit"],
        "device": config["device"],
        "threads": config["threads"],
        "hardware": "; ".join(f"{key} {value}" for key, value in config["hardware"].items()),
        "versions": "; ".join(f"{key} {value}" for key, value in config["versions"].items()),
        "run": folder.name,
        **({"started_from": config["from"]["sha256"]} if "from" in config else {}),
    }


def evaluations(folder: Path) -> dict[int, Rows]:
    """Return the episodes of each evaluation of a run, by its agent steps; of one written twice the last counts."""
    found: dict[int, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in read_rows(folder / "eval.csv"):
        found[int(row["agent_steps"])][row["episode"]] = row
    return {steps: list(episodes.values()) for steps, episodes in sorted(found.items())}


def final_rows(folder: Path) -> Rows:
    """Return the last evaluation of a run, one row an episode."""
    return list(evaluations(folder).values())[-1]


def curve_rows(folder: Path) -> Rows:
    """Return a row for each evaluation of a run."""
    about = described(folder)
    rows = []
    for played in evaluations(folder).values():
        mean = statistics.fmean(float(row["episode_return"]) for row in played)
        rows.append({**played[-1], **about, "mean_return": f"{mean:.6g}", "episodes": str(len(played))})
    return [{name: str(row[name]) for name in CURVE_COLUMNS} for row in rows]


def merged(before: Rows, added: Rows) -> Rows:
    """Return the rows without those that the added ones replace, followed by these, sorted by environment and agent."""
    replaced = {tuple(str(row[name]) for name in KEY) for row in added}
    kept = [row for row in before if tuple(row[name] for name in KEY) not in replaced]
    return sorted([*kept, *added], key=lambda row: (row["env_id"], row["agent"], row["preset"], int(row["seed"])))


def add(path: Path, folders: Sequence[Path], wall_s: float | None = None) -> None:
    """Put the final evaluations of some runs into a file, and the curves of Atari games beside it.

    Args:
        path: of the file; need not exist.
        folders: the runs, the newest of the same environment, agent, preset and seed last.
        wall_s: seconds of the whole command; None: as the run has written them.
    """
    rows, curves = read_rows(path), read_rows(beside := path.with_name(f"{path.stem}_curves.csv"))
    for folder in folders:
        about = described(folder, wall_s)
        rows = merged(rows, [{**row, **about} for row in final_rows(folder)])
        if rows and folder_is_atari(folder):
            curves = merged(curves, curve_rows(folder))
    write_rows(path, rows)
    if curves:
        write_rows(beside, curves, CURVE_COLUMNS)


def folder_is_atari(folder: Path) -> bool:
    """Return whether a run is one of an Atari game."""
    return final_rows(folder)[0]["env_id"].startswith("ALE/")


def why_not(folder: Path) -> str | None:
    """Return why a run's scores are not taken; None: they are."""
    if not finished(folder):
        return "not finished"
    commit = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("commit") or "")
    if not commit or commit.endswith("+"):
        return f"trained from uncommitted code ({commit or 'no commit'})"
    return None


def started(folder: Path) -> str:
    """Return the sort key by time: the end of a run's name."""
    return folder.name.rsplit("__", 1)[-1]


def main(argv: Sequence[str] | None = None) -> int:
    """Add the runs, and print which; return 1 if there was none to add."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="file of raw scores, such as results/atari.csv")
    parser.add_argument("runs", nargs="+", help="runs, folders of runs or of sweeps")
    options = parser.parse_args(argv)
    try:
        folders = list(dict.fromkeys(run for name in options.runs for run in find_runs(name, Path("runs"))))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    taken = []
    for folder in sorted(folders, key=started):
        if reason := why_not(folder):
            print(f"left out: {folder}: {reason}")
        else:
            taken.append(folder)
    if not taken:
        print("no run was added")
        return 1
    add(options.results, taken)
    for folder in sorted(taken, key=lambda one: one.name):
        rows = final_rows(folder)
        mean = statistics.fmean(float(row["episode_return"]) for row in rows)
        print(f"added: {folder.name}: mean {mean:.2f} over {len(rows)} episodes")
    print(f"{number_of(len(taken), 'run')} in {options.results}; now: python docs/generate.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
