"""The page of recorded episodes: pictures, expectations, what the network saw, the truth meter, each step explained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from common.errors import UserError
from common.text import number_of
from learning.insight import Distribution, Reader
from viewer.inspecting.explain import distribution_line, explain
from viewer.inspecting.inputs import inputs_of, strongest
from viewer.panels.world import TELEVISION
from viewer.playing.keys import words
from viewer.playing.players import Rules
from viewer.playing.session import Session
from viewer.playing.timeline import Moment, Timeline
from viewer.web import page
from viewer.web.live import foot
from viewer.web.pictures import Sheets, numbers

MOST_BYTES = 20_000_000
DEFAULT_STEPS = 3_000  # of all episodes together
WIDEST = 480  # pixels of the picture
BINS = 60  # of a distribution
TIMELINE_BYTES = 2_000_000_000
FEW_INPUTS = 6  # of a vector that are listed

Array = NDArray[np.float64]


def make(
    session: Session,
    rules: Rules,
    about: str,
    *,
    episodes: int = 1,
    steps: int = DEFAULT_STEPS,
    tell: Callable[[str], None] = lambda doing: None,
) -> str:
    """Play some episodes, or fewer steps, and return the page that shows them; ``tell`` hears what is being done.

    Raises:
        UserError: the environment can't draw itself, or the page would be too large.
    """
    if session.picture() is None:
        raise UserError(f"{rules.env_id} can't draw itself (no render_mode rgb_array), so a page has nothing to show")
    play(session, episodes, steps)
    tell("explaining each step")
    assert session.policy is not None
    title = f"{session.policy.name} in {rules.env_id.split('/')[-1]}"
    moments, expects_nothing = list(session.timeline), session.q_values() is None
    pictures, seen = pictures_of(session, moments)
    data: dict[str, Any] = {
        "title": title,
        "about": f"{about} · seed {session.seed}"
        + ("" if expects_nothing else f" · {session.epsilon:.0%} random actions"),
        "foot": foot(),
        "tick": session.tick_seconds,
        "actions": [words(name) for name in session.action_names],
        "count": len(moments),
        "cut": not session.finished,
        "shape": shape_of(rules, pictures),
        **steps_of(moments),
        **truth_of(session, moments),
        "explained": explanations(session, moments),
        "seen": seen.as_json(),
        **network_facts(session, moments),
    }
    for lossless in (True, False):
        packed = pictures.as_json(lossless, lambda done: tell(f"packing the pictures, {done:.0%}"))
        text = page.assemble("recorded", title, {**data, "picture": packed})
        if len(text.encode()) <= MOST_BYTES:
            return text
    mega = len(text.encode()) / 1e6
    raise UserError(
        f"{number_of(len(moments), 'step')} make a page of {mega:.2g} MB, {MOST_BYTES / 1e6:g} MB are allowed; --steps"
        f" {max(1, int(0.9 * len(moments) * MOST_BYTES / len(text.encode())))} would fit"
    )


def play(session: Session, episodes: int, steps: int) -> None:
    """Play, and keep every moment with its picture."""
    timeline: Timeline = session.timeline
    timeline.capacity, timeline.max_bytes = steps + episodes + 2, TIMELINE_BYTES
    while session.total_steps < steps and len(session.results) < episodes:
        session.picture()
        session.step()
    session.picture()
    if session.truth is not None and not session.finished:
        session.truth.end(session.q_values())


def pictures_of(session: Session, moments: list[Moment]) -> tuple[Sheets, Sheets]:
    """Return the pictures, and the frames that the network saw; of worlds the pictures are drawn from their states."""
    pictures, seen = Sheets(WIDEST), Sheets()
    frames = session.stack() is not None
    for moment in moments:
        picture = _drawn(session, moment)
        if picture is None:
            pictures.repeat()
        else:
            pictures.add(picture)
        if frames:
            seen.add(*session.frames_of(moment.obs)[-4:])
    return pictures, seen


def shape_of(rules: Rules, pictures: Sheets) -> float:
    """Return width by height of what is shown: of Atari's pictures that of a television, as in the window."""
    width, height = TELEVISION if envs.is_atari(rules.env_id) else pictures.size
    return round(width / height, 4)


def _drawn(session: Session, moment: Moment) -> NDArray[np.uint8] | None:
    if moment.picture is not None:
        return moment.picture.unpack()
    if moment.state is None:
        return None
    import pygame  # only worlds are drawn here

    from envs import drawing

    world: Any = session.env.unwrapped
    surface = pygame.Surface(world.size, depth=24)
    drawing.draw_state(surface, world, moment.state)
    return drawing.picture(surface)


def steps_of(moments: list[Moment]) -> dict[str, Any]:
    """Return what happened, step by step; an action of -1 is none: the last moment of an episode."""
    score, scores = 0.0, []
    for before, moment in itertools.pairwise([None, *moments]):
        assert moment is not None
        score = 0.0 if before is None or before.round != moment.round else score + before.reward
        scores.append(score)
    return {
        "action": numbers([-1 if one.action is None else one.action for one in moments], "i2"),
        "reward": numbers([one.reward for one in moments], "f4"),
        "score": numbers(scores, "f4"),
        "episode": numbers([one.episode for one in moments], "u4"),
        "step": numbers([one.step for one in moments], "u4"),
        "greedy": numbers([one.greedy for one in moments], "u1"),
        "lives": None if moments[0].lives is None else numbers([one.lives or 0 for one in moments], "u1"),
    }


def truth_of(session: Session, moments: list[Moment]) -> dict[str, Any]:
    """Return the truth meter: what was expected of each action, and the discounted return that followed."""
    truth = session.truth
    if truth is None or session.q_values() is None:
        return {"truth": None}
    pairs = [truth.pair(one.number) for one in moments]
    found = truth.calibration()
    summary = {"bias": found.bias, "error": found.error, "pairs": found.pairs} if found.pairs else None
    if summary is not None and not math.isfinite(found.bias):
        summary = None
    expected = [math.nan if one.expectation is None else one.expectation for one in moments]
    realised = [math.nan if pair is None else pair.realised for pair in pairs]
    series = {"expected": numbers(expected, "f4"), "realised": numbers(realised, "f4")}
    return {"truth": {**series, "summary": summary, "gamma": truth.gamma}}


def explanations(session: Session, moments: list[Moment]) -> list[list[str]] | None:
    """Return each step's explanation in lines; empty where there is none. None without Q values."""
    if session.training is None or session.policy is None or session.q_values() is None:
        return None
    known = {_key(one.obs): one.q_values for one in moments if one.q_values is not None}
    policy: Any = session.policy

    def q_values(obs: NDArray[Any]) -> Array:
        found = known.get(_key(obs[0]))  # a network is slow, and most observations are those of moments
        return np.asarray(policy.q_values(obs) if found is None else found[None], np.float64)

    names = [words(name) for name in session.action_names]
    lines: list[list[str]] = []
    for moment in moments:
        found = explain(session.timeline, moment.number, session.training, q_values)
        lines.append([] if found is None else found.lines(names))
    return lines


def _key(obs: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(obs).tobytes()


def network_facts(session: Session, moments: list[Moment]) -> dict[str, Any]:
    """Return expectations, distributions, and of vectors the inputs that mattered most."""
    facts: dict[str, Any] = {"q": None, "distribution": None, "inputs": None}
    q_values = [one.q_values for one in moments]
    if session.q_values() is None:
        return facts
    last = session.q_values()
    q_values = [last if q is None and k == len(moments) - 1 else q for k, q in enumerate(q_values)]
    empty = np.full(session.num_actions, np.nan)
    facts["q"] = numbers([empty if q is None else np.where(np.isfinite(q), q, np.nan) for q in q_values], "f4")
    reader = session.reader
    if reader is None:
        return facts
    head = getattr(session.training, "head", "expected")
    if distribution_line(head):
        facts["distribution"] = {**_distributions(reader, moments), "about": _sentence(distribution_line(head))}
    inputs = inputs_of(session.env)
    if inputs is not None:
        facts["inputs"] = _inputs(reader, moments, inputs.names)
    return facts


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _distributions(reader: Reader, moments: list[Moment]) -> dict[str, Any]:
    """Return each action's distribution as heights over one axis, bytes (T, A, BINS)."""
    found = [reader.insight(one.obs).distribution for one in moments]
    kept = [one for one in found if one is not None]
    low = min(0.0, *(_quantile(one, 0.005).min() for one in kept))
    high = max(0.0, *(_quantile(one, 0.995).max() for one in kept))
    heights = np.stack([_heights(one, low, high) for one in kept])
    return {"low": low, "high": high, "bins": BINS, "heights": numbers(heights, "u1")}


def _quantile(one: Distribution, share: float) -> Array:
    """Return the return below which a share of each action's distribution lies, (A,)."""
    order = np.argsort(one.returns, axis=1)
    returns, shares = (np.take_along_axis(part, order, 1) for part in one)
    place = (shares.cumsum(1) >= share).argmax(1)
    return np.asarray(np.take_along_axis(returns, place[:, None], 1)[:, 0])


def _heights(one: Distribution, low: float, high: float) -> NDArray[np.uint8]:
    """Return a smooth histogram of each action, (A, BINS), the highest bin of each 255."""
    place = np.clip((one.returns - low) / max(high - low, 1e-12) * BINS - 0.5, 0, BINS - 1)
    below = np.minimum(place.astype(int), BINS - 2)
    heights = np.zeros((len(place), BINS))
    rows = np.arange(len(place))[:, None]
    np.add.at(heights, (rows, below), one.probabilities * (1 - (place - below)))
    np.add.at(heights, (rows, below + 1), one.probabilities * (place - below))
    padded = np.pad(heights, ((0, 0), (1, 1)), "edge")
    smooth = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    share = np.nan_to_num(smooth / np.maximum(smooth.max(1, keepdims=True), 1e-12))  # NaN: of a damaged network
    return np.asarray(np.rint(255 * share), np.uint8)


def _inputs(reader: Reader, moments: list[Moment], names: tuple[str, ...]) -> dict[str, Any]:
    """Return of each moment the inputs that mattered most for the best action: number, value and share in percent."""
    place = {name: k for k, name in enumerate(names)}

    def rows() -> Iterator[list[list[float]]]:
        for one in moments:
            q = reader.insight(one.obs).q_values
            best = int(np.nanargmax(q)) if np.isfinite(q).any() else 0
            most = strongest(reader.saliency(one.obs, best), names, FEW_INPUTS)
            found = [(place[name], float(one.obs[place[name]]), round(100 * share)) for name, share in most]
            yield [[where, round(value, 4), share] for where, value, share in found if math.isfinite(value)]

    return {"names": list(names), "rows": list(rows())}
