"""The timeline: the score of an episode, the last minutes step by step, and a cursor in them.

No pygame and no torch here.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MINUTES = 4.0  # of play at normal speed
MAX_BYTES = 150_000_000
# Bytes of a moment besides its arrays: Python objects, rounded up (measured: 900 bytes with a world's state)
OVERHEAD = 1_000


class Step(NamedTuple):
    """One step of the running episode."""

    action: int
    reward: float
    by_human: bool


@dataclasses.dataclass
class Score:
    """The score of an episode so far."""

    episode: int  # 0, 1, ...
    seed: int
    episode_return: float = 0.0  # undiscounted sum of rewards
    steps: int = 0
    human_steps: int = 0
    apples: int | None = None  # None: the environment does not report them
    poison: int | None = None
    lives: int | None = None  # None also where a game has none
    frames: int | None = None  # of the emulator; Atari has four of them per step
    finished: bool = False

    @property
    def human_share(self) -> float:
        """Return the share of steps in which the human acted, 0 to 1."""
        return self.human_steps / self.steps if self.steps else 0.0

    def count(self, reward: float, by_human: bool, info: Mapping[str, Any]) -> None:
        """Count one step."""
        self.steps += 1
        self.human_steps += by_human
        self.episode_return += reward
        if self.apples is not None and self.poison is not None:
            self.apples += int(info.get("apples", 0))
            self.poison += int(info.get("poison", 0))
        self.read_info(info)

    def read_info(self, info: Mapping[str, Any]) -> None:
        """Read frames and lives from an environment's ``info``; 0 lives from the start on means that it has none."""
        if "frames" in info:
            self.frames = int(info["frames"])
        if "lives" in info and (info["lives"] > 0 or self.lives is not None):
            self.lives = int(info["lives"])


class Packed(NamedTuple):
    """A compressed array of bytes: 4 frames of 84 x 84 take about 2 KB instead of 28."""

    data: bytes
    shape: tuple[int, ...]

    def unpack(self) -> NDArray[np.uint8]:
        """Return a new copy of the array."""
        # torch wants writable arrays
        return np.frombuffer(bytearray(zlib.decompress(self.data)), np.uint8).reshape(self.shape)


def pack(array: NDArray[np.uint8]) -> Packed:
    """Return an array (...) uint8, compressed; level 1 takes half a millisecond for an Atari screen."""
    return Packed(zlib.compress(np.ascontiguousarray(array).data, 1), array.shape)


@dataclasses.dataclass(slots=True, eq=False)
class Moment:
    """A state and, unless it is the present or the last of its episode, the action taken in it and its outcome."""

    number: int
    """Counts all moments since the window opened."""
    round: int
    """Counts the episodes started since then; an episode that was restarted has another round."""
    episode: int
    step: int
    """Steps made in the episode before this moment."""
    stored_obs: Packed | NDArray[Any]
    state: Mapping[str, Any] | None = None
    """The world's state, as `get_state` returns it; None where the environment has no such method."""
    lives: int | None = None
    picture: Packed | None = None
    """(H, W, 3); None where a world is drawn from its state, or the moment was not drawn."""
    q_values: NDArray[np.float64] | None = None
    """(A,) the network's Q values at that time; None without a network, and before the action."""
    action: int | None = None
    """The action taken, -1 for a human's "no key"; None: none yet, or the episode ended here."""
    by_human: bool = False
    greedy: bool = False
    """The agent took its greedy action."""
    reward: float = 0.0
    """The environment's reward for the action, never clipped."""
    terminated: bool = False
    truncated: bool = False
    life_lost: bool = False

    @property
    def obs(self) -> NDArray[Any]:
        """Return the observation, (...)."""
        return self.stored_obs.unpack() if isinstance(self.stored_obs, Packed) else self.stored_obs

    @property
    def expectation(self) -> float | None:
        """Return the network's expected return of the action; None without a network, and for "no key"."""
        if self.q_values is None or self.action is None or self.action < 0:
            return None
        return float(self.q_values[self.action])

    @property
    def nbytes(self) -> int:
        """Return its approximate size in memory, bytes."""
        obs = len(self.stored_obs.data) if isinstance(self.stored_obs, Packed) else self.stored_obs.nbytes
        state = sum(getattr(value, "nbytes", 0) for value in self.state.values()) if self.state else 0
        return OVERHEAD + obs + state + (len(self.picture.data) if self.picture else 0)


class Timeline:
    """A sequence of moments; the oldest are dropped when they are too many or too large, the newest always stays.

    The cursor is live, at the newest moment, or at a past one. There it stays while new moments are
    added, unless its own is dropped: then it moves to the oldest.

    Args:
        capacity: the largest number of moments kept.
        max_bytes: the largest amount of memory used.
    """

    def __init__(self, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        self.capacity, self.max_bytes = max(2, capacity), max_bytes
        self.nbytes = 0
        self._moments: deque[Moment] = deque()
        self._next = 0  # number of the next moment
        self._round = -1
        self._cursor: int | None = None  # None: live

    @classmethod
    def for_ticks(cls, tick_seconds: float, minutes: float = MINUTES) -> Timeline:
        """Return a timeline that keeps so many minutes of steps at normal speed."""
        return cls(round(minutes * 60.0 / tick_seconds))

    # adding moments

    def begin(self) -> None:
        """Start a new round: an episode starts, or restarts."""
        self._round += 1

    def arrive(
        self,
        obs: NDArray[Any],
        episode: int,
        step: int,
        *,
        state: Mapping[str, Any] | None = None,
        lives: int | None = None,
    ) -> None:
        """Add the new present; observations of bytes are compressed, others copied."""
        stored = pack(obs) if obs.dtype == np.uint8 else np.array(obs)
        self._moments.append(Moment(self._next, self._round, episode, step, stored, state, lives))
        self._next += 1
        self.nbytes += self._moments[-1].nbytes
        self._drop_oldest()

    def add_picture(self, picture: NDArray[np.uint8]) -> None:
        """Store the present's picture, (H, W, 3) uint8, unless it can be drawn from its state or has one."""
        present = self._moments[-1]
        if present.state is None and present.picture is None:
            present.picture = pack(picture)
            self.nbytes += len(present.picture.data)
            self._drop_oldest()

    def act(
        self,
        action: int,
        reward: float,
        *,
        q_values: NDArray[np.float64] | None = None,
        by_human: bool = False,
        greedy: bool = False,
        terminated: bool = False,
        truncated: bool = False,
        life_lost: bool = False,
    ) -> Moment:
        """Add the action taken in the present and its outcome, and return the moment; `arrive` adds the next one."""
        present = self._moments[-1]
        present.action, present.reward, present.q_values = action, reward, q_values
        present.by_human, present.greedy = by_human, greedy
        present.terminated, present.truncated, present.life_lost = terminated, truncated, life_lost
        return present

    def _drop_oldest(self) -> None:
        while len(self._moments) > self.capacity or (self.nbytes > self.max_bytes and len(self._moments) > 1):
            self.nbytes -= self._moments.popleft().nbytes
        if self._cursor is not None:
            self._cursor = max(self._cursor, self.first)

    # reading moments

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def first(self) -> int:
        """Return the number of the oldest moment kept."""
        return self._next - len(self._moments)

    @property
    def last(self) -> int:
        """Return the number of the present."""
        return self._next - 1

    def __getitem__(self, number: int) -> Moment:
        """Return a moment by its number; `IndexError` if it is not kept."""
        if not self.first <= number <= self.last:
            raise IndexError(f"moment {number} is not kept; {self.first} to {self.last} are")
        return self._moments[number - self.first]

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    def following(self, number: int) -> Iterator[Moment]:
        """Yield a moment and those after it in its round."""
        round_ = self[number].round
        for later in range(number, self._next):
            moment = self[later]
            if moment.round != round_:
                return
            yield moment

    def picture_at(self, number: int) -> tuple[int, NDArray[np.uint8]] | None:
        """Return the picture of a moment, else the latest one before it in its round, with its number; or None.

        At high speeds the window does not draw every state, and a state that is not drawn has no picture.
        """
        round_ = self[number].round
        for earlier in range(number, self.first - 1, -1):
            moment = self[earlier]
            if moment.round != round_:
                break
            if moment.picture is not None:
                return earlier, moment.picture.unpack()
        return None

    # the cursor

    @property
    def live(self) -> bool:
        """Return whether the cursor follows the present."""
        return self._cursor is None

    @property
    def cursor(self) -> int:
        """Return the number of the moment at the cursor."""
        return self.last if self._cursor is None else self._cursor

    @property
    def current(self) -> Moment:
        """Return the moment at the cursor."""
        return self[self.cursor]

    def to(self, number: int) -> None:
        """Move the cursor to a moment, or the nearest one kept; at the present it becomes live."""
        self._cursor = None if number >= self.last else max(number, self.first)

    def to_live(self) -> None:
        """Move the cursor to the present, and follow it."""
        self._cursor = None

    def back(self, steps: int = 1) -> None:
        """Move the cursor back by so many moments."""
        self.to(self.cursor - steps)

    def forward(self, steps: int = 1) -> None:
        """Move the cursor forward by so many moments."""
        self.to(self.cursor + steps)
