"""One world as a Gymnasium environment, which a second player can join; N of them are a `worlds.WorldVectorEnv`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.geometry import F32
from envs.second_player import SecondPlayer
from envs.worlds import TICKS_PER_SECOND, WORLDS, Eyes, Worlds


class WorldEnv(gymnasium.Env[F32, np.int64]):
    """One world; its action space is Discrete(A), and -1 is accepted as a human player's "no key".

    Every step's ``info`` has ``apples`` and ``poison``, the items eaten in that tick. After `join` a
    person is in it too: acts by ``second_player_action``, which is set before each step, and ``info`` has
    ``second_player_apples`` and ``second_player_poison`` as well. A second player stays when an episode ends.

    Attributes:
        second_player: the human player who joined, or None.
        second_player_action: what the second player does in the next tick, -1 for no key.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": TICKS_PER_SECOND}  # type: ignore[misc]

    def __init__(self, world: str, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode '{render_mode}' is not known; allowed: rgb_array (play.py has a window)")
        self.render_mode = render_mode
        self._another: Callable[[], Worlds] = lambda: WORLDS[world](1, **options)
        self.worlds = self._another()
        self.second_player: SecondPlayer | None = None
        self.second_player_action = self.coast
        self._past: Worlds | None = None
        self.name = world
        self.observation_space: spaces.Box = self.worlds.observation_space()  # type: ignore[assignment]
        self.action_space = spaces.Discrete(len(self.worlds.action_names))

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[F32, dict[str, Any]]:
        """Begin a fresh world; one seed always gives the same one."""
        super().reset(seed=seed)
        self.worlds.reset(np.array([True]), [seed])
        self.worlds.eaten[0] = 0
        if self.second_player is not None:
            self.second_player.begin()
        return self.worlds.obs[0].copy(), self._eaten()

    def step(self, action: Any) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """Move the world by one tick; it never terminates."""
        if self.second_player is not None:
            self.second_player.act(self.second_player_action)
        self.worlds.step(np.array([action]).reshape(1))
        return self.worlds.obs[0].copy(), float(self.worlds.reward[0]), False, False, self._eaten()

    def _eaten(self) -> dict[str, Any]:
        apples, poison = self.worlds.eaten[0]
        info = {"apples": int(apples), "poison": int(poison)}
        if self.second_player is not None:
            info["second_player_apples"], info["second_player_poison"] = self.second_player.eaten
        return info

    def join(self) -> SecondPlayer:
        """Let a second player join the world, if there is none, and return it."""
        if self.second_player is None:
            self.second_player = SecondPlayer(self._another(), self.worlds)
            self.second_player_action = self.coast
        return self.second_player

    def leave(self) -> None:
        """Let the second player go; what was eaten stays eaten."""
        self.second_player = None

    def render(self) -> NDArray[np.uint8]:
        """Return the world's picture, (500, 700, 3) uint8, as the original page draws it."""
        from envs.drawing import world_picture  # pygame is only needed to draw

        return world_picture(self)

    def get_state(self) -> dict[str, Any]:
        """Return the world as plain values: clock, pos, vel or angle, items, rng, reward; ``second_player`` if any."""
        state = self.worlds.get_state()
        return state if self.second_player is None else {**state, "second_player": self.second_player.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> F32:
        """Set the world up as described and return what the agent then sees.

        ``rng`` and ``reward`` may be missing; a state without ``second_player`` is one without a second player.

        Raises:
            UserError: something else is missing.
        """
        self.worlds.set_state(state)
        second_player = state.get("second_player")
        if second_player is None:
            self.leave()
        else:
            self.join().set_state(second_player)
        seen: F32 = self.worlds.obs[0].copy()
        return seen

    def eyes(self) -> Eyes:
        """Return what each eye sees."""
        return self.worlds.eyes()

    def eyes_of(self, state: Mapping[str, Any]) -> Eyes:
        """Return what each eye saw in a state that was kept; the running world is left alone."""
        if self._past is None:
            self._past = self._another()
        self._past.set_state(state)
        return self._past.eyes()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.worlds.size

    @property
    def walls(self) -> NDArray[np.float64]:
        """All walls [x1, y1, x2, y2], (W, 4) pixels."""
        return self.worlds.walls

    @property
    def radius(self) -> float:
        """Of the agent and of every item, pixels."""
        return self.worlds.radius

    @property
    def eye_range(self) -> float:
        """How far an eye sees, pixels."""
        return self.worlds.eye_range

    @property
    def action_names(self) -> tuple[str, ...]:
        """The name of each action."""
        return self.worlds.action_names

    @property
    def coast(self) -> int:
        """The action of a player who presses no key."""
        return self.worlds.coast
