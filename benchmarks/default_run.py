"""Score and duration of `python train.py` with its defaults: trains several seeds from the command line.

    python benchmarks/default_run.py --seeds 1 2 3            # the default preset: 3 minutes each
    python benchmarks/default_run.py --seeds 1 --preset long --results results/waterworld.csv
    python benchmarks/default_run.py --agents dqn c51 rainbow --total-timesteps 300000 --results results/family.csv
    python benchmarks/default_run.py --env-id ALE/Pong-v5 --results results/atari.csv
    python benchmarks/default_run.py --runs RUN --results results/atari.csv    # from a finished run

``--results`` appends the final evaluation, one row per episode, with protocol, versions and hardware. All other options
are passed to train.py.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent


def final_rows(folder: Path) -> list[dict[str, str]]:
    """Return the last evaluation of a run, one row per episode."""
    rows = read_rows(folder / "eval.csv")
    last = max(int(row["agent_steps"]) for row in rows)
    return [row for row in rows if int(row["agent_steps"]) == last]


def wall_seconds(folder: Path) -> float:
    """Return the seconds from the run's start to the end of its last evaluation."""
    with (folder / "metrics.csv").open(newline="") as file:
        return max(float(row["wall_s"]) for row in csv.DictReader(file) if row["wall_s"])


def append_results(path: Path, folder: Path, rows: list[dict[str, str]], wall_s: float) -> None:
    """Append the rows with the run's preset, commit, versions and hardware."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    described = {
        "preset": config["preset"],
        "wall_s": round(wall_s),
        "commit": config["commit"],
        "device": config["device"],
        "threads": config["threads"],
        "hardware": "; ".join(f"{key} {value}" for key, value in config["hardware"].items()),
        "versions": "; ".join(f"{key} {value}" for key, value in config["versions"].items()),
        "run": folder.name,
        **({"started_from": config["from"]["sha256"]} if "from" in config else {}),
    }
    before = read_rows(path) if path.exists() else []
    added = [{**row, **described} for row in rows]
    columns = dict.fromkeys(name for row in (*before[:1], *added[:1]) for name in row)
    with path.open("w", newline="") as file:  # whole, because an older file may lack a column
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(before + added)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run the seeds one after the other, on an otherwise idle machine, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--env-id", default="tidepool/Waterworld-v1")
    parser.add_argument("--agents", nargs="+", default=["auto"])
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, help="CSV to append the scores to")
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], help="finished runs to append to --results, instead of training"
    )
    args, train_options = parser.parse_known_args()
    for folder in args.runs:
        append_results(args.results, folder, final_rows(folder), wall_seconds(folder))
    if args.runs:
        return
    title = f"{args.env_id}, preset {args.preset}"
    table = Table("agent", "seed", "wall s", "mean return", "standard error", "episodes", "run", title=title)
    for agent, seed in itertools.product(args.agents, args.seeds):
        began = time.perf_counter()
        command = [sys.executable, str(ROOT / "train.py"), args.env_id, "--agent", agent, "--preset", args.preset]
        command += train_options
        runs_dir = args.runs_dir / agent  # of its own, so that the new run is found whatever else is trained
        before = set(runs_dir.glob("*"))
        subprocess.run([*command, "--seed", str(seed), "--runs-dir", str(runs_dir)], check=True)
        wall = time.perf_counter() - began
        (folder,) = set(runs_dir.glob("*")) - before
        rows = final_rows(folder)
        if args.results:
            append_results(args.results, folder, rows, wall)
        returns = [float(row["episode_return"]) for row in rows]
        error = statistics.stdev(returns) / len(returns) ** 0.5
        mean = statistics.fmean(returns)
        table.add_row(agent, str(seed), f"{wall:.0f}", f"{mean:.2f}", f"{error:.2f}", str(len(returns)), folder.name)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
