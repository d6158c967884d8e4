"""One Atari game as a table like that of any environment: runs, human players, random play, published agents."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from scores.atari import measured, normalization, protocol_notes
from scores.atari.protocol_notes import EvaluationConditions
from scores.atari.published import load
from scores.rows import Row

AGENTS = {normalization.LONG: ("dqn", "rainbow"), normalization.SHORT: ("dqn_mnih2015",)}
"""The published agents that are shown beside our runs by default, by human baseline."""


def complete(game: str, rows: Sequence[Row]) -> list[Row]:
    """Return our rows with their normalised scores, followed by the references of the game."""
    own = [_normalised(row, game) for row in rows]
    return own + reference_rows(game, baselines(row.protocol for row in own))


def baselines(protocol_names: Iterable[str]) -> list[str]:
    """Return the human baselines of the protocols; of none, the 57-game baseline."""
    used = {normalization.protocol(name).baseline for name in protocol_names} or {normalization.LONG}
    return [name for name in normalization.BASELINES if name in used]


def reference_rows(game: str, used: Sequence[str]) -> list[Row]:
    """Return random play, the human, the world record and one or two published agents, if they have a score."""
    names: list[tuple[str, str]] = []
    for baseline in used:
        base = normalization.BASELINES[baseline]
        names += [(name, baseline) for name in (base.random, base.human, *AGENTS[baseline])]
    names.append((normalization.RECORD, used[0]))
    scores = load().scores
    return [_reference(name, game, baseline) for name, baseline in names if game in scores.get(name, {})]


def remarks(game: str, rows: Sequence[Row]) -> list[str]:
    """Return the remarks on the rows of one game."""
    found = []
    used = baselines(row.protocol for row in rows if row.kind != "reference")
    for base in (normalization.BASELINES[name] for name in used):
        if not normalization.has_human(game, base.name):
            found.append(f"{game} has no human score in the baseline of {base.description}.")
    if any(row.human_normalised is not None for row in rows):
        found += protocol_notes.remarks(_players(rows))
    found += measured.remarks([game], [row.protocol for row in rows if row.kind != "reference"])
    if any(row.name == normalization.RECORD for row in rows):
        found.append(f"{normalization.RECORD}: not measured under a controlled protocol.")
    return found


def _normalised(row: Row, game: str) -> Row:
    protocol = normalization.protocol(row.protocol)
    return dataclasses.replace(
        row,
        note=f"{row.protocol} ({protocol.description}); {row.note}",
        human_normalised=normalization.human_or_none(row.mean, game, protocol.baseline),
        record_normalised=normalization.record_or_none(row.mean, game),
    )


def _reference(name: str, game: str, baseline: str) -> Row:
    agent, score = normalization.find_agent(name), normalization.published(name, game)
    base = normalization.BASELINES[baseline]
    is_baseline = name in (base.human, base.random, normalization.RECORD)
    return Row(
        name=name,
        kind="reference",
        env_id=normalization.env_id_of(game),
        mean=score,
        ci95=None,
        episodes=None,
        agent_steps=agent.frames // 4 if agent.frames else None,
        epsilon=None,
        protocol=_short(protocol_notes.of_agent(agent), is_baseline),
        note=agent.protocol,
        frames=agent.frames,
        human_normalised=normalization.human_or_none(score, game, baseline),
        record_normalised=normalization.record_or_none(score, game),
    )


def _short(conditions: EvaluationConditions, is_baseline: bool) -> str:
    """Return a reference's protocol in a few words; the note has all of it."""
    if is_baseline:
        minutes = normalization.BASELINES[conditions.baseline].minutes
        return "not controlled" if conditions.name == normalization.RECORD else f"not sticky, {minutes} min"
    sticky = {True: "sticky", False: "not sticky", None: "sticky not stated"}[conditions.sticky]
    return f"{sticky}, {'training' if conditions.training_returns else 'evaluation'}"


def _players(rows: Sequence[Row]) -> list[EvaluationConditions]:
    shown: dict[str, EvaluationConditions] = {}
    agents = {name for group in AGENTS.values() for name in group}
    for row in rows:
        if ", mean of " in row.name:  # its runs are rows too
            continue
        if row.kind != "reference":
            frames = [row.frames] if row.frames else []
            shown[row.name] = protocol_notes.of_protocol(row.name, [row.protocol], frames)
        elif row.name in agents:
            shown[row.name] = protocol_notes.of_agent(normalization.find_agent(row.name))
    return list(shown.values())
