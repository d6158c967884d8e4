"""Random play as measured here, beside that of the reference table: where they differ, 0 % is not chance."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from common.files import ROOT
from common.text import number_of
from scores.atari import normalization
from scores.atari.published import load

RESULTS = ROOT / "results" / "random.csv"  # made by `python -m benchmarks.random_scores`
PROTOCOL = "dqn_zoo"
TEN_HZ = "mnih2015-10hz"  # a choice every sixth frame, at most 5 minutes, as the reference was measured
LISTED = 5  # games named in a remark


@dataclasses.dataclass(frozen=True)
class RandomPlay:
    """What random play scored in one game."""

    game: str
    mean: float
    ci95: tuple[float, float]
    episodes: int
    reference: float
    """The reference table's."""
    normalised: float | None
    """Human-normalised by the reference; None: the game has no human score."""

    @property
    def differs(self) -> bool:
        """Whether the reference lies outside the interval."""
        return not self.ci95[0] <= self.reference <= self.ci95[1]

    @property
    def percent(self) -> str:
        """Return how much of a human chance is, by the reference."""
        return "" if self.normalised is None else f"chance is {100 * self.normalised:z.1f} % of human"


def measured(game: str, protocol: str = PROTOCOL) -> RandomPlay | None:
    """Return what was measured in a game; None if nothing was, or the table has no random play of it."""
    return _read(RESULTS, protocol).get(game)


@lru_cache
def _read(path: Path, protocol: str) -> dict[str, RandomPlay]:
    if not path.exists():
        return {}
    baseline = normalization.protocol(protocol).baseline
    references = load().scores[normalization.BASELINES[baseline].random]
    found = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            game = normalization.game_of(row["env_id"])
            if row["protocol"] == protocol and game in references:
                mean, interval = float(row["mean"]), (float(row["ci95_low"]), float(row["ci95_high"]))
                normalised = normalization.human_or_none(mean, game, baseline)
                found[game] = RandomPlay(game, mean, interval, int(row["episodes"]), references[game], normalised)
    return found


def remarks(games: Sequence[str], protocols: Iterable[str] = ()) -> list[str]:
    """Return on which games the reference's random play is not what was measured, a remark a protocol.

    Args:
        games: of the table.
        protocols: of its players; where none of them was measured, it is `PROTOCOL`.
    """
    known = [name for name in sorted(set(protocols)) if _read(RESULTS, name)]
    return [remark for name in known or [PROTOCOL] if (remark := _remark(games, name))]


def _remark(games: Sequence[str], protocol: str) -> str:
    found = [one for game in games if (one := measured(game, protocol)) is not None]
    differing = [one for one in found if one.differs]
    if not differing:
        return ""
    if len(games) == 1:
        (one,) = differing
        more = f": {one.percent}" if one.percent else ""
        return (
            f"Random play of {one.game}, measured here (protocol {protocol}, {number_of(one.episodes, 'game')}):"
            f" {_points(one)}; the reference says {one.reference:,.6g}, outside of that 95 % interval{more}."
        )
    differing.sort(key=lambda one: -abs(one.normalised or 0.0))
    named = "; ".join(
        f"{one.game} {_points(one)}, reference {one.reference:,.6g}" + (f" ({one.percent})" if one.percent else "")
        for one in differing[:LISTED]
    )
    rest = f"; and {len(differing) - LISTED} more" if len(differing) > LISTED else ""
    return (
        f"Random play measured here (results/random.csv, protocol {protocol}) differs from the reference's by more than"
        f" its 95 % interval in {len(differing)} of {len(found)} games (one in twenty would by luck), so 0 % is not"
        f" chance there: {named}{rest}."
    )


def _points(one: RandomPlay) -> str:
    half = (one.ci95[1] - one.ci95[0]) / 2
    form = ",.0f" if abs(one.mean) >= 100 else ",.2f"
    return f"{one.mean:{form}} ± {half:{form}}"
