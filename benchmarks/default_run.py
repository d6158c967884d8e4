"""Score and duration of `python train.py` with its defaults: trains several seeds from the command line.

    python benchmarks/default_run.py --seeds 1 2 3            # the default preset: 3 minutes each
    python benchmarks/default_run.py --seeds 1 --preset long --results results/waterworld.csv
    python benchmarks/default_run.py --agents dqn c51 rainbow --total-timesteps 300000 --results results/family.csv
    python benchmarks/default_run.py --env-id ALE/Pong-v5 --results results/atari.csv

``--results`` adds the final evaluation, one row per episode, with protocol, versions and hardware, in place of an older
one of the same environment, agent, preset and seed. All other options are passed to train.py. Runs that are finished
already, such as a sweep's, are added by benchmarks/add_runs.py.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.add_runs import add, final_rows  # noqa: E402


def main() -> None:
    """Run the seeds one after the other, on an otherwise idle machine, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--env-id", default="tidepool/Waterworld-v1")
    parser.add_argument("--agents", nargs="+", default=["auto"])
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, help="CSV to add the scores to")
    args, train_options = parser.parse_known_args()
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
            add(args.results, [folder], wall)
        returns = [float(row["episode_return"]) for row in rows]
        error = statistics.stdev(returns) / len(returns) ** 0.5
        mean = statistics.fmean(returns)
        table.add_row(agent, str(seed), f"{wall:.0f}", f"{mean:.2f}", f"{error:.2f}", str(len(returns)), folder.name)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
