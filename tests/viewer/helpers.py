"""Policies with known Q values, and sessions and views made from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

import envs
from viewer import screen
from viewer.drawing.canvas import Fonts
from viewer.panels import View
from viewer.playing.human_control import HumanControl
from viewer.playing.keys import keys_for
from viewer.playing.session import Session

V1 = "tidepool/Waterworld-v1"
RLDEMO = "tidepool/RLDemo-v0"
CARTPOLE = "CartPole-v1"


class Known:
    """Has the same Q values everywhere and acts greedily."""

    name = "known"
    env_id: str | None = None

    def __init__(self, q: Sequence[float]) -> None:
        self.q = np.array(q, np.float64)

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        return np.tile(self.q, (len(obs), 1))

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.full(len(obs), int(np.nanargmax(self.q)))


class NoQValues(Known):
    """Acts greedily without exposing its Q values."""

    name = "mute"

    def q_values(self, obs: NDArray[Any]) -> None:
        return None


class EpsilonGreedy(Known):
    """Acts epsilon-greedily, with the generator that it is given."""

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.integers(0, len(self.q), len(obs)) if rng.random() < epsilon else super().act(obs, epsilon, rng)


Q4 = (0.5, 2.0, 1.0, -1.0)  # the best of Waterworld's left, right, up, down is right


def session_in(env_id: str = V1, policy: Known | None = None, **options: Any) -> Session:
    env = envs.make(env_id, render_mode="rgb_array")
    return Session(env, policy, action_names=envs.action_names(env), **{"seed": 3, **options})


def view_of(session: Session, env_id: str = V1, *, locked: bool = False) -> View:
    return View(session, HumanControl(session, keys_for(session.action_names), locked=locked), env_id)


def drawn(view: View, scale: float = 1.0) -> pygame.Surface:
    width, height = screen.layout(view).size
    surface = pygame.Surface((round(width * scale), round(height * scale)), depth=24)
    screen.draw(surface, Fonts(), view)
    return surface


def drawn_at(view: View, size: tuple[int, int]) -> pygame.Surface:
    surface = pygame.Surface(size, depth=24)
    screen.draw(surface, Fonts(), view)
    return surface


def color_at(surface: pygame.Surface, x: float, y: float) -> tuple[int, int, int]:
    red, green, blue, _ = surface.get_at((round(x), round(y)))
    return red, green, blue


def key(kind: int, code: int) -> pygame.event.Event:
    return pygame.event.Event(kind, key=code, unicode="", mod=0)
