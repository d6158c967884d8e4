"""The comparison of one environment: every run, human and reference as a row, and what must be said with it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from scores import references
from scores.atari import normalization
from scores.atari import rows as atari_rows
from scores.references import SAME_GAME, Metric, Reference
from scores.rows import Comparison, Row
from scores.runs import Episode, Run, read_humans, read_run, read_runs
from scores.stats import bootstrap_interval, student_interval

FEW_SEEDS = 5  # a bootstrap over fewer is too narrow to lean on
NOT_SETTINGS = {"seed", "runs_dir", "device", "threads"}  # what may differ between the seeds of one setting


def comparison(env_id: str, runs_dir: Path | str = "runs", pretrained_dir: Path | str | None = None) -> Comparison:
    """Return the comparison of one environment (its full id), e.g. to print after training.

    Whatever could not be read stands among the remarks.
    """
    (found,), warnings = comparisons(Path(runs_dir), Path(pretrained_dir) if pretrained_dir else None, env_id)
    return dataclasses.replace(found, remarks=[*found.remarks, *warnings])


def comparisons(
    runs_dir: Path,
    pretrained_dir: Path | None = None,
    env_id: str | None = None,
    folders: Sequence[Path] = (),
) -> tuple[list[Comparison], list[str]]:
    """Return one comparison an environment, and one line for everything that could not be read.

    Args:
        runs_dir: holds the run folders and ``humans.csv``; need not exist.
        pretrained_dir: holds the agents that ship.
        env_id: only this environment (its full id); None: all that have a score.
        folders: these runs instead of all under ``runs_dir``, and only their environments.
    """
    found = read(runs_dir, pretrained_dir, folders)
    return worlds(found, env_id, bool(folders)), found.warnings


@dataclasses.dataclass(frozen=True)
class Found:
    """All scores on this machine."""

    runs: list[Run]
    shipped: list[Run]
    humans: list[Episode]
    warnings: list[str]  # one line for everything that could not be read


def read(runs_dir: Path, pretrained_dir: Path | None = None, folders: Sequence[Path] = ()) -> Found:
    """Read runs, the agents that ship and the human ledger; arguments as those of `comparisons`."""
    warnings: list[str] = []
    runs: list[Run] = []
    if folders:
        for folder in dict.fromkeys(folders):
            run, complaints = read_run(folder)
            runs += [run] if run else []
            warnings += complaints
    else:
        runs, complaints = read_runs(runs_dir)
        warnings += complaints
    shipped, complaints = read_runs(pretrained_dir, pretrained=True) if pretrained_dir else ([], [])
    humans, more = read_humans(runs_dir)
    return Found(runs, shipped, humans, warnings + complaints + more)


def worlds(found: Found, env_id: str | None = None, named: bool = False) -> list[Comparison]:
    """Return one comparison an environment; Atari games, which have a table of their own, only by ``env_id``.

    Args:
        found: what there is.
        env_id: only this environment; runs of others are said to be left out where they were ``named``.
        named: a person named the runs; only their environments are wanted.
    """
    if env_id:
        wanted = [env_id]
        if named:
            found.warnings.extend(
                f"{run.path}: is of {run.env_id}, not shown" for run in found.runs if run.env_id != env_id
            )
    elif named and found.runs:
        wanted = sorted({run.env_id for run in found.runs}, reverse=True)
    else:
        wanted = _environments({run.env_id for run in found.runs + found.shipped}, found.humans)
    shown = [one for one in wanted if one == env_id or normalization.game_of(one) is None]
    return [_compare(one, found.runs, found.shipped, found.humans) for one in shown]


def _environments(trained: set[str], humans: list[Episode]) -> list[str]:
    """Return the environments to show: those of runs, and those with other scores not shown beside them."""
    shown = set(trained)
    others = {episode.env_id for episode in humans} | {reference.env_id for reference in references.load()}
    for other in sorted(others, reverse=True):  # of two versions the newer, which is trained by default
        if other not in shown and SAME_GAME.get(other) not in shown:
            shown.add(other)
    return sorted(shown, reverse=True)  # Waterworld, the heart, comes first


def _compare(env_id: str, runs: list[Run], shipped: list[Run], humans: list[Episode]) -> Comparison:
    metric = references.metric(env_id)
    own = [run for run in runs if run.env_id == env_id]
    rows = [_run_row(run, metric, own) for run in own] + _seed_rows(own, metric)
    rows += [_run_row(run, metric, [run]) for run in shipped if run.env_id == env_id]
    family = [env_id] + ([SAME_GAME[env_id]] if env_id in SAME_GAME else [])
    rows += _human_rows([episode for episode in humans if episode.env_id in family], metric)
    cited = {one.agent: one for member in reversed(family) for one in references.of_env(member)}  # its own win
    rows += [_reference_row(reference) for reference in cited.values()]
    game = normalization.game_of(env_id)
    rows = atari_rows.complete(game, rows) if game else rows
    rows.sort(key=lambda row: (-row.mean, row.name))
    beside = atari_rows.remarks(game, rows) if game else []
    return Comparison(env_id, metric.name, rows, beside + _remarks(env_id, own, rows))


def _values(episodes: Iterable[Episode], metric: Metric) -> list[float]:
    """Return what the metric says of each episode."""
    return [one.episode_return / (one.episode_length if metric.per_step else 1) for one in episodes]


def _run_row(run: Run, metric: Metric, siblings: list[Run]) -> Row:
    interval = student_interval(_values(run.episodes, metric))
    name = run.path.name + " (ships)" if run.pretrained else _title(run)
    if sum(_title(sibling) == name for sibling in siblings) > 1:  # the same seed twice: tell by the time
        name = f"{name} {run.path.name.rsplit('__', 1)[-1]}"
    notes = [f"{_title(run)}, in {run.path}" if run.pretrained else str(run.path), *_odd_episodes(run.episodes, metric)]
    return Row(
        name=name,
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
    )


def _seed_rows(runs: list[Run], metric: Metric) -> list[Row]:
    """Return one row for each agent that was trained with several seeds: the mean over its runs."""
    groups: dict[tuple[str, str, str, float | None], dict[int, Run]] = defaultdict(dict)
    for run in runs:
        key = run.agent, run.preset, run.episodes[0].protocol, run.episodes[0].epsilon
        groups[key][run.seed] = run  # a seed trained twice counts once, the newest: it is no new evidence
    rows = []
    for (_, _, protocol, epsilon), by_seed in groups.items():
        group = list(by_seed.values())
        if len(group) < 2:
            continue
        means = [student_interval(_values(run.episodes, metric)).mean for run in group]
        interval = bootstrap_interval(means)
        note = f"seeds {', '.join(str(seed) for seed in sorted(by_seed))}; {interval.method}"
        if differing := differing_settings(group):
            note += f"; NOT the same settings: {', '.join(differing)} differ"
        rows.append(
            Row(
                name=f"{group[0].title}, mean of {len(group)} seeds",
                kind="run",
                env_id=group[0].env_id,
                mean=interval.mean,
                ci95=interval.ci95,
                episodes=sum(len(run.episodes) for run in group),
                agent_steps=max(run.agent_steps for run in group),
                epsilon=epsilon,
                protocol=protocol,
                note=note,
                frames=max(run.frames for run in group),
            )
        )
    return rows


def differing_settings(group: list[Run]) -> list[str]:
    """Return the settings in which runs that are averaged differ."""
    keys = {key for run in group for key in run.config} - NOT_SETTINGS
    differing = sorted(key for key in keys if any(run.config.get(key) != group[0].config.get(key) for run in group))
    trained = len({run.agent_steps for run in group}) > 1
    return differing + (["agent steps trained"] if trained and "total_timesteps" not in differing else [])


def _human_rows(episodes: list[Episode], metric: Metric) -> list[Row]:
    people: dict[tuple[str, str, str], list[Episode]] = defaultdict(list)
    for episode in episodes:
        people[episode.player, episode.env_id, episode.protocol].append(episode)
    rows = []
    for (name, env_id, protocol), played in people.items():
        interval = student_interval(_values(played, metric))
        note = "; ".join(["recorded human", *_odd_episodes(played, metric)])
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


def _odd_episodes(episodes: list[Episode], metric: Metric) -> list[str]:
    """Say where episodes don't have the length that the metric is about."""
    odd = sum(one.episode_length != metric.episode_length for one in episodes) if metric.episode_length else 0
    return [f"{odd} of {len(episodes)} episodes are not {metric.episode_length} steps long"] if odd else []


def _title(run: Run) -> str:
    return f"{run.title} seed {run.seed}"


def _remarks(env_id: str, runs: list[Run], rows: list[Row]) -> list[str]:
    """Return the sentences that belong to the numbers: what they don't show, and where they come from."""
    remarks = []
    others = sorted({row.env_id for row in rows} - {env_id})
    if others:
        remarks.append(
            f"Rows of {', '.join(others)} are the same game with the same rewards; only the sensing differs, so their"
            " scores can stand beside these."
        )
    if not any(row.kind == "reference" for row in rows):
        remarks.append(f"There are no reference scores for {env_id}.")
    protocols = {row.protocol for row in rows if row.protocol}
    if len(protocols) > 1 and not normalization.game_of(env_id):  # of Atari it is said how they differ
        remarks.append(f"Protocols differ ({', '.join(sorted(protocols))}): compare across them with care.")
    if any(row.ci95 for row in rows):
        remarks.append(
            "95 % intervals: Student's t over one player's episodes; over seeds, a bootstrap of the runs' means."
        )
    if not runs:
        remarks.append(f"No runs of {env_id} yet; train one: python train.py {env_id}")
        return remarks
    seeds: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        seeds[run.title].add(run.seed)
    if len(seeds) == 1 and len(runs) == 1:
        remarks.append("One run: its interval tells how well this one network plays, not what its algorithm reaches.")
    alone = sorted(agent for agent, trained in seeds.items() if len(trained) == 1)
    few = sorted(agent for agent, trained in seeds.items() if 1 < len(trained) < FEW_SEEDS)
    if alone:
        remarks.append(
            f"One seed of {', '.join(alone)}: another seed may end elsewhere, so no agent or setting can be called"
            " better than another from this. Train with --seed 2, 3, ... too."
        )
    if few:
        remarks.append(
            f"Fewer than {FEW_SEEDS} seeds of {', '.join(few)}: the true interval is wider than the one shown."
        )
    return remarks
