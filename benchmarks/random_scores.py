"""Scores of random play in the Atari games of the reference table, measured under the rules of our agents.

    nice -n 19 python -m benchmarks.random_scores                  # all games, 100 each, by every protocol
    python -m benchmarks.random_scores Krull Pong                  # these
    python -m benchmarks.random_scores --protocols dqn_zoo         # by this protocol
    python -m benchmarks.random_scores --missing                   # what is left, and about how long it takes

A row a game and protocol: mean, standard deviation and 95 % interval (Student's t). Every action is random, of the
minimal set. Protocols are those of `envs.protocols`, 4 frames an action; and `mnih2015-10hz`, as the reference's random
play was measured (Mnih et al. 2015, doi:10.1038/nature14236, "Evaluation procedure"): a choice at 10 Hz, so every sixth
frame, and at most 5 minutes.

It can be stopped at any time, also by kill -9, and goes on where it was: a row is written after every 10 games, and
one with fewer than --games is continued, unless its library versions are others (then it is measured anew). A game's
actions come from fixed seeds, one an episode, and so do sticky actions, so every row can be repeated. So protocols that
differ in nothing but the length of a game share its games: it is played once, and each takes the score where it cuts.
It is the plain emulator, without the frames that agents see.
"""

from __future__ import annotations

import argparse
import csv
import functools
import io
import math
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.files import write_bytes
from common.program import run
from envs import emulator
from envs.protocols import ATARI, FRAME_SKIP, MINUTE
from learning.config import episode_generator, episode_seed
from learning.evaluate import EVALUATION_SEED
from learning.runfolder import provenance
from scores.atari.measured import RESULTS, TEN_HZ
from scores.atari.normalization import BASELINES, LONG, env_id_of, find_game
from scores.atari.published import load
from scores.stats import around

GAMES, CHUNK = 100, 10
SECONDS = 0.4  # of a core that a game takes about, where nothing is known of it
# the default order: what compare.py uses first, then the default of our trainings
PROTOCOLS = ("dqn_zoo", "machado2018", TEN_HZ, "mnih2015", "gallici2024", "clark2024")
COLUMNS = (
    *("env_id", "agent", "seed", "agent_steps", "frames", "episodes", "mean", "standard_deviation", "ci95_low"),
    *("ci95_high", "mean_length", "epsilon", "protocol", "preset", "cpu_s", "commit", "hardware", "versions"),
)
Row = dict[str, str]


Episode = tuple[float, int]
"""Its score, and its number of actions."""


class Rules(NamedTuple):
    """What of a protocol concerns random play."""

    frames: int
    """Frames an action."""
    frame_cap: int
    sticky: float
    noops: int
    fire: bool


def rules(protocol: str) -> Rules:
    """Return the rules of a protocol's evaluation."""
    options = ATARI["dqn_zoo" if protocol == TEN_HZ else protocol].evaluation
    frames, cap = (6, 5 * MINUTE) if protocol == TEN_HZ else (FRAME_SKIP, int(options["frame_cap"]))
    return Rules(frames, cap, float(options["sticky"]), int(options["noops"]), "fire" in options)


class Player:
    """Plays a game at random, under the rules of protocols that play it `alike`."""

    def __init__(self, env_id: str, protocols: Sequence[str]) -> None:
        self.env_id, self.rules = env_id, rules(protocols[0])
        self.caps = {protocol: rules(protocol).frame_cap for protocol in protocols}
        self.ale: Any = emulator.emulator(self.rules.sticky)
        self.ale.setInt("random_seed", EVALUATION_SEED)
        self.ale.setInt("max_num_frames_per_episode", max(self.caps.values()))
        emulator.load(self.ale, env_id)
        self.actions = self.ale.getMinimalActionSet()

    def play(self, episode: int) -> dict[str, Episode]:
        """Return the score and the number of actions of one episode, by each of the protocols."""
        draws, ale = episode_generator(EVALUATION_SEED, "evaluation", episode), self.ale
        if self.rules.sticky:  # the emulator draws then, and would go on from the episode before
            ale.setInt("random_seed", int(episode_seed(EVALUATION_SEED, "evaluation", 0, episode)) % 2**31)
            emulator.load(ale, self.env_id)
        ale.reset_game()
        fire = [action for action in self.actions if action.name == "FIRE" and self.rules.fire]
        for frame in range(int(draws.integers(self.rules.noops + 1))):
            ale.act(fire[0] if fire and frame == 0 else 0)
        score, count, cut = 0.0, 0, dict.fromkeys(self.caps.values(), (0.0, 0))
        while not (ale.game_over() or ale.game_truncated()):
            action = self.actions[draws.integers(len(self.actions))]
            count += 1
            for _ in range(self.rules.frames):
                score += ale.act(action)
                frames = ale.getEpisodeFrameNumber()
                cut |= {cap: (score, count) for cap in cut if frames <= cap}
        return {protocol: cut[cap] for protocol, cap in self.caps.items()}


@functools.cache
def alike(env_id: str, protocol: str) -> Rules:
    """Return a protocol's rules but for the length of a game; where these are equal, the same games are played."""
    there = rules(protocol)
    return there._replace(frame_cap=0, fire=there.fire and "fire" in emulator.action_names(env_id))


# ------------------------------------------------------------------ the file


def read(path: Path = RESULTS) -> dict[tuple[str, str], Row]:
    """Return the rows by environment and protocol; none without a file."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {(row["env_id"], row["protocol"]): row for row in csv.DictReader(file)}


def write(rows: dict[tuple[str, str], Row], path: Path = RESULTS) -> None:
    """Write the file, whole, sorted by protocol and game."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    order = {name: place for place, name in enumerate(PROTOCOLS)}
    writer.writerows(row for _, row in sorted(rows.items(), key=lambda one: (order.get(one[0][1], 99), one[0][0])))
    write_bytes(path, text.getvalue().encode())


@functools.cache
def versions() -> tuple[str, dict[str, Any]]:
    """Return the library versions as a row has them, and all that says where it was measured."""
    about = provenance("cpu", 1)
    about["commit"] = committed(str(about["commit"]))
    return "; ".join(f"{key} {value}" for key, value in about["versions"].items()), about


def committed(commit: str) -> str:
    """Return a commit without the + of a checkout in which nothing but results/ differs, as the rows of before do."""
    words = ["git", "status", "--porcelain", "--untracked-files=no"]
    if not commit.endswith("+"):
        return commit
    done = subprocess.run(words, cwd=RESULTS.parent, capture_output=True, text=True, check=True)
    others = [line for line in done.stdout.splitlines() if not line[3:].startswith("results/")]
    return commit if others else commit.removesuffix("+")


def played(row: Row | None, now: str) -> int:
    """Return how many episodes of a row count: none of one that was measured with other libraries."""
    return int(row["episodes"]) if row is not None and row["versions"] == now else 0


def joined(before: Row | None, env_id: str, protocol: str, episodes: Sequence[Episode], cpu_s: float) -> Row:
    """Return the row of a game after some more episodes: count, mean, deviation and interval of all of them."""
    now, about = versions()
    old = played(before, now)
    count = old + len(episodes)
    total = sum(score for score, _ in episodes)
    squares, length = sum(score**2 for score, _ in episodes), float(sum(steps for _, steps in episodes))
    if before is not None and old:
        mean, deviation = float(before["mean"]), float(before["standard_deviation"])
        total += old * mean
        squares += (old - 1) * deviation**2 + old * mean**2
        length += old * float(before["mean_length"])
        cpu_s += float(before["cpu_s"])
    mean = total / count
    deviation = math.sqrt(max(squares - count * mean**2, 0.0) / max(count - 1, 1))
    low, high = around(mean, deviation / math.sqrt(count), count) if deviation else (mean, mean)
    row = {
        **{"env_id": env_id, "agent": "random", "seed": EVALUATION_SEED, "agent_steps": 0, "frames": 0},
        **{"episodes": count, "mean": round(mean, 3), "standard_deviation": round(deviation, 3)},
        **{"ci95_low": round(low, 3), "ci95_high": round(high, 3), "mean_length": round(length / count, 1)},
        **{"epsilon": 1.0, "protocol": protocol, "preset": "-", "cpu_s": round(cpu_s, 1), "commit": about["commit"]},
        "hardware": "; ".join(f"{key} {value}" for key, value in about["hardware"].items()),
        "versions": now,
    }
    return {name: str(row[name]) for name in COLUMNS}


# ------------------------------------------------------------------ measuring


def missing(games: Sequence[str], protocols: Sequence[str], wanted: int, path: Path = RESULTS) -> list[tuple[str, str]]:
    """Return the environment and protocol of each row that has fewer games than are wanted, in order."""
    rows, (now, _) = read(path), versions()
    pairs = [(env_id_of(game), protocol) for protocol in protocols for game in games]
    return [pair for pair in pairs if played(rows.get(pair), now) < wanted]


def seconds_left(left: Sequence[tuple[str, str]], wanted: int, path: Path = RESULTS) -> float:
    """Return about how many seconds of a core the missing games take: as in the rows that are there."""
    rows, (now, _) = read(path), versions()
    pace: dict[str, float] = {}
    for (env_id, _), row in rows.items():
        pace[env_id] = max(float(row["cpu_s"]) / int(row["episodes"]), pace.get(env_id, 0.0))
    games: dict[tuple[str, Rules], int] = {}  # those that are shared are played once
    for env_id, protocol in left:
        game = env_id, alike(env_id, protocol)
        games[game] = max(wanted - played(rows.get((env_id, protocol)), now), games.get(game, 0))
    return sum(count * pace.get(env_id, SECONDS) for (env_id, _), count in games.items())


def measure(env_id: str, protocols: Sequence[str], wanted: int, path: Path = RESULTS) -> dict[str, Row]:
    """Play a game until its rows by protocols that play it `alike` have so many episodes; return them.

    They are written after every few episodes. The one that has fewest is played first, so that the others join it.
    """
    now, _ = versions()
    while True:
        rows = {protocol: read(path).get((env_id, protocol)) for protocol in protocols}
        counts = {protocol: played(row, now) for protocol, row in rows.items()}
        done = min(counts.values())
        if done >= wanted:
            return {protocol: row for protocol, row in rows.items() if row is not None}
        behind = [protocol for protocol, count in counts.items() if count == done]
        end = min(done + CHUNK, wanted, *(count for count in counts.values() if count > done))
        player, began = Player(env_id, behind), time.process_time()
        episodes = [player.play(episode) for episode in range(done, end)]
        cpu_s = time.process_time() - began  # of games that are shared, each row has all of it
        new = {
            (env_id, protocol): joined(rows[protocol], env_id, protocol, [one[protocol] for one in episodes], cpu_s)
            for protocol in behind
        }
        write({**read(path), **new}, path)  # read anew: another process may have added rows


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing, and print a line a game; return 2 where that can't be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=sorted(load().scores[BASELINES[LONG].random]))
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--games-each", type=int, default=GAMES, dest="wanted", help="episodes of a row")
    parser.add_argument("--missing", action="store_true", help="only print what is left")
    options = parser.parse_args(argv)
    left = missing([find_game(game) for game in options.games], options.protocols, options.wanted)
    hours = seconds_left(left, options.wanted) / 3600
    print(f"{len(left)} rows are missing or have fewer than {options.wanted} games: about {hours:.1f} hours of a core")
    if not options.missing and left and versions()[1]["commit"].endswith("+"):
        print("error: code differs from its commit, and rows of such code are not taken; commit it first")
        return 2
    while left and not options.missing:
        env_id, protocol = left[0]
        same = [one for one in options.protocols if alike(env_id, one) == alike(env_id, protocol)]
        for protocol, row in measure(env_id, same, options.wanted).items():
            left = [pair for pair in left if pair != (env_id, protocol)]
            print(
                f"{env_id:28} {protocol:14} {float(row['mean']):12,.1f} ({row['episodes']} games, {row['cpu_s']} s)",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    run(main)
