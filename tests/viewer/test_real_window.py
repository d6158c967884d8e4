"""play.py on a virtual screen (Xvfb), with real key presses and mouse clicks (xdotool)."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 60.0  # seconds, also on a busy machine

pytestmark = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool (Debian's xvfb and xdotool)"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Start a virtual screen on the first free display number."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1920x1080x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


class PlayProcess:
    """play.py in a process of its own, observed through the lines that `tests.viewer.watched` writes."""

    def __init__(self, display: str, folder: Path, *words: str) -> None:
        self.env = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        for name in ("SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER", "WAYLAND_DISPLAY"):
            self.env.pop(name, None)
        self.env["TIDEPOOL_CONFIG_DIR"] = str(folder / "config")
        command = [sys.executable, "-m", "tests.viewer.watched", *words]
        self.process = subprocess.Popen(
            command, cwd=folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.now: dict[str, Any] = {}
        self.until(lambda now: True)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def until(self, true: Callable[[dict[str, Any]], bool], what: str = "") -> None:
        """Wait until the state of the window satisfies a condition."""
        end = time.monotonic() + TIMEOUT
        while not (self.now and true(self.now)):
            try:
                line = self._lines.get(timeout=0.1)
            except queue.Empty:
                assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
                assert time.monotonic() < end, f"{what}: still {self.now}"
                continue
            if line.startswith("{"):
                self.now = json.loads(line)

    def tool(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self.env, check=True, capture_output=True)

    def key(self, name: str) -> None:
        self.tool("key", name)

    def click(self, point: str) -> None:
        self.move(*self.now["points"][point])
        self.tool("click", "1")

    def move(self, x: int, y: int) -> None:
        left, top = self.now["position"]
        self.tool("mousemove", str(left + x), str(top + y))

    def resize(self, width: int, height: int) -> None:
        output = subprocess.run(
            ["xdotool", "getmouselocation", "--shell"], env=self.env, check=True, capture_output=True, text=True
        )
        window = dict(line.split("=") for line in output.stdout.split())["WINDOW"]  # below the mouse
        self.tool("windowsize", window, str(width), str(height))

    def end(self) -> int:
        return self.process.wait(TIMEOUT)


@pytest.fixture
def played(display: str, tmp_path: Path) -> Iterator[PlayProcess]:
    shown = PlayProcess(display, tmp_path, str(ROOT / "pretrained" / "waterworld"), "--seed", "3")
    yield shown
    if shown.process.poll() is None:
        shown.process.kill()
        shown.process.wait()


def test_all_of_the_window(played: PlayProcess, tmp_path: Path) -> None:
    played.until(lambda now: now["steps"] > 1, "it plays by itself")
    assert played.now["control"] == "agent"
    played.move(100, 300)  # without a window manager the focus follows the mouse
    hidden = played.now["hidden"]

    played.tool("keydown", "Right")
    played.until(lambda now: now["control"] == "human", "taken over")
    played.tool("keyup", "Right")
    played.key("Return")
    played.until(lambda now: now["control"] == "agent", "handed back")

    played.key("space")
    played.until(lambda now: now["paused"], "paused")
    steps = played.now["steps"]
    played.key("b")
    played.key("comma")
    played.until(lambda now: now["back"] == 2, "two steps back")
    played.click("timeline")
    played.until(lambda now: now["back"] > 3, "the timeline clicked")
    played.key("End")
    played.until(lambda now: now["back"] == 0, "the present")
    assert played.now["steps"] == steps

    played.click("epsilon")
    played.until(lambda now: abs(now["epsilon"] - 0.5) < 0.02, "the slider moved")

    played.click("truth title")
    played.until(lambda now: "what the network expected" in now["notice"], "the meter explained")
    played.key("F10")
    played.until(lambda now: "truth" in now["hidden"] and not now["notice"], "the meter hidden, and its sentence")
    played.key("F10")
    played.until(lambda now: now["hidden"] == hidden, "the meter again")

    wide = played.now["size"]
    played.key("F2")
    played.until(lambda now: now["hidden"] == sorted(["actions", *hidden]), "a panel hidden")
    played.key("F2")
    played.until(lambda now: now["hidden"] == hidden, "and shown again")
    played.until(lambda now: now["size"] == wide, "as large as before")
    played.resize(900, 620)
    played.until(lambda now: now["size"] == [900, 620], "resized")
    played.click("epsilon")  # where it is now
    played.until(lambda now: abs(now["epsilon"] - 0.5) < 0.04, "still the slider")

    played.key("h")
    played.until(lambda now: now["help"], "the help")
    played.key("h")
    played.until(lambda now: not now["help"], "no help")

    played.key("f")
    played.until(lambda now: bool(now["filming"]), "filming")
    film = tmp_path / played.now["filming"]
    played.key("space")
    played.until(lambda now: not now["paused"], "resumed")
    steps = played.now["steps"]
    played.until(lambda now: now["steps"] > steps + 2, "playing")
    played.key("q")  # in the middle of the film
    assert played.end() == 0
    assert film.stat().st_size > 10_000
    assert [path.name for path in film.parent.iterdir()] == [film.name]
    left = json.loads((tmp_path / "config" / "window.json").read_text())
    kept = {"hidden": hidden, "agent_view": False, "sizes": {"worlds": [900, 620]}}
    assert {name: left[name] for name in kept} == kept


def test_learning_in_the_window(played: PlayProcess) -> None:
    played.move(100, 300)
    played.key("l")
    played.until(lambda now: now["learning"], "it learns")
    steps = played.now["steps"]
    played.until(lambda now: now["steps"] > steps + 3, "and plays")
    played.key("l")
    played.until(lambda now: not now["learning"], "learning stopped")
    played.key("Escape")
    assert played.end() == 0


def test_a_lost_screen(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x720x24"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    shown = PlayProcess(f":{number}", tmp_path, str(ROOT / "pretrained" / "waterworld"))
    shown.until(lambda now: now["steps"] > 1, "it plays")
    server.kill()
    server.wait()
    assert shown.end() == 2
    assert shown.process.stderr is not None
    assert shown.process.stderr.read().strip().splitlines()[-1] == "error: the connection to the screen was lost"
