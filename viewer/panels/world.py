"""The world itself: drawn from its state where it offers one, else the environment's own picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

from envs.drawing import draw_world
from viewer.canvas import Area, Canvas, Theme
from viewer.panels.base import View
from viewer.session import HUMAN, Session

FRAME = 3.0


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
        put_picture(surface, picture)


def is_world(session: Session) -> bool:
    """Return whether the environment is one of ours, which are drawn from their state."""
    world: Any = session.env.unwrapped
    return all(hasattr(world, name) for name in ("get_state", "eyes", "walls"))


def put_picture(surface: pygame.Surface, picture: NDArray[np.uint8]) -> None:
    """Fit a picture (H, W, 3) into the middle of a surface, its shape kept."""
    height, width = picture.shape[:2]
    image = pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), (width, height), "RGB")
    room = surface.get_rect()
    scale = min(room.w / width, room.h / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # small pictures (Atari) keep sharp pixels when they grow by much
    grow = pygame.transform.scale if scale >= 2 else pygame.transform.smoothscale
    image = grow(image, size)
    surface.blit(image, image.get_rect(center=room.center))
