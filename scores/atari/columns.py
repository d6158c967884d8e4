"""The columns of the Atari table: your runs, pretrained agents, human players, references, published agents."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from common.errors import UserError
from scores.atari import normalization, protocol_notes
from scores.atari.protocol_notes import EvaluationConditions
from scores.atari.published import load
from scores.grouping import MOST_NAMED, Group, grouped
from scores.runs import Episode, Run
from scores.stats import student_interval

Kind = Literal["run", "pretrained", "human", "reference", "agent"]
LEAST_FRAMES, MOST_FRAMES = 1_000_000, 200_000_000  # range of the published learning curves


@dataclasses.dataclass(frozen=True)
class Cell:
    """One column's score in one game."""

    score: float  # points of the game, mean over episodes, then over runs
    human_normalised: float | None  # None: no human score
    record_normalised: float | None
    runs: tuple[float, ...]  # human-normalised score of every run (seed); empty without a human score
    episodes: int | None
    protocol: str


@dataclasses.dataclass(frozen=True)
class Column:
    """One player in all its games."""

    name: str
    kind: Kind
    cells: dict[str, Cell]  # by game
    conditions: EvaluationConditions
    note: str
    runs: tuple[Run, ...] = ()

    def normalised(self) -> dict[str, tuple[float, ...]]:
        """Return the human-normalised scores of the runs, by game; games without a human score are left out."""
        return {game: cell.runs for game, cell in self.cells.items() if cell.runs}


def of_runs(runs: Sequence[Run], mix_protocols: bool) -> list[Column]:
    """Return a column for every agent and preset, over its seeds and games; pretrained agents have their own.

    Raises:
        UserError: the runs of one column have several protocols, and ``mix_protocols`` is False.
    """
    groups = grouped(runs, protocols=False)
    if not mix_protocols:
        for group in groups:
            _check_protocols(group.label, group.runs)
    groups.sort(key=lambda group: (not group.finished, group.runs[0].pretrained, group.label))
    return [_of_group(group) for group in groups]


def of_humans(episodes: Sequence[Episode]) -> list[Column]:
    """Return a column for every human player and protocol: episodes played on this machine."""
    groups: dict[tuple[str, str], dict[str, list[Episode]]] = defaultdict(lambda: defaultdict(list))
    for one in episodes:
        groups[one.player, one.protocol][_game(one.env_id)].append(one)
    columns = []
    for (player, protocol), by_game in sorted(groups.items()):
        several = sum(other == player for other, _ in groups) > 1  # protocols of this player
        name = f"you: {player}" + (f" ({protocol})" if several else "")
        cells = {game: _cell(game, [_points(played)], [protocol], len(played)) for game, played in by_game.items()}
        note = f"{protocol} ({normalization.protocol(protocol).description}); played on this machine"
        columns.append(Column(name, "human", cells, protocol_notes.of_protocol(name, [protocol], []), note))
    return columns


def of_references(baselines: Iterable[str]) -> list[Column]:
    """Return random play, the human and the world record; of both human baselines if both are used."""
    names = [("random", normalization.LONG), ("human", normalization.LONG), (normalization.RECORD, normalization.LONG)]
    if normalization.SHORT in baselines:
        names += [(name, normalization.SHORT) for name in ("random_mnih2015", "human_mnih2015")]
    return [_published(name, "reference", load().scores[name], None) for name, _ in names]


def of_agent(name: str, at_frames: int | None) -> tuple[Column | None, str | None]:
    """Return a published agent's column, or None, and a remark if it is not exactly what was requested.

    Args:
        name: of the agent, as in the table.
        at_frames: emulator frames of training; the nearest point of its learning curve is used. None: final scores.

    Raises:
        UserError: an unknown name, or one that has no final scores.
    """
    agent = normalization.find_agent(name)
    if at_frames is None:
        if name not in load().scores:
            raise UserError(f"{name} has only learning curves; add --at-frames, e.g. --at-frames 10000000")
        return _published(name, "agent", load().scores[name], None), None
    curves = load().curves.get(name, {})
    if not curves:
        return None, f"{name} has no published learning curve, so it can't be shown at {at_frames:,} frames."
    known = sorted({frames for curve in curves.values() for frames in curve.points})
    frames = min(known, key=lambda one: abs(one - at_frames))
    scores = {game: curve.points[frames] for game, curve in curves.items() if frames in curve.points}
    column = _published(agent.name, "agent", scores, frames)
    nearest = f"{name} is shown at {frames:,} frames, the published point nearest to {at_frames:,}."
    return column, None if frames == at_frames else nearest


def check_at_frames(at_frames: int) -> None:
    """Raise `UserError` if the published learning curves don't reach so far."""
    if not LEAST_FRAMES <= at_frames <= MOST_FRAMES:
        raise UserError(
            f"--at-frames {at_frames} is out of range; the published learning curves go from {LEAST_FRAMES} to"
            f" {MOST_FRAMES} emulator frames"
        )


def _game(env_id: str) -> str:
    return normalization.game_of(env_id) or env_id


def _points(episodes: Sequence[Episode]) -> float:
    return student_interval([one.episode_return for one in episodes]).mean


def _protocols(runs: Iterable[Run]) -> list[str]:
    return sorted({one.protocol for run in runs for one in run.episodes})


def _check_protocols(title: str, runs: Sequence[Run]) -> None:
    names = _protocols(runs)
    if len(names) > 1:
        places = [
            f"{name} ({', '.join(sorted({_game(run.env_id) for run in runs if name in _protocols([run])}))})"
            for name in names
        ]
        raise UserError(
            f"the runs of {title} have different protocols: {', '.join(places)}; they can't share an aggregate."
            f" Choose one with --protocol {names[0]}, or add --mix-protocols"
        )


def _of_group(group: Group) -> Column:
    name = group.label + (" (pretrained)" if group.runs[0].pretrained else "" if group.finished else " (unfinished)")
    newest: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in group.runs:  # sorted by name, so by time
        newest[_game(run.env_id)][run.seed] = run  # of a seed that was trained twice only the newest run counts
    kept = [run for by_seed in newest.values() for run in by_seed.values()]
    cells = {}
    for game, by_seed in newest.items():
        runs = list(by_seed.values())
        cells[game] = _cell(
            game,
            [_points(run.episodes) for run in runs],
            [run.episodes[0].protocol for run in runs],
            sum(len(run.episodes) for run in runs),
        )
    conditions = protocol_notes.of_protocol(name, _protocols(kept), [run.frames for run in kept])
    kind: Kind = "pretrained" if group.runs[0].pretrained else "run"
    note = _note(kept, conditions)
    note += f"; {', '.join(group.differs[MOST_NAMED:])}" if len(group.differs) > MOST_NAMED else ""
    return Column(name, kind, cells, conditions, note if group.finished else f"{group.progress}; {note}", tuple(kept))


def _note(runs: Sequence[Run], conditions: EvaluationConditions) -> str:
    """Return the note of a column of runs: protocol, length of the training, seeds."""
    protocols = [f"{name} ({normalization.protocol(name).description})" for name in conditions.protocols]
    seeds = sorted({run.seed for run in runs})
    steps = sorted({run.agent_steps for run in runs})
    trained = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    frames = conditions.frames or (0, 0)
    emulated = f"{frames[0]:,}" if frames[0] == frames[1] else f"{frames[0]:,} to {frames[1]:,}"
    note = f"{' + '.join(protocols)}; {trained} agent steps, {emulated} frames; seed{'s' * (len(seeds) > 1)} "
    note += ", ".join(map(str, seeds))
    return note


def _cell(game: str, points: Sequence[float], protocols: Sequence[str], episodes: int) -> Cell:
    """Return the cell of some runs, each normalised by the human baseline of its own protocol."""
    normalised = [
        normalization.human_or_none(score, game, normalization.protocol(protocol).baseline)
        for score, protocol in zip(points, protocols, strict=True)
    ]
    runs = tuple(one for one in normalised if one is not None)
    complete = len(runs) == len(points)  # with mixed protocols a game may be in only one of the baselines
    mean = sum(points) / len(points)
    return Cell(
        score=mean,
        human_normalised=sum(runs) / len(runs) if complete else None,
        record_normalised=normalization.record_or_none(mean, game),
        runs=runs if complete else (),
        episodes=episodes,
        protocol=" + ".join(sorted(set(protocols))),
    )


def _published(name: str, kind: Kind, scores: dict[str, float], at_frames: int | None) -> Column:
    agent = normalization.find_agent(name)
    cells = {}
    for game, score in scores.items():
        normalised = normalization.human_or_none(score, game, agent.baseline)
        record = normalization.record_or_none(score, game)
        runs = () if normalised is None else (normalised,)
        cells[game] = Cell(score, normalised, record, runs, None, agent.protocol)
    conditions = protocol_notes.of_agent(agent, at_frames)
    note = agent.protocol if kind == "reference" else protocol_notes.summary(conditions)
    return Column(name, kind, cells, conditions, note)
