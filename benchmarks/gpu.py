"""Everything that needs a GPU, in one go of under nine minutes: tests, a table of speeds, then Pong by PQN.

On a machine with a GPU, which needs nothing from outside but the wheels below:

    python benchmarks/gpu.py --out "$OUT"
    python benchmarks/gpu.py --out "$OUT" --seconds 590 --stages paper   # only this: PQN in Breakout, as published
    python benchmarks/gpu.py --out /tmp/rehearsal --rehearse       # anywhere: seconds, on the CPU, the same steps

A GPU that is lent for minutes has PyTorch, numba and most libraries, but none for games. Fetch what is missing here
(3.7 MiB for Python 3.12), then carry it along with the working tree:

    python -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \\
        --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -d .whl \\
        gymnasium==1.4.0 farama-notifications==0.0.6 ale-py==0.12.1 \\
        tyro==1.0.17 docstring-parser==0.18.0 typeguard==4.6.1

    python -m pip install -q --no-index --no-deps --target /tmp/site .whl/*.whl   # there
    PYTHONPATH=/tmp/site python benchmarks/gpu.py --out "$OUT"

Each stage is a process with a time limit of its own; what fails or hangs costs the others nothing. Written as it comes:
``results.json``, ``figures.csv``, ``log.txt`` and ``pong.zip`` with the agent, its metrics and its evaluations: a run
that `benchmarks.add_runs` takes, once it is unpacked.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SECONDS = 520.0  # of all stages
TESTS, TABLE = 110.0, 150.0  # limits of the first two; Pong gets what is left
LEAST = 60.0  # for a training
MARGIN = 25.0  # of a training's time, for what comes after its budget


class Training(NamedTuple):
    """A training by PQN, for what time is left."""

    env_id: str
    settings: dict[str, Any]
    longest: float
    """Seconds, the margin included."""


TRAININGS = {
    # What learns Pong on a CPU, with as many games at once as 16 cores keep busy; batches and their reuse stay. More
    # would start later: each takes 0.15 s. Three minutes from Enter to the last evaluation.
    "pong": Training(
        "ALE/Pong-v5",
        {"preset": "cpu", "num_envs": 64, "minibatches": 16, "evaluations": 1, "eval_episodes": 20},
        205.0,
    ),
    # the published agent, scored and with a learning curve like every other run
    "paper": Training("ALE/Breakout-v5", {"preset": "paper"}, 590.0),
}
PYTEST = ("-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-q", "--durations=5")
STAGES = ("tests", "table", "pong")  # without --stages
TESTED = ("tests/learning/test_graphs_on_gpu.py",)


# ------------------------------------------------------------------ stages; no library is needed for these


class Log:
    """What has come out so far, rewritten whenever something does."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.results: dict[str, Any] = {"stages": {}, "figures": []}
        out.mkdir(parents=True, exist_ok=True)

    def save(self) -> None:
        """Write results as JSON, and the figures as a table."""
        (self.out / "results.json").write_text(json.dumps(self.results, indent=2) + "\n")
        figures = self.results["figures"]
        names = list(dict.fromkeys(name for figure in figures for name in figure))
        with (self.out / "figures.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(figures)

    def say(self, text: str) -> None:
        """Print a line, and keep it."""
        print(text, flush=True)
        with (self.out / "log.txt").open("a") as file:
            file.write(text.rstrip() + "\n")


def stage(log: Log, name: str, words: Sequence[str], limit: float) -> bool:
    """Run a stage in a process of its own for ``limit`` seconds at most; return whether it ended well."""
    log.say(f"== {name}, at most {limit:.0f} s: {' '.join(words)}")
    began = time.perf_counter()
    with (log.out / "log.txt").open("a") as file:
        try:
            code = subprocess.run(
                [sys.executable, *words],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=max(limit, 1.0),
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = 124
        except OSError as error:
            log.say(str(error))
            code = 127
    took = time.perf_counter() - began
    log.results["stages"][name] = {"code": code, "seconds": round(took, 1)}
    log.say(f"== {name}: code {code} after {took:.1f} s")
    log.save()
    return code == 0


def all_stages(
    log: Log, seconds: float, rehearse: bool, stages: Sequence[str] = STAGES, rows: Sequence[str] = ()
) -> bool:
    """Run the stages within so many seconds; return whether all ended well."""
    began = time.perf_counter()

    def left() -> float:
        return seconds - (time.perf_counter() - began)

    known: dict[str, Callable[[], bool]] = {
        # several processes: most of a test's time is starting up and capturing
        "tests": lambda: stage(log, "tests", [*PYTEST, "-n", "0" if rehearse else "4", *TESTED], min(TESTS, left())),
        "table": lambda: table(log, min(TABLE, left()), rehearse, rows),
    }
    for name, one in TRAININGS.items():
        known[name] = partial(trained, log, name, one, left, rehearse)
    ended_well = [known[name]() for name in stages]
    return all(ended_well)


def table(log: Log, limit: float, rehearse: bool, rows: Sequence[str]) -> bool:
    """Fill the table of speeds, and say what is in it."""
    rough = log.out / "figures.jsonl"
    words = ["benchmarks/gpu.py", "--out", str(log.out), "--measure", str(limit - 10)]
    good = stage(log, "table", [*words, *(["--rehearse"] if rehearse else []), "--rows", *rows], limit)
    if rough.exists():
        log.results["figures"] = [json.loads(line) for line in rough.read_text().splitlines()]
        rough.unlink()
    for figure in log.results["figures"]:
        log.say(json.dumps(figure))
    log.save()
    return good


def trained(log: Log, name: str, one: Training, left: Callable[[], float], rehearse: bool) -> bool:
    """Train PQN in what time is left, and pack what comes out."""
    seconds = min(one.longest, left())
    if not rehearse and seconds < LEAST:
        return False
    runs = Path(tempfile.mkdtemp(prefix="runs"))  # not beside the results: few files come back from a lent machine
    options = {
        "agent": "pqn",
        **one.settings,
        "device": "cuda",
        "budget": f"{seconds - MARGIN:.0f}s",
        "runs_dir": runs,
    }
    if rehearse:
        del options["budget"]
        small = {"num_envs": 2, "minibatches": 2, "total_timesteps": 200, "encoder": "small", "frame_size": 42}
        options |= {**small, "device": "cpu", "evaluations": 1, "eval_episodes": 1, "eval_max_steps": 200}
    words = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    good = stage(log, name, ["train.py", one.env_id, *words], seconds - 5 if not rehearse else 120.0)
    with zipfile.ZipFile(log.out / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(runs.rglob("*")):
            wanted = {"config.json", "metrics.csv", "eval.csv", "manifest.json", "network.safetensors"}
            if path.name in wanted and not {"state", "live", "milestones"} & set(path.parts):
                file.write(path, path.relative_to(runs))
    for path in sorted(runs.rglob("eval.csv")):
        log.results[name] = scores(path)
        log.say(f"{one.env_id} by agent steps: {log.results[name]}")
    log.save()
    return good


def scores(path: Path) -> list[dict[str, float]]:
    """Return the mean return of each evaluation of a run, from its eval.csv."""
    returns: dict[int, list[float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            returns.setdefault(int(row["agent_steps"]), []).append(float(row["episode_return"]))
    return [
        {"agent_steps": steps, "episodes": len(those), "mean": round(sum(those) / len(those), 3)}
        for steps, those in sorted(returns.items())
    ]


# ------------------------------------------------------------------ the table of speeds


def measure(out: Path, seconds: float, rehearse: bool, wanted: Sequence[str] = ()) -> None:
    """Measure row after row, the most wanted first, until the time is over; each is written as it comes."""
    from benchmarks import gpu_rows

    ends = time.perf_counter() + seconds
    out.mkdir(parents=True, exist_ok=True)
    with (out / "figures.jsonl").open("a") as file:
        rows = gpu_rows.all_rows("cpu" if rehearse else "cuda", rehearse)
        for name in wanted or rows:
            row = rows[name]
            if time.perf_counter() > ends:
                print(f"no time is left for {name}", flush=True)
                continue
            file.write(json.dumps({"row": name, **attempt(row)}) + "\n")
            file.flush()


def attempt(row: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a row's figures, or its error."""
    try:
        return row()
    except Exception as error:  # whatever one row meets, the others are measured
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all stages, or what one of them needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all stages")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    stages = ("tests", "table", *TRAININGS)
    parser.add_argument("--stages", nargs="+", choices=stages, default=STAGES, help="which, and in which order")
    parser.add_argument("--rows", nargs="*", default=(), help="of the table, by their names; all")
    parser.add_argument("--measure", type=float, help="only the table of speeds, for so many seconds")
    options = parser.parse_args(argv)
    if options.measure is not None:
        measure(options.out, options.measure, options.rehearse, options.rows)
        return 0
    return 0 if all_stages(Log(options.out), options.seconds, options.rehearse, options.stages, options.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
