"""A table that is still being written, read as it grows."""

from __future__ import annotations

from pathlib import Path

from common.errors import UserError
from common.reading import LINE_BYTES, cells, opened
from common.text import shown

TAIL_BYTES = 64 * LINE_BYTES  # that are read at a time
LAST_BYTES = 200  # that are compared: a row, with its numbers


class Tail:
    """The rows of a CSV file that is still being written; a line is read when it is whole.

    A file that was cut back, as by a run that is resumed, is read again from its beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._last = b""  # the end of what was read
        self._columns: list[str] = []

    def rows(self) -> list[dict[str, str]]:
        """Return the rows that came since the last time."""
        try:
            if self.path.stat().st_size == self._position:
                return []
            with opened(self.path) as file:
                file.seek(self._position - len(self._last))
                if file.read(len(self._last)) != self._last:
                    self._position, self._last, self._columns = 0, b"", []
                    file.seek(0)
                data = file.read(TAIL_BYTES)
        except (OSError, UserError):
            return []
        end = data.rfind(b"\n") + 1
        if not end and len(data) == TAIL_BYTES:
            end = len(data)  # no line is that long
        self._position += end
        self._last = (self._last + data[:end])[-LAST_BYTES:]
        # by line feeds only, as they are written; a form feed in a name ends no line
        lines = [cells(line.decode("utf-8", errors="replace")) for line in data[:end].split(b"\n") if line.strip()]
        lines = [[shown(cell) for cell in line] for line in lines if line]
        if not self._columns and lines:
            self._columns = lines.pop(0)
        return [dict(zip(self._columns, line, strict=False)) for line in lines]
