"""The comparison of one environment: every run, human and reference as a row, with the remarks that belong to it."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.text import listed, number_of
from scores import references
from scores.atari import normalization
from scores.atari import rows as atari_rows
from scores.grouping import MOST_NAMED, Group, grouped
from scores.references import SAME_GAME, Metric, Reference
from scores.rows import Comparison, Row
from scores.runs import Episode, Run, read_humans, read_run, read_runs
from scores.stats import bootstrap_interval, student_interval

FEW_SEEDS = 5  # the bootstrap interval of fewer seeds is too narrow
MOST_OTHERS = 10  # rows of other runs below a training


def comparison(
    env_id: str, runs_dir: Path | str = "runs", pretrained_dir: Path | str | None = None, run: Path | None = None
) -> Comparison:
    """Return the comparison of one environment (its full id), e.g. to print after training.

    With ``run``, the folder of one, the rows of other runs are only the best; a remark says how many are left out.
    Warnings about files that could not be read are among the remarks.
    """
    (found,), warnings = comparisons(Path(runs_dir), Path(pretrained_dir) if pretrained_dir else None, env_id)
    if run is not None:
        found = _around(found, run)
    return dataclasses.replace(found, remarks=[*found.remarks, *warnings])


def _around(found: Comparison, run: Path) -> Comparison:
    others = [row for row in found.rows if row.kind == "run" and run not in row.folders]
    left_out = {id(row) for row in others[MOST_OTHERS:]}
    if not left_out:
        return found
    remark = f"{number_of(len(left_out), 'more row')} of other runs: compare.py shows all, runs.py lists them."
    kept = [row for row in found.rows if id(row) not in left_out]
    return dataclasses.replace(found, rows=kept, remarks=[*found.remarks, remark])


def comparisons(
    runs_dir: Path,
    pretrained_dir: Path | None = None,
    env_id: str | None = None,
    folders: Sequence[Path] = (),
) -> tuple[list[Comparison], list[str]]:
    """Return one comparison per environment, and one warning for everything that could not be read.

    Args:
        runs_dir: holds the run folders and ``humans.csv``; need not exist.
        pretrained_dir: holds the pretrained agents.
        env_id: only this environment (its full id); None: all that have a score.
        folders: these runs instead of all under ``runs_dir``, and only their environments.
    """
    data = read(runs_dir, pretrained_dir, folders)
    return environment_comparisons(data, env_id, bool(folders)), data.warnings


@dataclasses.dataclass(frozen=True)
class ScoreData:
    """All scores on this machine."""

    runs: list[Run]
    pretrained: list[Run]
    humans: list[Episode]  # played by humans
    warnings: list[str]  # one line for everything that could not be read


def read(runs_dir: Path, pretrained_dir: Path | None = None, folders: Sequence[Path] = ()) -> ScoreData:
    """Read the runs, the pretrained agents and the human scores; the arguments are those of `comparisons`."""
    warnings: list[str] = []
    runs: list[Run] = []
    if folders:
        for folder in dict.fromkeys(folders):
            run, of_run = read_run(folder)
            runs += [run] if run else []
            warnings += of_run
    else:
        runs, warnings = read_runs(runs_dir)
    pretrained, of_pretrained = read_runs(pretrained_dir, pretrained=True) if pretrained_dir else ([], [])
    humans, of_humans = read_humans(runs_dir)
    return ScoreData(runs, pretrained, humans, [*warnings, *of_pretrained, *of_humans])


def environment_comparisons(data: ScoreData, env_id: str | None = None, named: bool = False) -> list[Comparison]:
    """Return one comparison per environment; Atari games, which have their own table, only if ``env_id`` is one.

    Args:
        data: all scores.
        env_id: only this environment; runs of others get a warning if they were ``named``.
        named: the runs were named by the user; only their environments are shown.
    """
    if env_id:
        selected = [env_id]
        if named:
            data.warnings.extend(
                f"{run.path}: a run of {run.env_id}, not shown" for run in data.runs if run.env_id != env_id
            )
    elif data.runs:
        played = set() if named else {episode.env_id for episode in data.humans}
        trained = {run.env_id for run in data.runs}
        selected = sorted(trained | {one for one in played if SAME_GAME.get(one) not in trained}, reverse=True)
    else:
        selected = _environments({run.env_id for run in data.runs + data.pretrained}, data.humans)
    shown = [one for one in selected if one == env_id or normalization.game_of(one) is None]
    return [_compare(one, data) for one in shown]


def _environments(trained: set[str], humans: list[Episode]) -> list[str]:
    """Return the environments to show: those of runs, and those whose other scores are not shown there."""
    shown = set(trained)
    others = {episode.env_id for episode in humans} | {reference.env_id for reference in references.load()}
    for other in sorted(others, reverse=True):  # the newer version first: it is trained by default
        if other not in shown and SAME_GAME.get(other) not in shown:
            shown.add(other)
    return sorted(shown, reverse=True)  # Waterworld comes first


def _compare(env_id: str, data: ScoreData) -> Comparison:
    metric = references.metric(env_id)
    own = [run for run in data.runs if run.env_id == env_id]
    groups = grouped(own)
    rows = [_run_row(run, metric, group, own) for group in groups for run in group.runs]
    rows += [_seeds_row(group, metric) for group in groups if len(group.runs) > 1]
    rows += _older(own, groups, metric)
    for run in data.pretrained:
        if run.env_id == env_id:
            rows.append(_run_row(run, metric, grouped([run])[0], [run]))
    versions = [env_id] + ([SAME_GAME[env_id]] if env_id in SAME_GAME else [])
    rows += _human_rows([episode for episode in data.humans if episode.env_id in versions], metric)
    # by agent: a reference of this version replaces that of the other
    cited = {one.agent: one for version in reversed(versions) for one in references.of_env(version)}
    rows += [_reference_row(reference) for reference in cited.values()]
    game = normalization.game_of(env_id)
    rows = atari_rows.complete(game, rows) if game else rows
    rows.sort(key=lambda row: (row.unfinished, -row.mean, row.name))
    of_game = atari_rows.remarks(game, rows) if game else []
    return Comparison(env_id, metric.name, rows, of_game + _remarks(env_id, own, groups, rows))


def mean_score(run: Run) -> float:
    """Return the mean over the episodes of a run's final evaluation, in its environment's metric."""
    return statistics.fmean(_values(run.episodes, references.metric(run.env_id)))


def _values(episodes: Iterable[Episode], metric: Metric) -> list[float]:
    """Return the metric of each episode."""
    return [one.episode_return / (one.episode_length if metric.per_step else 1) for one in episodes]


def _run_row(run: Run, metric: Metric, group: Group, siblings: list[Run]) -> Row:
    interval = student_interval(_values(run.episodes, metric))
    name = run.path.name if run.pretrained else f"{group.label} seed {run.seed}"
    like = [
        one
        for one in siblings
        if (one.title, one.seed, one.config, one.finished) == (run.title, run.seed, run.config, run.finished)
    ]
    if len(like) > 1 and not run.pretrained:  # the same twice: add the time
        name = f"{name} {run.path.name.rsplit('__', 1)[-1]}"
    path = f"{_title(run)}, in {run.path}" if run.pretrained else str(run.path)
    notes = [*([] if group.finished else [group.progress]), path]
    if len(group.differs) > MOST_NAMED:
        notes.append(", ".join(group.differs[MOST_NAMED:]))
    notes += [*run.notes, *_unusual_lengths(run.episodes, metric)]
    return Row(
        name=name if group.finished else f"{name}, unfinished",
        kind="pretrained" if run.pretrained else "run",
        env_id=run.env_id,
        mean=interval.mean,
        ci95=interval.ci95,
        episodes=interval.size,
        agent_steps=run.agent_steps,
        epsilon=run.episodes[0].epsilon,
        protocol=run.episodes[0].protocol,
        note="; ".join(notes),
        frames=run.frames,
        unfinished=not group.finished,
        folders=(run.path,),
    )


def _older(runs: list[Run], groups: Sequence[Group], metric: Metric) -> list[Row]:
    """Return the rows of runs of which there is a newer one with the same settings and seed."""
    rows = []
    for group in groups:
        rows += [_run_row(run, metric, group, runs) for run in group.older]
    return rows


def _seeds_row(group: Group, metric: Metric) -> Row:
    """Return the mean over a group's seeds, which differ in nothing else."""
    runs = group.runs
    interval = bootstrap_interval([student_interval(_values(run.episodes, metric)).mean for run in runs])
    note = f"seeds {', '.join(str(run.seed) for run in runs)}; {interval.method}"
    same = interval.ci95 is not None and interval.ci95[0] == interval.ci95[1]
    if same:
        note += "; no interval: all seeds score the same"
    return Row(
        name=f"{group.label}, mean of {len(runs)} seeds",
        kind="run",
        env_id=runs[0].env_id,
        mean=interval.mean,
        ci95=None if same else interval.ci95,
        episodes=sum(len(run.episodes) for run in runs),
        agent_steps=runs[0].agent_steps,
        epsilon=runs[0].episodes[0].epsilon,
        protocol=runs[0].episodes[0].protocol,
        note=note,
        frames=runs[0].frames,
        folders=tuple(run.path for run in runs),
    )


def _human_rows(episodes: list[Episode], metric: Metric) -> list[Row]:
    players: dict[tuple[str, str, str], list[Episode]] = defaultdict(list)
    for episode in episodes:
        players[episode.player, episode.env_id, episode.protocol].append(episode)
    rows = []
    for (name, env_id, protocol), played in players.items():
        interval = student_interval(_values(played, metric))
        note = "; ".join(["human player", *_unusual_lengths(played, metric)])
        rows.append(Row(name, "human", env_id, interval.mean, interval.ci95, interval.size, None, None, protocol, note))
    return rows


def _reference_row(reference: Reference) -> Row:
    return Row(
        name=reference.agent,
        kind="reference",
        env_id=reference.env_id,
        mean=reference.mean,
        ci95=reference.ci95,
        episodes=reference.episodes,
        agent_steps=reference.agent_steps,
        epsilon=reference.epsilon,
        protocol=reference.protocol,
        note=reference.note,
    )


def _unusual_lengths(episodes: list[Episode], metric: Metric) -> list[str]:
    """Return a note if episodes were cut by the evaluation, or do not have the length that the metric requires."""
    cut = [one.episode_length for one in episodes if one.cut]
    notes = [f"{len(cut)} of {len(episodes)} episodes were cut at {max(cut):,} steps"] if cut else []
    unusual = sum(one.episode_length != metric.episode_length for one in episodes) if metric.episode_length else 0
    if unusual:
        notes.append(f"{unusual} of {len(episodes)} episodes are not {metric.episode_length} steps long")
    return notes


def _title(run: Run) -> str:
    return f"{run.title} seed {run.seed}"


def _remarks(env_id: str, runs: list[Run], groups: Sequence[Group], rows: list[Row]) -> list[str]:
    """Return the remarks: what the numbers don't show, and where they come from."""
    remarks = []
    others = sorted({row.env_id for row in rows} - {env_id})
    if others:
        remarks.append(
            f"Rows of {', '.join(others)} are the same game with the same rewards; only the observations differ, so the"
            " scores are comparable."
        )
    if not any(row.kind == "reference" for row in rows):
        remarks.append(f"There are no reference scores for {env_id}.")
    protocols = {row.protocol for row in rows if row.protocol}
    if len(protocols) > 1 and not normalization.game_of(env_id):  # for Atari there are remarks on how they differ
        remarks.append(f"Protocols differ ({', '.join(sorted(protocols))}): compare their scores with care.")
    if any(row.ci95 for row in rows):
        remarks.append(
            "95 % intervals: Student's t over the episodes of one player; for several seeds, a bootstrap over the runs'"
            " means."
        )
    if not runs:
        remarks.append(f"No runs of {env_id} yet; train one: python train.py {env_id}")
        return remarks
    if len(groups) == 1 and len(runs) == 1:
        remarks.append("One run: its interval is for this one network, not for the algorithm that trained it.")
    finished = [group for group in groups if group.finished]
    if len(finished) < len(groups):
        remarks.append("Unfinished runs stand last, and in no mean; python train.py --resume RUN goes on with one.")
    if len({group.runs[0].title for group in groups}) < len({group.label for group in groups}):
        remarks.append("Runs with other settings or agent steps are averaged apart; a label names what differs.")
    single = sorted({group.label for group in finished if len(group.runs) == 1})
    few = sorted({group.label for group in finished if 1 < len(group.runs) < FEW_SEEDS})
    if single:
        remarks.append(
            f"One seed of {listed(single)}: another seed may score very differently, so this does not show that one"
            " agent or setting is better than another. Train with --seed 2, 3, ... too."
        )
    if few:
        remarks.append(f"Fewer than {FEW_SEEDS} seeds of {listed(few)}: the true interval is wider than the one shown.")
    return remarks
