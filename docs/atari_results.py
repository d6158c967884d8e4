"""The Atari section of the results: table, summary, learning curves; for docs/generate.py and docs/atari_charts.py.

All of it follows from results/atari.csv and results/atari_curves.csv, which `python -m benchmarks.add_runs` writes. The
chart and the aggregates are of one agent with one preset for all games; the table has every row of the file.
"""

from __future__ import annotations

import csv
import functools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from docs.results import RESULTS, one_decimal, table
from scores.atari import atari5, measured, normalization
from scores.atari.normalization import human_or_none, published
from scores.atari.published import load
from scores.atari.table import percent
from scores.stats import Interval, student_interval

AGENT, PRESET = "pqn", "cpu"
OWN_NAMES = {
    **{"Hero": "H.E.R.O.", "Jamesbond": "James Bond", "KungFuMaster": "Kung-Fu Master", "MsPacman": "Ms. Pac-Man"},
    "Qbert": "Q*bert",
}
BESIDE = "dqn"  # the published agent in the chart, at 200 million frames
CURVES_BESIDE = ("dopamine_dqn_cnn",)
INK, HUMAN, PALE = "#33383f", "#b3261e", "#6b7280"


class Line(NamedTuple):
    """An agent's runs in one game with one preset, of the same length."""

    game: str
    agent: str
    preset: str
    protocol: str
    device: str
    frames: int
    seeds: dict[int, float]
    """By seed: the mean over the games of the final evaluation."""
    episodes: tuple[int, ...]
    """By seed: how many games that were."""
    minutes: tuple[float, ...]
    """By seed: of the whole command."""

    @property
    def score(self) -> Interval:
        """The mean over seeds, Student's t."""
        return student_interval(list(self.seeds.values()))

    @property
    def normalised(self) -> tuple[float, ...]:
        """Human-normalised scores by seed, 1 is human; empty for a game without a human score."""
        baseline = normalization.protocol(self.protocol).baseline
        found = [human_or_none(score, self.game, baseline) for score in self.seeds.values()]
        return tuple(one for one in found if one is not None)

    @property
    def level(self) -> float | None:
        """The mean of the normalised scores; None without a human score."""
        return statistics.fmean(self.normalised) if self.normalised else None


# ------------------------------------------------------------------ the rows


@functools.cache
def lines(path: Path = RESULTS / "atari.csv") -> tuple[Line, ...]:
    """Return the lines of a file of raw scores, the best human-normalised score first; none without a file."""
    if not path.exists():
        return ()
    runs: dict[tuple[str, ...], dict[int, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = ("env_id", "agent", "preset", "protocol", "device", "frames")
            runs[tuple(row[name] for name in key)][int(row["seed"])].append(row)
    found = []
    for (env_id, agent, preset, protocol, device, frames), by_seed in runs.items():
        seeds = dict(sorted(by_seed.items()))
        means = {seed: statistics.fmean(float(row["episode_return"]) for row in rows) for seed, rows in seeds.items()}
        episodes = tuple(len(rows) for rows in seeds.values())
        minutes = tuple(float(rows[0]["wall_s"] or 0) / 60 for rows in seeds.values())
        game = normalization.game_of(env_id) or env_id
        found.append(Line(game, agent, preset, protocol, device, int(frames), means, episodes, minutes))
    return tuple(sorted(found, key=lambda one: (one.level is None, -(one.level or 0.0), one.game, one.agent)))


def charted(path: Path = RESULTS / "atari.csv") -> list[Line]:
    """Return what the chart shows: one agent, one preset, one length, the games that have a human score."""
    ours = [one for one in lines(path) if (one.agent, one.preset) == (AGENT, PRESET) and one.level is not None]
    longest = max((one.frames for one in ours), default=0)
    return [one for one in ours if one.frames == longest]


def spaced(game: str) -> str:
    """Return a game's name as people write it: ``Battle Zone``; a few have their own."""
    if game in OWN_NAMES:
        return OWN_NAMES[game]
    return "".join(f" {letter}" if letter.isupper() and place else letter for place, letter in enumerate(game))


def counted(count: int, noun: str) -> str:
    """Return a number of things, as ``2 games``."""
    return f"{count} {noun}" + "s" * (count != 1)


def span(values: Iterable[int]) -> str:
    """Return the least and the greatest, as ``27 to 43``; one number if they are equal."""
    found = sorted(set(values))
    return " to ".join(map(str, dict.fromkeys((found[0], found[-1]))))


def atari_chart() -> str:
    """Return the chart as a link, with its numbers for those who can't see it; nothing before a game was measured."""
    found = charted()
    if not found:
        return ""
    levels = ", ".join(f"{spaced(one.game)} {percent(one.level or 0.0)}" for one in found)
    about = f"Human-normalised scores of {AGENT}, preset {PRESET}, in {counted(len(found), 'game')}: {levels}"
    return f"![{about}](/docs/atari.png)"


def chart_text() -> str:
    """Return the numbers of the chart; empty before a game was measured."""
    return f"{atari_summary()}\n{atari()}" if charted() else ""


def random_play() -> str:
    """Return where random play, measured under the rules of our agents, is not that of the reference table."""
    found = [one for game in sorted(load().scores["random"]) if (one := measured.measured(game)) is not None]
    differing = sorted((one for one in found if one.differs), key=lambda one: -abs(one.normalised or 0.0))
    fewest = min(one.episodes for one in found)
    most = [f"{spaced(one.game)}, where {one.percent}" for one in differing[:3] if one.percent]
    games = f"{fewest} to {max(one.episodes for one in found)} games each"
    if fewest == max(one.episodes for one in found):
        games = f"{fewest} games each"
    return (
        f"Of {len(found)} games ({games}, protocol `{measured.PROTOCOL}`) {len(differing)} differ, about"
        f" {len(found) / 20:.0f} would by luck; most of all {'; '.join(most)}. {ten_hz()}"
    )


def ten_hz() -> str:
    """Return how many of the games of Mnih et al. 2015 differ when random play is theirs."""
    games = sorted(load().scores["random_mnih2015"])
    pairs = [(measured.measured(game), measured.measured(game, measured.TEN_HZ)) for game in games]
    both = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    ours, theirs = (sum(one.differs for one in column) for column in zip(*both, strict=True))
    return (
        f"Of the {len(both)} games of Mnih et al. {theirs} differ when actions are chosen as theirs were, at 10 Hz for"
        f" at most 5 minutes, and {ours} by the rules of our agents."
    )


def points(score: float) -> str:
    """Return a score: one decimal, none from a thousand on."""
    return one_decimal(score) if abs(score) < 1000 else f"{score:,.0f}"


def length(line: Line) -> str:
    """Return how long the runs of a line were, as ``0.43M steps in 21 min``."""
    return f"{line.frames / 4e6:.2g}M steps in {span(round(time) for time in line.minutes)} min"


def millions(frames: int) -> str:
    """Return a number of frames, as ``8 million``."""
    return f"{frames / 1e6:.3g} million"


# ------------------------------------------------------------------ text


def atari() -> str:
    """Return the table of results/atari.csv beside random play and a human."""
    rows = []
    for one in lines():
        interval = one.score.ci95
        rows.append(
            [
                one.game,
                level_of("random", one.game),
                level_of("human", one.game),
                points(one.score.mean),
                percent(one.level),
                "-" if interval is None else f"{points(interval[0])} to {points(interval[1])}",
                ", ".join(map(points, one.seeds.values())),
                span(one.episodes),
                f"{one.agent}, {one.preset}",
                millions(one.frames),
                f"{span(round(time) for time in one.minutes)}, {one.device}",
            ]
        )
    numbers = [">random", ">human", ">mean", ">of human", "95 %", "by seed", ">games played"]
    return table(["game", *numbers, "agent, preset", ">frames", ">minutes"], rows)


def level_of(who: str, game: str) -> str:
    """Return the reference's score in a game, "-" if it has none."""
    baseline = normalization.has_human(game, normalization.LONG)
    return f"{published(who, game):,g}" if baseline else "-"


def atari_summary() -> str:
    """Return in a few lines what the chart shows: how many games are above human, the medians, the Atari-5 estimate."""
    found = charted()
    if not found:
        return "No game has been measured yet."
    runs = sum(len(one.seeds) for one in found)
    head = (
        f"**{counted(len(found), 'game')}, {counted(runs, 'run')}** of {AGENT}, preset `{PRESET}`:"
        f" {millions(found[0].frames)} frames each, protocol `{' and '.join(sorted({one.protocol for one in found}))}`,"
        " the same settings in every game."
        f" Of the {normalization.BASELINES[normalization.LONG].games} games that have a human score,"
        f" {normalization.BASELINES[normalization.LONG].games - len(found)} were not trained."
    )
    return "\n".join([head, "", *(f"- {line}" for line in [_above(found), *_medians(found), _atari5(found)])])


def _above(found: Sequence[Line]) -> str:
    above = [one for one in found if (one.level or 0.0) >= 1]
    below = [one.game for one in found if (one.level or 0.0) < 0]
    text = f"At human level or above in **{len(above)} of {counted(len(found), 'game')}**"
    text += f"; below random play in {len(below)}: {', '.join(below)}." if below else "; below random play in none."
    return text


def _medians(found: Sequence[Line]) -> list[str]:
    """Return the medians: of all games, and without those of one seed."""
    several = [one for one in found if len(one.seeds) > 1]
    text = [f"Median human-normalised score over all {len(found)}: **{percent(_median(found))}**"]
    if not several:
        return [f"{text[0]}; every game has one seed only, so another seed may change it."]
    if len(several) < len(found):
        over = f"the {len(several)} games" if len(several) > 1 else f"the one game, {several[0].game},"
        text.append(f"without the games of one seed, so over {over} with several: {percent(_median(several))}")
    return ["; ".join(text) + "."]


def _median(found: Sequence[Line]) -> float:
    return statistics.median(one.level or 0.0 for one in found)


def _atari5(found: Sequence[Line]) -> str:
    """Return the estimate of the median over 57 games, or which games are missing for it."""
    levels = {one.game: one.level for one in found if one.level is not None}
    missing = [game for game in atari5.GAMES if game not in levels]
    if missing:
        return f"No Atari-5 estimate of the median over 57 games yet: {', '.join(missing)} missing."
    estimate = atari5.estimate(levels)
    assert estimate is not None
    fresh = estimate.fit.fresh_error
    low, high = (_times(estimate.median, factor) for factor in (1 / fresh, fresh))
    five = [one for one in found if one.game in atari5.GAMES]
    seeds = set.intersection(*(set(one.seeds) for one in five))
    by_seed = [_estimate_of(five, seed) for seed in sorted(seeds)]
    text = (
        f"Atari-5 estimate of the median over 57 games: **{percent(estimate.median)}** ({percent(low)} to"
        f" {percent(high)}:"
        f" the typical error of the estimate after 10 million frames, a factor of {fresh:.1f},"
        f" cross-validated on {estimate.fit.agents} published agents"
    )
    if len(by_seed) > 1:
        return f"{text}; by seed {', '.join(map(percent, by_seed))})."
    counts = [len(one.seeds) for one in five]
    return f"{text}; {'one seed' if max(counts) == 1 else f'{min(counts)} to {max(counts)} seeds a game'})."


def _times(median: float, factor: float) -> float:
    """Return the median moved by a factor of the fit's scale, which is 1 + percent of human."""
    return max(((1 + 100 * median) * factor - 1) / 100, 0.0)


def _estimate_of(five: Sequence[Line], seed: int) -> float:
    levels = {one.game: dict(zip(one.seeds, one.normalised, strict=True))[seed] for one in five}
    estimate = atari5.estimate(levels)
    assert estimate is not None
    return estimate.median


# ------------------------------------------------------------------ learning curves


def read_curves(path: Path = RESULTS / "atari_curves.csv") -> dict[str, dict[int, list[tuple[int, float]]]]:
    """Return the evaluations of the runs in the chart: by game and seed, (frames, mean return) each."""
    found: dict[str, dict[int, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if (row["agent"], row["preset"]) == (AGENT, PRESET):
                    game = normalization.game_of(row["env_id"]) or row["env_id"]
                    found[game][int(row["seed"])].append((int(row["frames"]), float(row["mean_return"])))
    return {game: {seed: sorted(points) for seed, points in seeds.items()} for game, seeds in sorted(found.items())}


def atari_curves() -> str:
    """Return what the picture of learning curves shows, as text."""
    return "\n".join(
        f"{game} seed {seed}: " + ", ".join(f"{frames} {score:g}" for frames, score in points)
        for game, seeds in read_curves().items()
        for seed, points in seeds.items()
    )


# ------------------------------------------------------------------ replay agents at equal wall-clock


def atari_replay(path: Path = RESULTS / "atari_replay.csv") -> str:
    """Return what each agent reaches in the same time, as a section of its own; nothing before two were measured."""
    found = lines(path)
    cells = {(one.game, one.agent): one for one in found}
    agents, games = list(dict.fromkeys(one.agent for one in found)), sorted({one.game for one in found})
    if len(agents) < 2:
        return ""
    levels = {key: one.level for key, one in cells.items() if one.level is not None}
    common = [game for game in games if all((game, agent) in levels for agent in agents)]  # means compare over these
    means = {agent: statistics.fmean([levels[game, agent] for game in common] or [0.0]) for agent in agents}
    agents.sort(key=lambda agent: -means[agent])
    rows = []
    for game in games:
        row = [game, level_of("random", game), level_of("human", game)]
        for agent in agents:
            one = cells.get((game, agent))
            level = "" if one is None or one.level is None else f" ({percent(one.level)})"
            row.append("-" if one is None else f"{points(one.score.mean)}{level}, {length(one)}")
        rows.append(row)
    seeds = sorted({len(one.seeds) for one in found})
    text = (
        "In a cell: score (of human), agent steps, and what was used of the same budget, evaluations included;"
        f" {'one seed each' if seeds == [1] else f'{seeds[0]} to {seeds[-1]} seeds each'}."
    )
    if common:
        rows.append([f"**mean of {', '.join(common)}**", "", "", *(percent(means[agent]) for agent in agents)])
        text += f" Highest mean over the games that all have played: `{agents[0]}`."
    head = ["game", ">random", ">human", *(f">`{agent}`" for agent in agents)]
    return f"### At equal wall-clock time\n\n{text}\n\n{table(head, rows)}"
