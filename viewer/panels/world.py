"""The world, now or at the moment looked at: drawn from its state if it has one, else its rendered picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

import envs
from envs.drawing import draw_state, draw_world
from viewer.drawing import water
from viewer.drawing.canvas import Area, Canvas
from viewer.drawing.pixels import enlarge, fit, to_surface
from viewer.drawing.theme import Theme
from viewer.panels.explained import eye_saliency
from viewer.panels.score import number_text
from viewer.playing.session import HUMAN, Session
from viewer.view import View

FRAME, GAP = 3.0, 12.0
NAME_HEIGHT = 36.0  # of the player's name above each of two worlds
TELEVISION, WORLD = (4.0, 3.0), (7.0, 5.0)
NARROWEST, BROADEST = 0.8, 2.0  # of a picture's width by its height; beyond, there are margins


def draw(canvas: Canvas, area: Area, view: View) -> None:
    """Draw the world in a frame that shows who plays; ``view.agent_view`` hides what the agent does not see."""
    if view.versus is None:
        draw_session(canvas, area, view, view.session)
        return
    for session, place in zip(view.versus.both, halves(area), strict=True):
        draw_session(canvas, place, view, session)
        _draw_name(canvas, place, session)


def halves(area: Area) -> tuple[Area, Area]:
    """Return the places of two worlds side by side: the agent's, the human's."""
    wide = (area.w - GAP) / 2
    return Area(area.x, area.y, wide, area.h), Area(area.right - wide, area.y, wide, area.h)


def _draw_name(canvas: Canvas, area: Area, session: Session) -> None:
    """Write the player's name and return above its world, where they don't cover the game's own score."""
    human = session.policy is None
    chip = Area(area.x - FRAME, area.y - NAME_HEIGHT - FRAME, area.w + 2 * FRAME, NAME_HEIGHT - 2)
    canvas.rounded(chip, Theme.human if human else Theme.agent, 8)
    number = number_text(session.score.episode_return)
    used = canvas.text(chip.right - 12, chip.y + 17, number, 15, Theme.on_color, bold=True, align=1)
    name = canvas.choose(["you"] if human else ["the agent", "agent", "AI"], chip.w - 32 - used, bold=True)
    canvas.text(chip.x + 12, chip.y + 17, name, 13, Theme.on_color, bold=True)
    if session.finished:
        canvas.text(area.x + area.w / 2, area.y + area.h / 2, "episode over", 18, Theme.soft, align=0.5)


def draw_session(canvas: Canvas, area: Area, view: View, session: Session) -> None:
    """Draw one world; its frame shows who plays in it."""
    canvas.rect(area.inset(-FRAME), Theme.human if session.control == HUMAN else Theme.border)
    surface = canvas.window(area)
    if is_world(session):
        _draw_from_state(surface, view, session)
        return
    surface.fill(Theme.card)
    if draw_picture(surface, view, session):
        return
    live = session.timeline.live
    text = "this environment can't be rendered" if live else "no picture of this moment was stored"
    canvas.text(area.x + area.w / 2, area.y + area.h / 2, text, 14, Theme.soft, align=0.5, width=area.w - 20)


def _draw_from_state(surface: pygame.Surface, view: View, session: Session) -> None:
    world: Any = session.env.unwrapped
    agent_view, mattered = view.agent_view, eye_saliency(view) if session is view.session else None
    timeline = session.timeline
    state = None if timeline.live else timeline.current.state
    if is_water(view):
        shown = world.get_state() if state is None else state
        eyes = world.eyes() if state is None else world.eyes_of(state)
        water.draw(surface, water.Scene(world, shown, eyes, agent_view, mattered, pops_of(session)))
    elif state is None:
        draw_world(surface, world, agent_view=agent_view, mattered=mattered)
    else:
        draw_state(surface, world, state, agent_view=agent_view, mattered=mattered)


def is_water(view: View) -> bool:
    """Return whether the world is drawn as water: Waterworld's version 1; version 0 stays as the original draws it."""
    return view.env_id.endswith("Waterworld-v1") and is_world(view.session)


def pops_of(session: Session) -> list[water.Pop]:
    """Return what was eaten just now: where, how many steps ago, and whether it was an apple."""
    timeline, found = session.timeline, []
    for number in range(max(timeline.first, timeline.cursor - water.POP_STEPS), timeline.cursor):
        moment, after = timeline[number], timeline[number + 1]
        eaten = moment.action is not None and abs(moment.reward) > 0.5 and moment.round == after.round
        if eaten and after.state is not None:
            x, y = (float(value) for value in after.state["pos"])
            found.append(water.Pop(x, y, timeline.cursor - number - 1, moment.reward > 0))
    return found


def is_world(session: Session) -> bool:
    """Return whether the environment is one of Tidepool's own, which are drawn from their state."""
    world: Any = session.env.unwrapped
    return all(hasattr(world, name) for name in ("get_state", "eyes", "walls"))


def aspect(view: View) -> float:
    """Return width by height of the world's picture; of two, side by side, that of both."""
    one = view.cached("aspect", view.env_id, lambda: _aspect(view))
    return one if view.versus is None else 2 * one


def _aspect(view: View) -> float:
    if is_world(view.session):
        size: tuple[float, float] = view.session.env.unwrapped.size  # type: ignore[attr-defined]
    else:
        picture = view.session.picture()
        size = WORLD if picture is None else shape(picture, view.env_id)
    return min(max(size[0] / size[1], NARROWEST), BROADEST)


def shape(picture: NDArray[np.uint8], env_id: str) -> tuple[float, float]:
    """Return the aspect ratio of a picture as width and height, in any unit.

    A television shows an Atari's 160 x 210 (in a few games 160 x 250) pixels as 4:3.
    """
    height, width = picture.shape[:2]
    return TELEVISION if envs.is_atari(env_id) else (width, height)


def seen_picture(session: Session) -> tuple[object, NDArray[np.uint8] | None]:
    """Return a key for the environment's picture of the moment looked at, and the picture (H, W, 3) if there is one."""
    timeline = session.timeline
    if timeline.live:
        return session.version, session.picture()
    number, picture = timeline.picture_at(timeline.cursor) or (-1, None)
    return ("past", number), picture


def draw_picture(surface: pygame.Surface, view: View, session: Session) -> bool:
    """Fit the environment's picture into the middle of a surface; return whether there is one."""
    key, picture = seen_picture(session)
    if picture is None:
        return False
    room = surface.get_rect()
    size = fit(shape(picture, view.env_id), room.size)
    # small pictures (Atari) keep sharp pixels when much enlarged
    grow = enlarge if size[1] >= 2 * picture.shape[0] else pygame.transform.smoothscale
    image = view.cached(f"world {session.policy is None}", (key, size), lambda: grow(to_surface(picture), size))
    surface.blit(image, image.get_rect(center=room.center))
    return True
