"""Remarks on scores with different protocols: one sentence for each kind of difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from common.text import listed
from scores.atari import normalization
from scores.atari.published import Agent


@dataclasses.dataclass(frozen=True)
class EvaluationConditions:
    """The parts of a player's protocol that decide with whom it can be compared."""

    name: str
    protocol: str
    baseline: str  # atari57 or mnih2015
    sticky: bool | None  # None: not stated
    training_returns: bool = False
    frames: tuple[int, int] | None = None  # of training, minimum and maximum; None: not stated, or a human
    known: bool = True  # whether the protocol is one of ours
    published: bool = False  # not ours

    @property
    def mixed(self) -> bool:
        """Return whether one column has runs with several protocols."""
        return len(self.protocols) > 1

    @property
    def protocols(self) -> list[str]:
        """Return the names of its protocols."""
        return self.protocol.split(" + ")


def of_protocol(name: str, protocol_names: Iterable[str], frames: Iterable[int]) -> EvaluationConditions:
    """Return the conditions of a player of ours; runs with more than one protocol are mixed."""
    names = sorted(set(protocol_names))
    found = [normalization.protocol(one) for one in names]
    sticky = {one.sticky for one in found}
    trained = sorted(frames)
    return EvaluationConditions(
        name=name,
        protocol=" + ".join(names),
        baseline=found[0].baseline,
        sticky=sticky.pop() if len(sticky) == 1 else None,
        frames=(trained[0], trained[-1]) if trained else None,
        known=all(one.known for one in found),
    )


def of_agent(agent: Agent, frames: int | None = None) -> EvaluationConditions:
    """Return the conditions of a published agent, after ``frames`` of its learning curve or (None) at its end."""
    trained = frames or agent.frames
    return EvaluationConditions(
        name=agent.name,
        protocol=agent.protocol,
        baseline=agent.baseline,
        sticky=agent.sticky,
        training_returns=agent.training_returns,
        frames=(trained, trained) if trained else None,
        published=True,
    )


def remarks(players: Sequence[EvaluationConditions]) -> list[str]:
    """Return the remarks; ``players`` are all in the table except the references."""
    unmixed = [one for one in players if not one.mixed]
    return [
        *_mixed(players),
        *_baselines(unmixed),
        *_sticky(unmixed),
        *_returns(players),
        *_frames(players),
        *_unknown(players),
    ]


def summary(conditions: EvaluationConditions) -> str:
    """Return a published agent's conditions in a few words."""
    sticky = {True: "sticky actions", False: "no sticky actions", None: "sticky actions not stated"}[conditions.sticky]
    base = normalization.BASELINES[conditions.baseline]
    returns = "training returns" if conditions.training_returns else "evaluation"
    frames = f", {millions(conditions.frames[1])} frames" if conditions.frames else ""
    return f"{sticky}, {returns}{frames}; 100 % is {base.human}"


def millions(frames: int) -> str:
    """Return a number of frames as text: ``200 million``, ``37,500 million``, ``800,000``."""
    whole = frames >= 1_000_000 and frames % 10_000 == 0
    return f"{frames / 1_000_000:,g} million" if whole else f"{frames:,}"


def _names(players: Iterable[EvaluationConditions]) -> str:
    return listed([one.name for one in players])


def _mixed(players: Sequence[EvaluationConditions]) -> list[str]:
    return [
        f"{one.name} MIXES protocols ({one.protocol}): each run is normalised by the human baseline of its own"
        " protocol, and the aggregates belong to neither."
        for one in players
        if one.mixed
    ]


def _baselines(players: Sequence[EvaluationConditions]) -> list[str]:
    groups = {name: [one for one in players if one.baseline == name] for name in normalization.BASELINES}
    used = {name: group for name, group in groups.items() if group}
    if not used:
        return []
    if len(used) == 1:
        base = normalization.BASELINES[next(iter(used))]
        return [f"100 % is {base.human}: {base.description}; 0 % is {base.random}."]
    parts = [
        f"{normalization.BASELINES[name].human} ({normalization.BASELINES[name].description}) for {_names(group)}"
        for name, group in used.items()
    ]
    return [
        f"Two human baselines: {'; '.join(parts)}. Most human scores differ between the two, so their"
        " percentages are not comparable."
    ]


def _sticky(players: Sequence[EvaluationConditions]) -> list[str]:
    with_, without = [one for one in players if one.sticky], [one for one in players if one.sticky is False]
    unknown = [one for one in players if one.sticky is None]
    if not with_ and not unknown:
        return []
    parts = [f"with {_names(with_)}"] if with_ else []
    parts.append(f"without {', '.join(filter(None, [_names(without), 'humans and random play']))}")
    parts += [f"unknown for {_names(unknown)}"] if unknown else []
    return [
        f"Sticky actions (the previous action repeats with probability 0.25) differ: {'; '.join(parts)}."
        " Most games are harder with them."
    ]


def _returns(players: Sequence[EvaluationConditions]) -> list[str]:
    training = [one for one in players if one.training_returns]
    if not training:
        return []
    return [f"Training returns, with exploration, not a separate evaluation: {_names(training)}."]


def _frames(players: Sequence[EvaluationConditions]) -> list[str]:
    trained = [one for one in players if one.frames]
    if len({frames for one in trained for frames in one.frames or ()}) < 2:
        return []
    groups: dict[str, list[EvaluationConditions]] = {}
    for one in trained:
        low, high = one.frames or (0, 0)
        text = millions(high) if low == high else f"{millions(low)} to {millions(high)}"
        groups.setdefault(text, []).append(one)
    parts = [f"{text} ({_names(group)})" for text, group in groups.items()]
    not_stated = [one for one in players if one.published and not one.frames]
    parts += [f"not stated ({_names(not_stated)})"] if not_stated else []
    return [f"Emulator frames of training differ (4 frames per agent step): {'; '.join(parts)}."]


def _unknown(players: Sequence[EvaluationConditions]) -> list[str]:
    return [
        f"The protocol '{one.protocol}' of {one.name} is unknown; it is compared with"
        f" {normalization.BASELINES[one.baseline].human} ({normalization.BASELINES[one.baseline].description}),"
        " which may have been measured differently."
        for one in players
        if not one.known
    ]
