"""The Atari comparison: games by players, the aggregates, and the remarks that belong to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from common.errors import UserError, unknown
from common.text import listed, number_of
from scores.atari import aggregates, atari5, measured, normalization, protocol_notes
from scores.atari import columns as atari_columns
from scores.atari.aggregates import Aggregates
from scores.atari.columns import Column
from scores.atari.rows import AGENTS
from scores.collect import FEW_SEEDS, ScoreData
from scores.runs import Run

CURVE_AGENTS = ("dopamine_dqn_cnn", "dopamine_rainbow_cnn")  # in place of AGENTS for learning curves: those have none


@dataclasses.dataclass(frozen=True)
class AtariSelection:
    """What to show."""

    agents: tuple[str, ...] = ()  # published agents; (): one or two
    at_frames: int | None = None  # on the published learning curves; None: final scores
    games: tuple[str, ...] = ()  # names or ids; (): those of the runs, or all of the agents
    protocol: str | None = None  # only runs with this protocol
    mix_protocols: bool = False  # in one column


@dataclasses.dataclass(frozen=True)
class AtariComparison:
    """Games as rows, the best human-normalised score first; players as columns, your runs first."""

    games: list[str]
    columns: list[Column]
    aggregates: dict[str, Aggregates | None]  # by column; None: no game with a human score
    remarks: list[str]
    sorted_by: str  # the column by which the games are sorted


def compare(data: ScoreData, selection: AtariSelection = AtariSelection()) -> AtariComparison | None:
    """Return the comparison; None if nothing is selected and there are no Atari scores on this machine.

    Raises:
        UserError: an unknown game, agent or protocol; frames out of range; mixed protocols without ``mix_protocols``.
    """
    if selection.at_frames is not None:
        atari_columns.check_at_frames(selection.at_frames)
    data, left_out = _without_pretrained(data, selection)
    own = _own(data, selection)
    if not own and selection == AtariSelection():
        return None
    agents, about_agents = _agents(selection, own)
    games = _games(selection, own, agents)
    if not games:
        raise UserError(" ".join(["nothing to show: no runs, and no published agent with a score.", *about_agents]))
    baselines = {column.conditions.baseline for column in [*own, *agents]}
    columns = [_only(column, games) for column in [*own, *atari_columns.of_references(baselines), *agents]]
    columns = [column for column in columns if column.cells or column.kind == "reference"]
    lead = next((column for column in columns if column.kind != "reference"), columns[0])
    order = [column for column in columns if column.kind != "reference"]
    games.sort(key=lambda game: rank(game, order))
    # once per column: intervals of many runs are expensive
    summary = {column.name: _aggregate(column) for column in columns}
    return AtariComparison(games, columns, summary, about_agents + remarks(columns, games) + left_out, lead.name)


def _without_pretrained(data: ScoreData, selection: AtariSelection) -> tuple[ScoreData, list[str]]:
    """Leave out the pretrained agents if all games of published agents are shown; a remark says how to see them."""
    games = sorted({_game(run) for run in data.pretrained if normalization.game_of(run.env_id)})
    has_runs = any(normalization.game_of(run.env_id) for run in data.runs)
    if not games or has_runs or not selection.agents or selection.games:
        return data, []
    return dataclasses.replace(data, pretrained=[]), [
        f"There are pretrained agents for {', '.join(games)}; --games {','.join(games)} shows them."
    ]


def _own(data: ScoreData, selection: AtariSelection) -> list[Column]:
    runs = [run for run in [*data.runs, *data.pretrained] if normalization.game_of(run.env_id)]
    played = [one for one in data.humans if normalization.game_of(one.env_id)]
    if selection.protocol is not None:
        known = {one.protocol for run in runs for one in run.episodes} | {one.protocol for one in played}
        if selection.protocol not in known:
            raise unknown("protocol of a run", selection.protocol, known or normalization.PROTOCOLS)
        runs = [run for run in runs if run.episodes[0].protocol == selection.protocol]
        played = [one for one in played if one.protocol == selection.protocol]
    if selection.games:
        names = _selected_games(selection, tuple(sorted({_game(run) for run in runs})))
        runs = [run for run in runs if _game(run) in names]
        played = [one for one in played if normalization.game_of(one.env_id) in names]
    return [*atari_columns.of_runs(runs, selection.mix_protocols), *atari_columns.of_humans(played)]


def _game(run: Run) -> str:
    return normalization.game_of(run.env_id) or run.env_id


def _selected_games(selection: AtariSelection, more: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(normalization.find_game(name, more) for name in selection.games))


def _agents(selection: AtariSelection, own: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """Return the columns of the published agents, and the remarks on them."""
    names = list(dict.fromkeys(selection.agents))
    if not names and selection.at_frames is not None:
        names = list(CURVE_AGENTS)
    elif not names:
        used = {column.conditions.baseline for column in own} or {normalization.LONG}
        names = [name for baseline in AGENTS if baseline in used for name in AGENTS[baseline]]
    references = {base_name for base in normalization.BASELINES.values() for base_name in (base.human, base.random)}
    names = [name for name in names if name not in references | {normalization.RECORD}]  # these always have a column
    pairs = [atari_columns.of_agent(name, selection.at_frames) for name in names]
    return [column for column, _ in pairs if column], [remark for _, remark in pairs if remark]


def _games(selection: AtariSelection, own: Sequence[Column], agents: Sequence[Column]) -> list[str]:
    """Return the rows: the selected games, or those of our runs and of the selected agents."""
    ours = {game for column in own for game in column.cells}
    if selection.games:
        return _selected_games(selection, tuple(sorted(ours)))
    theirs = {game for column in agents for game in column.cells}
    return sorted(ours | theirs if selection.agents or not ours else ours)


def _only(column: Column, games: Sequence[str]) -> Column:
    return dataclasses.replace(column, cells={game: column.cells[game] for game in games if game in column.cells})


def rank(game: str, columns: Sequence[Column]) -> tuple[int, float, str]:
    """Return the sort key of a game: its human-normalised score in the first column that has one."""
    for number, column in enumerate(columns):
        cell = column.cells.get(game)
        if cell and cell.human_normalised is not None:
            return number, -cell.human_normalised, game
    return len(columns), 0.0, game


def _aggregate(column: Column) -> Aggregates | None:
    runs = column.normalised()
    return aggregates.aggregate(runs) if runs else None


def remarks(columns: Sequence[Column], games: Sequence[str]) -> list[str]:
    """Return the remarks that belong to the numbers."""
    players = [column for column in columns if column.kind != "reference"]
    found = protocol_notes.remarks([column.conditions for column in players])
    found += _no_human(players, games) + _different_games(players) + _seeds(players) + _improvements(players)
    found += [remark for column in players for remark in _atari5(column)]
    ours = [column.conditions for column in players if not column.conditions.published]
    found += measured.remarks(games, [name for one in ours for name in one.protocols])
    return [*found, f"{normalization.RECORD}: not measured under a controlled protocol."]


def _no_human(players: Sequence[Column], games: Sequence[str]) -> list[str]:
    found = []
    for base in normalization.BASELINES.values():
        used = [column for column in players if column.conditions.baseline == base.name]
        without = [
            game
            for game in games
            if not normalization.has_human(game, base.name) and any(game in column.cells for column in used)
        ]
        if without:
            count = number_of(len(without), "game")
            found.append(
                f"No human score ({base.human}): {', '.join(sorted(without))}; {count}, not in the aggregates."
            )
    return found


def _different_games(players: Sequence[Column]) -> list[str]:
    groups: dict[frozenset[str], list[str]] = {}
    for column in players:
        groups.setdefault(frozenset(column.normalised()), []).append(column.name)
    if len(groups) < 2:
        return []
    parts = [f"{listed(names)} over {len(games)}" for games, names in groups.items()]
    return [f"Aggregates are over different games: {'; '.join(parts)}. Compare these players game by game."]


def _seeds(players: Sequence[Column]) -> list[str]:
    """Return what cannot be concluded from the number of runs."""
    found = []
    counts = {
        column.name: [len(cell.runs) or 1 for cell in column.cells.values()]
        for column in players
        if column.kind in ("run", "pretrained")
    }
    single = [name for name, sizes in counts.items() if sizes and min(sizes) == 1]
    few = [name for name, sizes in counts.items() if sizes and 1 < min(sizes) < FEW_SEEDS]
    if single:
        found.append(
            f"A single run (seed) in a game: {listed(single)}. Another seed may score very differently, so there is"
            " no interval, and this does not show that one agent or setting is better than another. Train with"
            " --seed 2, 3, ... too."
        )
    if few:
        found.append(f"Fewer than {FEW_SEEDS} seeds of {listed(few)}: the true intervals are wider than those shown.")
    if any(column.kind == "agent" for column in players):
        found.append("Published agents have one score per game, so there are no intervals over their runs.")
    return found


def _improvements(players: Sequence[Column]) -> list[str]:
    """Return the probability that one of our columns beats another, if both have several runs of a game."""
    found = []
    ours = [column for column in players if column.kind == "run"]
    for place, one in enumerate(ours):
        for other in ours[place + 1 :]:
            if one.conditions.baseline != other.conditions.baseline:
                continue
            first = {game: runs for game, runs in one.normalised().items() if len(runs) > 1}
            second = {game: runs for game, runs in other.normalised().items() if len(runs) > 1}
            if set(first) & set(second):
                improvement = aggregates.probability_of_improvement(first, second)
                low, high = improvement.ci95 or (0.0, 1.0)
                found.append(
                    f"Probability that a run of {one.name} beats one of {other.name}, over {improvement.games} game"
                    f"{'s' * (improvement.games > 1)}: {improvement.probability:.2f}"
                    f" (95 % interval {low:.2f} to {high:.2f})."
                )
    return found


def _atari5(column: Column) -> list[str]:
    known = {game: cell.human_normalised for game, cell in column.cells.items() if cell.human_normalised is not None}
    found = atari5.estimate(known) if column.conditions.baseline == normalization.LONG else None
    if found is None or len(known) >= atari5.NEEDED_GAMES:  # then the median itself is known
        return []
    return [
        f"Atari-5 estimate of {column.name}'s median over 57 games: {found.median:.0%} ({found.low:.0%} to"
        f" {found.high:.0%}). Its error, cross-validated on {found.fit.agents} published agents:"
        f" typically a factor of {found.fit.error:.2f}; {found.fit.fresh_error:.1f} after 10 million frames."
    ]
