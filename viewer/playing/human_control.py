"""Human control: the keys held down, and when control changes between human and agent. No pygame here."""

from __future__ import annotations

from typing import Any

from viewer.playing.keys import Keys
from viewer.playing.session import AGENT, HUMAN, Session

HAND_BACK_SECONDS = 2.0  # after the last key was released


class HumanControl:
    """Tracks the keys held down; pressing one takes control over, and after a while without any it is handed back.

    ``locked``: the human player keeps control throughout. Times are seconds of any steady clock. A second player
    controls a body of their own in the agent's world, so control does not change.
    """

    def __init__(self, session: Session, keys: Keys, *, locked: bool = False) -> None:
        self.session, self.keys = session, keys
        self.locked = locked or session.policy is None
        # A tap may be over before the next step (Atari has 15 a second): a key counts until a step has used it.
        self._pressed: dict[str, int] = {}  # in the order of pressing: total steps at that time
        self._released: set[str] = set()
        self._idle = 0.0
        self.second_player = False
        if self.locked:
            session.take_over()

    @property
    def held(self) -> list[str]:
        """Return the keys that are down now, in the order of pressing."""
        return [key for key in self._pressed if key not in self._released]

    def press(self, key: str) -> bool:
        """Handle a key press; a known key takes control over. Return whether the key is known."""
        if key in self.held or (key not in self.keys.known and key != "shift"):
            return False
        self._pressed.pop(key, None)
        self._released.discard(key)
        self._pressed[key] = self.session.total_steps
        if key in self.keys.known and not self.second_player:
            self.session.take_over()
        self.update(0.0)
        return key in self.keys.known

    def release(self, key: str) -> None:
        """Handle a key release."""
        if key in self._pressed:
            self._released.add(key)
        self.update(0.0)

    def release_all(self) -> None:
        """Release all keys at once: the window lost the keyboard focus."""
        self._pressed.clear()
        self._released.clear()
        self.update(0.0)

    def hand_back(self) -> None:
        """Give control back to the agent now, unless it is locked."""
        if not self.locked:
            self.session.hand_back()

    def update(self, seconds: float) -> None:
        """Advance by some seconds: set the session's action from the keys; hand back after enough time without any."""
        session = self.session
        for key in [key for key in self._released if self._pressed[key] < session.total_steps]:
            del self._pressed[key]
            self._released.remove(key)
        if self.second_player:
            action = self.keys.action(list(self._pressed))
            self._world.second_player_action = self._world.coast if action is None else action
        if session.control == AGENT:
            return
        session.human_action = self.keys.action(list(self._pressed))
        if self.held or self.locked or session.paused:
            self._idle = 0.0
            return
        self._idle += seconds
        if self._idle >= HAND_BACK_SECONDS:
            self._idle = 0.0
            session.hand_back()

    @property
    def _world(self) -> Any:
        return self.session.env.unwrapped

    def toggle_second_player(self) -> str:
        """Join the agent's world as a second player, or leave it; return a message for the user."""
        self.session.hand_back()
        self.second_player = not self.second_player
        if not self.second_player:
            self._world.leave()
            return "you left"
        self._world.join()
        self.update(0.0)
        return "you joined as the arrow; the agent can't see you"

    @property
    def hands_back_in(self) -> float | None:
        """Return the seconds until control is handed back automatically; None: it will not be."""
        if self.session.control != HUMAN or self.locked or self.held or self.session.paused:
            return None
        return HAND_BACK_SECONDS - self._idle
