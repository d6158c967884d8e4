"""Human-normalised Atari scores: names of games, protocols, and the two human baselines, which are never mixed."""

from __future__ import annotations

import dataclasses
import math
import re

from common.errors import UserError, unknown
from scores.atari.published import Agent, load

RECORD = "human_world_record"
LONG, SHORT = "atari57", "mnih2015"  # the names of the baselines


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What "human" means: whose scores, in episodes of which length."""

    name: str
    human: str  # the agent of the table that is 1
    random: str  # ... and 0
    minutes: int  # maximum length of an episode
    games: int
    description: str


BASELINES = {
    LONG: Baseline(LONG, "human", "random", 30, 57, "57 games, 30-minute episodes"),
    SHORT: Baseline(SHORT, "human_mnih2015", "random_mnih2015", 5, 49, "49 games, 5-minute episodes"),
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How our own runs are evaluated, as far as a comparison needs it."""

    name: str
    baseline: str  # the human baseline with the same protocol
    sticky: bool | None  # sticky actions of 0.25; None: unknown
    description: str
    known: bool = True


PROTOCOLS = {
    "machado2018": Protocol("machado2018", LONG, True, "sticky actions 0.25, at most 30 minutes"),
    "mnih2015": Protocol("mnih2015", SHORT, False, "no sticky actions, up to 30 no-ops, at most 5 minutes"),
    "dqn_zoo": Protocol("dqn_zoo", LONG, False, "no sticky actions, up to 30 no-ops, at most 30 minutes"),
    "gallici2024": Protocol("gallici2024", LONG, False, "as dqn_zoo, with FIRE pressed at the start"),
    "clark2024": Protocol("clark2024", LONG, True, "as machado2018, with up to 30 no-ops at the start"),
}
"""Machado et al. 2018, arXiv:1709.06009; Mnih et al. 2015, doi:10.1038/nature14236; google-deepmind/dqn_zoo;
Gallici et al. 2024, arXiv:2407.04811; Clark et al. 2024, arXiv:2411.03820."""


def protocol(name: str) -> Protocol:
    """Return a protocol; a variant (``machado2018-full``) is not ``known`` but has the values of its base."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    base = PROTOCOLS.get(re.split(r"[-+ ;,]", name, maxsplit=1)[0])
    if base is not None:
        return dataclasses.replace(
            base, name=name, description=f"a variant of {base.name}: {base.description}", known=False
        )
    return Protocol(name, LONG, None, "unknown protocol", known=False)


def game_of(env_id: str) -> str | None:
    """Return the game of an ALE id, ``Pong`` for ``ALE/Pong-v5``; None for any other id."""
    found = re.fullmatch(r"ALE/([A-Za-z0-9]+)-v5", env_id)
    return found[1] if found else None


def env_id_of(game: str) -> str:
    """Return the ALE id of a game: ``ALE/Pong-v5`` for ``Pong``."""
    return f"ALE/{game}-v5"


def find_game(name: str, more: tuple[str, ...] = ()) -> str:
    """Return the game with this name or ALE id; ``more`` are known games beside those of the tables.

    Raises:
        UserError: no such game; the message has the nearest names.
    """
    known = {*load().games, *more}
    game = game_of(name) or name
    if game not in known:
        raise unknown("Atari game", name, known)
    return game


def find_agent(name: str) -> Agent:
    """Return the row of a published agent; `UserError` with the nearest names if there is none."""
    agents = load().agents
    if name not in agents:
        raise unknown("published agent", name, agents)
    return agents[name]


def find_baseline(name: str) -> Baseline:
    """Return a human baseline, ``atari57`` or ``mnih2015``; `UserError` for another name."""
    if name not in BASELINES:
        raise unknown("human baseline", name, BASELINES)
    return BASELINES[name]


def published(agent: str, game: str) -> float:
    """Return the final score of a published agent (or of ``human``, ``random``, ...), in points of the game.

    Raises:
        UserError: an unknown name, or no score of this agent in this game.
    """
    name, game = find_agent(agent).name, find_game(game)
    found = load().scores.get(name, {}).get(game)
    if found is None:
        raise UserError(f"there is no score of {name} in {game}")
    return found


def human_normalised(score: float, game: str, baseline: str = LONG) -> float:
    """Return (score - random) / (human - random): 0 is random play, 1 is human.

    Mnih et al. 2015, doi:10.1038/nature14236, "Evaluation procedure".

    Args:
        score: raw points of the game, mean over episodes.
        game: ALE's name of the game, or its id.
        baseline: ``atari57`` or ``mnih2015``.

    Raises:
        UserError: an unknown name, or a game without a human score in this baseline.
        ValueError: a score that is not finite.
    """
    base = find_baseline(baseline)
    return _between(score, game, base.random, base.human)


def record_normalised(score: float, game: str) -> float:
    """Return (score - random) / (human world record - random); arguments and errors as in `human_normalised`.

    Toromanoff et al. 2019, arXiv:1908.04683. The records were not measured under a controlled protocol.
    """
    return _between(score, game, BASELINES[LONG].random, RECORD)


def _between(score: float, game: str, low_agent: str, high_agent: str) -> float:
    if not math.isfinite(score):
        raise ValueError(f"a score of {score}")
    high, low = published(high_agent, game), published(low_agent, game)
    return (score - low) / (high - low)


def has_human(game: str, baseline: str) -> bool:
    """Return whether a game (possibly unknown) has both scores of a human baseline."""
    base, scores = BASELINES[baseline], load().scores
    return game in scores.get(base.human, {}) and game in scores.get(base.random, {})


def human_or_none(score: float, game: str, baseline: str) -> float | None:
    """Return the human-normalised score; None if the game has no human score in this baseline."""
    return human_normalised(score, game, baseline) if has_human(game, baseline) else None


def record_or_none(score: float, game: str) -> float | None:
    """Return the record-normalised score; None if the game has no record or no random score."""
    scores = load().scores
    known = game in scores.get(RECORD, {}) and game in scores.get(BASELINES[LONG].random, {})
    return record_normalised(score, game) if known else None
