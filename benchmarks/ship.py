"""Make an agent that ships of a finished run: a folder in pretrained/, as small as its scores allow.

    python -m benchmarks.ship sweeps/atari                 # seed 1 of every game that is finished
    python -m benchmarks.ship sweeps/atari/RUN --name pong
    python -m benchmarks.ship runs/RUN --name waterworld --seed 2

Weights become float16 if that changes nothing that counts, which is measured here: the float16 agent plays all games
of the final evaluation, with the same seeds; its Q values must agree with those of the float32 agent to 1e-2 (of one,
or of the value where that is larger) in states of these games, and its mean must not be lower by more than twice the
standard error of the difference. Otherwise the weights stay float32. ``eval.csv`` has what the agent that ships
scored, ``config.json`` what was measured. A folder has at most 4 MB, all of pretrained/ 40 MB; what would be more is
refused.

The seed is chosen before the scores are known, never the best of several. An agent of the same name is replaced; of two
runs for one name the newer one ships.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agents import load_policy  # noqa: E402
from benchmarks.add_runs import Rows, evaluations, read_rows, started, why_not, write_rows  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.files import PRETRAINED, read_json, write_bytes, write_json  # noqa: E402
from learning.checkpoint import MANIFEST, WEIGHTS  # noqa: E402
from learning.evaluate import EpisodeResult, evaluate  # noqa: E402
from learning.policy import NetworkPolicy  # noqa: E402
from learning.runfolder import provenance  # noqa: E402
from scores.atari.normalization import game_of  # noqa: E402
from scores.runs import find_runs  # noqa: E402

MOST_OF_ONE, MOST_OF_ALL = 4_000_000, 40_000_000  # bytes
TOLERANCE = 1e-2  # of Q values, absolute below 1 and relative above
ERRORS = 2.0  # standard errors by which the mean may be lower
STATES, EVERY = 2_000, 25  # in which Q values are compared; one in so many calls gives them
METRICS_ROWS = 210  # of the training curve that are kept


class Recorder:
    """A policy that keeps some of the observations it acts on."""

    def __init__(self, policy: NetworkPolicy) -> None:
        self.policy, self.name, self.env_id = policy, policy.name, policy.env_id
        self.kept: list[NDArray[Any]] = []
        self._calls = 0

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return those of the policy."""
        return self.policy.q_values(obs)

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the policy's actions."""
        self._calls += 1
        if self._calls % EVERY == 1 and sum(map(len, self.kept)) < STATES:
            self.kept.append(obs.copy())
        return self.policy.act(obs, epsilon, rng)


class Measured(NamedTuple):
    """The float16 agent beside the float32 agent that it comes from."""

    q_difference: float
    """The largest, as `TOLERANCE` counts it."""
    states: int
    before: list[float]
    """Returns of the run's final evaluation."""
    results: list[EpisodeResult]
    """Of the same episodes."""

    @property
    def change(self) -> float:
        """How much higher the mean is now."""
        return statistics.fmean(one.episode_return for one in self.results) - statistics.fmean(self.before)

    @property
    def error(self) -> float:
        """The standard error of that: the episodes are the same, so of their differences."""
        apart = [one.episode_return - before for one, before in zip(self.results, self.before, strict=True)]
        return statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else 0.0

    @property
    def agrees(self) -> bool:
        """Whether float16 changes nothing that counts."""
        return self.q_difference <= TOLERANCE and self.change >= -ERRORS * self.error


def halved(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights with all floating-point numbers as float16."""
    return {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}


def measure(run: Path, weights: dict[str, torch.Tensor]) -> Measured:
    """Return how the agent of a run plays with other weights, in the episodes of its final evaluation."""
    full, other = load_policy(run), load_policy(run)
    assert isinstance(full, NetworkPolicy)
    assert isinstance(other, NetworkPolicy)
    other.network.load_state_dict(weights, strict=False)
    recorder = Recorder(other)
    final = list(evaluations(run).values())[-1]
    assert other.env_id is not None
    results = evaluate(
        recorder,
        other.env_id,
        len(final),
        float(final[0]["epsilon"]),
        max_steps=other.eval_max_steps,
        **other.env_options,
    )
    states = np.concatenate(recorder.kept)[:STATES]
    apart = 0.0
    for start in range(0, len(states), 100):
        q, q_other = full.q_values(states[start : start + 100]), other.q_values(states[start : start + 100])
        known = np.isfinite(q)
        difference = np.abs(q - q_other)[known] / np.maximum(1.0, np.abs(q[known]))
        apart = max(apart, float(difference.max(initial=0.0)) if np.isfinite(q_other[known]).all() else np.inf)
    return Measured(apart, len(states), [float(row["episode_return"]) for row in final], results)


def rows_of(run: Path, found: Measured | None) -> Rows:
    """Return the rows of eval.csv: the evaluations on the way, and the last one, as measured anew if it was."""
    *earlier, final = evaluations(run).values()
    rows = [row for rows in earlier for row in rows]
    if found is None:
        return rows + final
    return rows + [
        {
            **final[0],
            "episode": str(one.episode),
            "episode_return": str(one.episode_return),
            "episode_length": str(one.episode_length),
            **({"cut": "1" if one.cut else ""} if "cut" in final[0] else {}),
        }
        for one in found.results
    ]


def thinned(rows: Rows) -> Rows:
    """Return at most `METRICS_ROWS` rows of a training's log, evenly taken, the last one among them."""
    if len(rows) <= METRICS_ROWS:
        return rows
    places = np.unique(np.linspace(0, len(rows) - 1, METRICS_ROWS).round().astype(int))
    return [rows[place] for place in places]


def write(run: Path, folder: Path) -> Measured:
    """Write the agent of a run, with float16 weights if they agree, into an empty folder; return what was measured."""
    weights = safetensors.torch.load_file(run / "agent" / WEIGHTS)
    small = halved(weights)
    found = measure(run, small)
    kept = small if found.agrees else weights
    data = safetensors.torch.save({name: value.contiguous() for name, value in kept.items()})
    manifest = {**read_json(run / "agent" / MANIFEST), "sha256": hashlib.sha256(data).hexdigest()}
    write_bytes(folder / "agent" / WEIGHTS, data)
    write_json(folder / "agent" / MANIFEST, manifest)
    shipped = {
        "run": run.name,
        "weights": "float16" if found.agrees else "float32",
        "float16": {
            "largest_q_difference": float(f"{found.q_difference:.3g}"),
            "states": found.states,
            "mean": round(statistics.fmean(one.episode_return for one in found.results), 4),
            "mean_float32": round(statistics.fmean(found.before), 4),
            "standard_error_of_difference": round(found.error, 4),
        },
        "commit": provenance("cpu", 1)["commit"],
    }
    write_json(folder / "config.json", {**read_json(run / "config.json"), "shipped": shipped})
    write_rows(folder / "eval.csv", rows_of(run, found if found.agrees else None))
    write_rows(folder / "metrics.csv", thinned(read_rows(run / "metrics.csv")))
    return found


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def ship(run: Path, into: Path, name: str) -> str:
    """Put the agent of a run into a folder of agents, in place of one with this name; return what was measured.

    Raises:
        UserError: it would be too large, or all of them together.
    """
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / name
        found = write(run, made)
        size, others = size_of(made), size_of(into) - size_of(into / name)
        if size > MOST_OF_ONE:
            raise UserError(f"{run}: {size / 1e6:.1f} MB; at most {MOST_OF_ONE / 1e6:g} MB are allowed for an agent")
        if size + others > MOST_OF_ALL:
            raise UserError(
                f"{run}: {size / 1e6:.1f} MB, and {others / 1e6:.1f} MB are there; at most {MOST_OF_ALL / 1e6:g} MB"
            )
        shutil.rmtree(into / name, ignore_errors=True)
        shutil.move(made, into / name)
    mean = statistics.fmean(one.episode_return for one in found.results)
    weights = "float16" if found.agrees else "float32, as float16 does not agree"
    return (
        f"{into / name}: {weights}, {size / 1e6:.2f} MB; mean {mean:.2f} with float16,"
        f" {statistics.fmean(found.before):.2f} with float32 (standard error of the difference {found.error:.2f},"
        f" {len(found.results)} episodes); Q values differ by at most {found.q_difference:.1e}"
        f" in {found.states:,} states"
    )


def name_of(run: Path) -> str:
    """Return the name that an agent gets: its game, in small letters."""
    env_id = str(read_json(run / "config.json")["env_id"])
    return (game_of(env_id) or env_id.split("/")[-1].rsplit("-v", 1)[0]).lower()


def chosen(names: Sequence[str], seed: int, name: str | None) -> dict[str, Path]:
    """Return the runs that ship, by the name that each gets: those with the seed, finished, from committed code."""
    found: dict[str, Path] = {}
    runs = dict.fromkeys(run for word in names for run in find_runs(word, Path("runs")))
    for run in sorted(runs, key=started):
        reason = why_not(run)
        if reason is None and int(read_json(run / "config.json")["seed"]) != seed:
            reason = f"not seed {seed}"
        if reason is not None:
            print(f"left out: {run}: {reason}")
            continue
        found[name or name_of(run)] = run
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Ship the runs, and print what was measured; return 1 if one was refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="runs, folders of runs or of sweeps")
    parser.add_argument("--seed", type=int, default=1, help="of the runs that ship")
    parser.add_argument("--name", help="of the agent; by default its game")
    parser.add_argument("--into", type=Path, default=PRETRAINED, help="folder of the agents")
    options = parser.parse_args(argv)
    refused = 0
    try:
        found = chosen(options.runs, options.seed, options.name)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, run in found.items():
        try:
            print(ship(run, options.into, name), flush=True)
        except UserError as error:
            refused += 1
            print(f"refused: {error}", flush=True)
    there = f"{options.into}, {size_of(options.into) / 1e6:.1f} MB"
    print(f"{len(found) - refused} agents are new in {there}; now: python docs/generate.py")
    return 1 if refused or not found else 0


if __name__ == "__main__":
    sys.exit(main())
