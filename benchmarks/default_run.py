"""Does `python train.py` keep its promise? Trains several seeds as a person would, and times the whole command.

python benchmarks/default_run.py --seeds 1 2 3            # the default preset: 3 minutes each
python benchmarks/default_run.py --seeds 1 --preset long
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the seeds one after the other, on an otherwise idle machine, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    words = parser.parse_args()
    table = Table("seed", "wall s", "mean return", "standard error", "episodes", "run", title=f"preset {words.preset}")
    for seed in words.seeds:
        began = time.perf_counter()
        command = [sys.executable, str(ROOT / "train.py"), "--preset", words.preset, "--seed", str(seed)]
        before = set(words.runs_dir.glob("*"))
        subprocess.run([*command, "--runs-dir", str(words.runs_dir)], check=True)
        wall = time.perf_counter() - began
        (folder,) = set(words.runs_dir.glob("*")) - before
        rows = list(csv.DictReader((folder / "eval.csv").open()))
        last = max(int(row["agent_steps"]) for row in rows)
        returns = [float(row["episode_return"]) for row in rows if int(row["agent_steps"]) == last]
        error = statistics.stdev(returns) / len(returns) ** 0.5
        mean = statistics.fmean(returns)
        table.add_row(str(seed), f"{wall:.0f}", f"{mean:.2f}", f"{error:.2f}", str(len(returns)), folder.name)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
