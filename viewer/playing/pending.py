"""Requests to a trainer in another process, until they have taken effect. No pygame here."""

from __future__ import annotations

import time
from typing import Any, Protocol

from common.errors import UserError

SEND_SECONDS = 0.25  # between two requests, while a slider moves
SHOWN_SECONDS = 3.0  # that a request is shown as if it were in force already; by then it should be


class Remote(Protocol):
    """A run in another process that takes requests."""

    def request(self, name: str, value: Any) -> bool:
        """Send a request; return whether a trainer is there to receive it."""
        ...


class PendingRequests:
    """The newest request of each name."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Any, float]] = {}
        self._unsent: set[str] = set()
        self._sent = 0.0

    def put(self, name: str, value: Any) -> None:
        """Add a request; `send` sends it."""
        self._values[name] = (value, time.monotonic())
        self._unsent.add(name)

    def get(self, name: str) -> Any:
        """Return a request that may not have taken effect yet; None: there is none."""
        value, at = self._values.get(name, (None, 0.0))
        return value if time.monotonic() - at < SHOWN_SECONDS else None

    def send(self, remote: Remote) -> str:
        """Send what is unsent, at most every `SEND_SECONDS`; return an error message, empty if all went well."""
        if not self._unsent or time.monotonic() - self._sent < SEND_SECONDS:
            return ""
        self._sent, problem = time.monotonic(), ""
        for name in sorted(self._unsent):
            try:
                if not remote.request(name, self._values[name][0]):
                    problem = "no process is training this run now, so the request has no effect"
            except UserError as error:
                problem = str(error)
                del self._values[name]
        self._unsent.clear()
        return problem
