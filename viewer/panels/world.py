"""The world itself, now or at the moment looked back at: drawn from its state where it offers one, else its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

import envs
from envs.drawing import draw_state, draw_world
from viewer.canvas import Area, Canvas, Theme
from viewer.panels.base import View
from viewer.pixels import enlarge, fit, to_surface
from viewer.session import HUMAN, Session

FRAME = 3.0
TELEVISION = (4.0, 3.0)


def draw(canvas: Canvas, area: Area, view: View) -> None:
    """Draw the world into ``area``; a frame says who plays. ``view.agent_view`` hides what the agent does not see."""
    frame = Theme.human if view.session.control == HUMAN else Theme.border
    canvas.rect(area.inset(-FRAME), frame)
    surface = canvas.window(area)
    if is_world(view.session):
        _draw_from_state(surface, view)
        return
    surface.fill(Theme.card)
    if put_picture(surface, view):
        return
    live = view.session.timeline.live
    text = "this environment draws no picture" if live else "no picture of this moment was kept"
    canvas.text(area.x + area.w / 2, area.y + area.h / 2, text, 15, Theme.soft, align=0.5)


def _draw_from_state(surface: pygame.Surface, view: View) -> None:
    world: Any = view.session.env.unwrapped
    agent_view = bool(getattr(view, "agent_view", False))
    timeline = view.session.timeline
    state = None if timeline.live else timeline.current.state
    if state is None:
        draw_world(surface, world, agent_view=agent_view)
    else:
        draw_state(surface, world, state, agent_view=agent_view)


def is_world(session: Session) -> bool:
    """Return whether the environment is one of ours, which are drawn from their state."""
    world: Any = session.env.unwrapped
    return all(hasattr(world, name) for name in ("get_state", "eyes", "walls"))


def shape(picture: NDArray[np.uint8], env_id: str) -> tuple[float, float]:
    """Return width and height of a picture as it should look, in any unit.

    A television shows an Atari's 160 x 210 (in a few games 160 x 250) pixels four wide and three high.
    """
    height, width = picture.shape[:2]
    return TELEVISION if envs.is_atari(env_id) else (width, height)


def seen_picture(session: Session) -> tuple[object, NDArray[np.uint8] | None]:
    """Return the environment's picture (H, W, 3) of the moment looked at, if there is one, and what tells it apart."""
    timeline = session.timeline
    if timeline.live:
        return session.version, session.picture()
    number, picture = timeline.picture_at(timeline.cursor) or (-1, None)
    return ("past", number), picture


def put_picture(surface: pygame.Surface, view: View) -> bool:
    """Fit the environment's picture into the middle of a surface, its shape kept; return whether there is one."""
    key, picture = seen_picture(view.session)
    if picture is None:
        return False
    room = surface.get_rect()
    size = fit(shape(picture, view.env_id), room.size)
    # small pictures (Atari) keep sharp pixels when they grow by much
    grow = enlarge if size[1] >= 2 * picture.shape[0] else pygame.transform.smoothscale
    image = view.keep("world", (key, size), lambda: grow(to_surface(picture), size))
    surface.blit(image, image.get_rect(center=room.center))
    return True
