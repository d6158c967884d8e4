"""Scores to measure a return by: of random actions, of a human, and the best so far. No pygame here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from common.errors import UserError

PEOPLE = {"karpathy_pretrained_eps_0.05": "Karpathy's"}  # where no human was measured


class Mark(NamedTuple):
    """One score, and whose it is."""

    name: str
    value: float


def marks_of(env_id: str, protocol: str, runs_dir: Path) -> tuple[Mark, ...]:
    """Return the reference returns of an environment, one each of random actions, people, and you; some have none.

    Args:
        env_id: of the environment.
        protocol: of an Atari game; decides which of the two human baselines is meant.
        runs_dir: the folder with your own scores.
    """
    from scores import references, runs
    from scores.atari import normalization, published

    found: list[Mark] = []
    try:
        game = normalization.game_of(env_id)
        if game is not None:
            baseline = normalization.BASELINES[normalization.protocol(protocol).baseline]
            table = published.load()
            for name, agent in (("random", baseline.random), ("human", baseline.human)):
                if (score := table.scores.get(agent, {}).get(game)) is not None:
                    found.append(Mark(name, score))
        elif not references.metric(env_id).per_step:
            known = references.of_env(env_id) + references.of_env(references.SAME_GAME.get(env_id, ""))
            names = {"random": "random", **PEOPLE}
            found = [Mark(names[one.agent], one.mean) for one in known if one.agent in names]
        mine = [one.episode_return for one in runs.read_humans(runs_dir)[0] if one.env_id == env_id]
        if mine:
            found.append(Mark("you, best", max(mine)))
    except (UserError, OSError):
        return tuple(found)
    return tuple(found)
