"""Damage: JSON with other values in it, tables with other cells, any file with other bytes; one seed, one damage."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e"
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 4096, 2**31, 2**31 - 1, 2**53 + 1, 2**63, 3 * 10**7, 10**9, 10**400),
    *(0.5, -0.5, 1e-300, 1e308, math.nan, math.inf, -math.inf),
    *("", "x", "0", "dqn", "pqn", "rainbow", "impala", "nature", "cuda", "\0", ESCAPES, "\ud800", "a" * 5_000),
    *("../../../etc/passwd", "os:system", "$x^{", "CartPole-v1", "tidepool/RLDemo-v0", "ALE/Pong-v5", "float64", "O"),
    *([], {}, [[]], [10**9], [-1], [0], [20_000, 20_000], [8192] * 64, ["a"], {"a": {}}, [None], list(range(5_000))),
)
CELLS = (
    *("", "nan", "inf", "-1", "1e400", "9" * 5_000, "9" * 30, "0x10", "1_000", "\0", ESCAPES, '"', "a" * 70_000),
    *("1.5", "-0", " 7 ", "\r", "\f", "\u2028", "$x^{", ","),
)


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """Return JSON with one to three values changed, added or removed; sometimes with other bytes too."""
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _changed(value, rng)
    text = json.dumps(value)
    if rng.random() < 0.1:
        text = text.replace("1", rng.choice(("9" * 5_000, "1e999", "NaN", "[" * 3_000)), 1)
    found = text.encode("utf-8", errors="surrogatepass")
    return damaged_bytes(found, rng) if rng.random() < 0.15 else found


def _changed(value: Any, rng: random.Random) -> Any:
    """Return a value with something inside it changed."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.05:
        return _other(value, rng)
    value = copy.copy(value)
    key: Any = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    what = rng.random()
    if what < 0.1:
        del value[key]
    elif what < 0.15:
        if isinstance(value, dict):
            value[rng.choice(("extra", "", "\0", ESCAPES, "format", "imports"))] = rng.choice(VALUES)
        else:
            value += value[:10] * rng.choice((1, 50))
    else:
        value[key] = _changed(value[key], rng)
    return value


def _other(value: Any, rng: random.Random) -> Any:
    """Return another value in the place of one, sometimes of its own kind."""
    if isinstance(value, int | float) and rng.random() < 0.4:
        return rng.choice((-value, value + 1, value * 10 ** rng.randrange(1, 12), value // 3))
    if isinstance(value, str) and value and rng.random() < 0.3:
        place = rng.randrange(len(value))
        return value[:place] + rng.choice(("", "A", "\x1b", "=", "\0")) + value[place + 1 :]
    return rng.choice(VALUES)


def damaged_table(data: bytes, rng: random.Random) -> bytes:
    """Return a table with other cells, columns or lines; sometimes with other bytes too."""
    lines = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 3, 10))):
        line = lines[rng.choice((0, rng.randrange(len(lines)), len(lines) - 1))]
        what = rng.random()
        if what < 0.7:
            line[rng.randrange(len(line))] = rng.choice(CELLS)
        elif what < 0.8:
            line.append(rng.choice(CELLS))
        elif len(line) > 1:
            del line[rng.randrange(len(line))]
    if rng.random() < 0.1:
        lines += lines[1:] * 5
    found = "\n".join(",".join(line) for line in lines).encode() + b"\n"
    return damaged_bytes(found, rng) if rng.random() < 0.2 else found


def damaged_lines(data: bytes, rng: random.Random) -> bytes:
    """Return lines of JSON, some of them damaged."""
    lines = data.splitlines()
    lines = [damaged_json(line, rng) if rng.random() < 0.5 else line for line in lines]
    return b"\n".join(lines) + rng.choice((b"\n", b""))


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes of which some are others, more, or fewer."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        start = rng.choice((0, rng.randrange(len(found) + 1), rng.randrange(min(len(found), 200) + 1)))
        what = rng.randrange(6)
        if what == 0:
            del found[start:]
        elif what == 1:
            found[start:start] = rng.randbytes(rng.choice((1, 4, 100)))
        elif what == 2:
            found[start : start + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\0" * 7, b"9" * 5_000))
        elif what == 3 and start < len(found):
            found[start] ^= 1 << rng.randrange(8)
        elif what == 4:
            found[start:start] = rng.choice((b"[" * 2_000, b'{"a":' * 2_000, b"\0", b"\n", b'"', b"\xff\xfe"))
        else:
            end = start + rng.randrange(1, 50)
            found[start:start] = found[start:end]
    return bytes(found)


def damaged_header(data: bytes, rng: random.Random) -> bytes:
    """Return a safetensors file with another header or other bytes, or with numbers that are none."""
    what, length = rng.random(), int.from_bytes(data[:8], "little")
    if what < 0.15:
        place = 8 + length + 4 * rng.randrange((len(data) - 8 - length) // 4)
        return data[:place] + rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f")) + data[place + 4 :]
    if what < 0.6:
        header = damaged_json(data[8 : 8 + length], rng)
        return len(header).to_bytes(8, "little") + header + data[8 + length :]
    return damaged_bytes(data, rng)
