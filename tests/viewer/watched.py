"""Run play.py and print a line of JSON whenever the state of its window changes, for the tests of the real window."""

from __future__ import annotations

import json
import sys
from typing import Any

import pygame

import play
from viewer.learning import controls
from viewer.panels import timeline_bar
from viewer.screen import layout
from viewer.window import Window

original_frame = Window.frame
last: dict[str, Any] = {}


def state_of(window: Window) -> dict[str, Any]:
    view = window.view
    timeline, places, size = (
        view.session.timeline,
        layout(view, pygame.display.get_window_size()),
        pygame.display.get_window_size(),
    )
    scale = min(size[0] / places.size[0], size[1] / places.size[1])
    left, top = (size[0] - places.size[0] * scale) / 2, (size[1] - places.size[1] * scale) / 2
    track = timeline_bar.track(places.bar)
    points = {"timeline": (track.x + track.w / 2, track.y + track.h / 2)}
    for panel, area in places.panels:
        points[panel.name] = (area.x + area.w / 2, area.y + area.h / 2)
        if panel.name == "truth":
            points["truth title"] = (area.x + 40, area.y + 20)
        if panel.name == "learning":
            slider = panel.sliders(area, view)[0].track  # type: ignore[attr-defined]
            points["epsilon"] = (slider.x + slider.w / 2, slider.y + slider.h / 2)
    return {
        "control": view.session.control,
        "paused": view.game.paused,
        "back": timeline.last - timeline.cursor,
        "steps": view.session.total_steps // 5,
        "hidden": sorted(view.hidden),
        "epsilon": controls.epsilon(view),
        "filming": view.filming,
        "notice": view.notice,
        "size": size,
        "help": view.help,
        "learning": controls.learning(view),
        "agent_view": view.agent_view,
        "position": pygame.display.get_window_position(),
        "points": {name: (round(left + x * scale), round(top + y * scale)) for name, (x, y) in points.items()},
    }


def frame(self: Window, seconds: float) -> None:
    global last
    original_frame(self, seconds)
    if pygame.display.get_init() and pygame.display.get_surface() is not None:
        now = state_of(self)
        if now != last:
            last = now
            print(json.dumps(now), flush=True)


Window.frame = frame  # type: ignore[method-assign]
sys.exit(play.main(sys.argv[1:]))
