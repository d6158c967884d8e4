"""The world itself: drawn from its state where it offers one, else the environment's own picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

import envs
from envs.drawing import draw_world
from viewer.canvas import Area, Canvas, Theme
from viewer.panels.base import View
from viewer.pixels import enlarge, fit, to_surface
from viewer.session import HUMAN, Session

FRAME = 3.0
TELEVISION = (4.0, 3.0)


def draw(canvas: Canvas, area: Area, view: View) -> None:
    """Draw the world into ``area``; a frame says who plays."""
    frame = Theme.human if view.session.control == HUMAN else Theme.border
    canvas.rect(area.inset(-FRAME), frame)
    surface = canvas.window(area)
    if is_world(view.session):
        draw_world(surface, view.session.env.unwrapped)  # type: ignore[arg-type]
        return
    surface.fill(Theme.card)
    picture = view.session.picture()
    if picture is None:
        x, y = area.x + area.w / 2, area.y + area.h / 2
        canvas.text(x, y, "this environment draws no picture", 15, Theme.soft, align=0.5)
    else:
        put_picture(surface, picture, view)


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


def put_picture(surface: pygame.Surface, picture: NDArray[np.uint8], view: View) -> None:
    """Fit a picture (H, W, 3) into the middle of a surface, its shape kept."""
    room = surface.get_rect()
    size = fit(shape(picture, view.env_id), room.size)
    # small pictures (Atari) keep sharp pixels when they grow by much
    grow = enlarge if size[1] >= 2 * picture.shape[0] else pygame.transform.smoothscale
    image = view.keep("world", (view.session.version, size), lambda: grow(to_surface(picture), size))
    surface.blit(image, image.get_rect(center=room.center))
