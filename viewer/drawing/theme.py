"""The window's colours, in light and in dark."""

from __future__ import annotations

from typing import Any, ClassVar

Color = tuple[int, int, int]
LIGHT, DARK = "light", "dark"
THEMES = (LIGHT, DARK)


class Theme:
    """The colours in use: blue for the agent and orange for you, which nearly everybody can tell apart."""

    name: ClassVar[str]
    background: ClassVar[Color]
    card: ClassVar[Color]
    border: ClassVar[Color]
    edge: ClassVar[Color]  # of key caps
    track: ClassVar[Color]
    text: ClassVar[Color]
    soft: ClassVar[Color]
    on_color: ClassVar[Color]  # text on the agent's and the human's colour
    on_pale: ClassVar[Color]  # the same, softer
    agent: ClassVar[Color]
    agent_pale: ClassVar[Color]
    human: ClassVar[Color]
    human_pale: ClassVar[Color]
    better: ClassVar[Color]  # below a text that says that something is better than expected
    worse: ClassVar[Color]
    zero: ClassVar[Color]  # the tint of a number that is zero
    chip: ClassVar[Color]  # a notice over the world
    dim: ClassVar[tuple[int, int, int, int]]

    @classmethod
    def use(cls, name: str) -> None:
        """Take the colours of a theme; what was drawn in others has to be drawn again."""
        cls.name = name
        for key, value in COLORS[name].items():
            setattr(cls, key, value)


COLORS: dict[str, dict[str, Any]] = {
    LIGHT: {
        "background": (238, 241, 244),
        "card": (255, 255, 255),
        "border": (218, 224, 230),
        "edge": (190, 199, 208),
        "track": (229, 234, 239),
        "text": (28, 36, 46),
        "soft": (92, 104, 118),
        "on_color": (255, 255, 255),
        "on_pale": (224, 238, 247),
        "agent": (0, 104, 158),
        "agent_pale": (168, 205, 226),
        "human": (200, 84, 0),
        "human_pale": (253, 236, 222),
        "better": (208, 236, 220),
        "worse": (250, 219, 214),
        "zero": (240, 243, 246),
        "chip": (28, 36, 46),
        "dim": (22, 30, 40, 150),
    },
    DARK: {
        "background": (17, 22, 28),
        "card": (27, 34, 42),
        "border": (44, 54, 65),
        "edge": (74, 88, 103),
        "track": (41, 51, 61),
        "text": (229, 235, 241),
        "soft": (150, 164, 178),
        "on_color": (255, 255, 255),
        "on_pale": (220, 236, 247),
        "agent": (45, 140, 200),
        "agent_pale": (44, 84, 112),
        "human": (222, 110, 28),
        "human_pale": (74, 48, 30),
        "better": (28, 74, 56),
        "worse": (94, 42, 40),
        "zero": (38, 47, 57),
        "chip": (58, 70, 83),
        "dim": (4, 8, 12, 170),
    },
}
Theme.use(LIGHT)
