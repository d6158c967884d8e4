"""Which runs may be averaged, being alike in settings and agent steps; and what tells the others apart."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scores.runs import Run

NOT_SETTINGS = {"seed", "runs_dir", "device", "threads"}  # may differ between runs that are averaged
MOST_NAMED = 3  # settings in a label


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, or one that is not finished."""

    label: str
    """The agent, and the settings in which it differs from other groups with the same title."""
    runs: tuple[Run, ...]
    """One a seed, the newest; by seed."""
    finished: bool
    differs: tuple[str, ...] = ()
    """All that tells it from the others, in words."""
    older: tuple[Run, ...] = ()
    """Runs of which there is a newer one with the same seed, which count nowhere."""

    @property
    def progress(self) -> str:
        """How far an unfinished run is, in words."""
        run = self.runs[0]
        return f"unfinished: {run.agent_steps:,} of {run.planned_steps or 0:,} agent steps"


def grouped(runs: Iterable[Run], protocols: bool = True) -> list[Group]:
    """Return the groups of runs; those that are not finished are one each, and come last.

    ``protocols``: runs that were evaluated under different rules are apart too.
    """
    by_title: dict[tuple[str, bool], list[Run]] = defaultdict(list)
    for run in runs:
        by_title[run.title, run.pretrained].append(run)
    found = [group for members in by_title.values() for group in _of_title(members, protocols)]
    return sorted(found, key=lambda group: not group.finished)


def _of_title(runs: Sequence[Run], protocols: bool) -> list[Group]:
    settings = _settings(runs)
    of_run = {id(run): own for run, own in zip(runs, settings, strict=True)}
    members: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run, own in zip(runs, settings, strict=True):
        text, first = json.dumps(own, sort_keys=True, default=str), run.episodes[0]
        if run.finished:
            rules = (first.protocol, first.epsilon) if protocols else ()
            members[run.agent, run.preset, rules, text, run.agent_steps].append(run)
        else:
            members[run.path, text].append(run)
    groups = [(one, of_run[id(one[0])]) for one in members.values()]
    varying = _varying([own for _, own in groups])
    found = []
    for every, own in groups:
        one = _newest(every)
        differs = [_words(name, own[name]) for name in varying if name in own]
        label = ", ".join([one[0].title, *differs[:MOST_NAMED]])
        if len(differs) > MOST_NAMED:
            label += f" and {len(differs) - MOST_NAMED} more"
        older = tuple(run for run in every if not any(run is kept for kept in one))
        found.append(Group(label, one, one[0].finished, tuple(differs), older))
    return found


def _settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return what each run was trained with; a setting that an older version did not know has its usual value."""
    usual: dict[str, Counter[str]] = defaultdict(Counter)
    values: dict[str, Any] = {}
    for run in runs:
        for name, value in run.config.items():
            if name not in NOT_SETTINGS:
                text = json.dumps(value, sort_keys=True, default=str)
                usual[name][text] += 1
                values[text] = value
    common = {name: values[counts.most_common(1)[0][0]] for name, counts in usual.items()}
    # by random play, anew with each seed, they are no choice that anybody made
    return [
        {name: run.config.get(name, value) for name, value in common.items() if name not in run.measured}
        for run in runs
    ]


def _newest(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return one run a seed and environment, the last of those that were trained; they come sorted by name and time."""
    by_seed = {(run.env_id, run.seed): run for run in runs}
    return tuple(by_seed[key] for key in sorted(by_seed))


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the settings that are not the same in all."""
    names = dict.fromkeys(name for own in settings for name in own)

    def values(name: str) -> set[str]:
        return {json.dumps(own[name], sort_keys=True, default=str) for own in settings if name in own}

    return [name for name in names if len(values(name)) > 1]


def _words(name: str, value: Any) -> str:
    """Return a setting as it is labelled: ``gamma 0.9``, ``no double``."""
    spelt = name.replace("_", "-")
    if isinstance(value, bool):
        return spelt if value else f"no {spelt}"
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return f"{spelt} {value:,}" if isinstance(value, int) and abs(value) >= 10_000 else f"{spelt} {value}"
