"""A headless Chromium for the tests of pages; they are skipped where there is none."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.loading import load_policy
from common.files import PRETRAINED
from learning.policy import Policy
from viewer.playing import players
from viewer.web import live

V1, RLDEMO = "tidepool/Waterworld-v1", "tidepool/RLDemo-v0"
CHROMIUM, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"


class Browser:
    """Opens pages from files, runs scripts in them, and collects what they write to the console."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1400, height: int = 1000, before: str = "") -> None:
        """Open a page in a window of some size; ``before``: a script that runs before its own."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        touch = {"enabled": width < 600, "maxTouchPoints": 1}
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)
        added = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": before})
        self.driver.get(path.resolve().as_uri())
        self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until an expression in the page holds: on a busy machine frames are rare."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """Return an element's text."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def shows(self, selector: str) -> bool:
        """Return whether an element takes any room."""
        return bool(self.run("return document.querySelector(arguments[0]).getClientRects().length > 0", selector))

    def key(self, name: str, code: int, down: bool) -> None:
        """Press or release a key."""
        event = {"type": "keyDown" if down else "keyUp", "key": name, "code": name, "windowsVirtualKeyCode": code}
        self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", event)

    def touch(self, kind: str, x: float = 0, y: float = 0) -> None:
        """Put a finger down ("Start"), move it ("Move") or lift it ("End")."""
        points = [] if kind == "End" else [{"x": x, "y": y}]
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    def errors(self) -> list[str]:
        """Return what the console has got since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a browser; without Selenium, Chromium or its driver the test is skipped."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs Selenium: pip install -e '.[test-web]'")
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which(DRIVER)
    if chromium is None or driver is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("headless=new", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "hide-scrollbars"):
        options.add_argument(f"--{word}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # it refuses to run as root with one
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(120)
    yield Browser(opened)
    opened.quit()


def live_page(folder: Path, policy: Policy, seed: int = 1, epsilon: float = 0.0) -> Path:
    rules = players.rules_for(policy.env_id or V1, policy)
    path = folder / "agent.html"
    path.write_text(live.make(policy, rules, seed=seed, epsilon=epsilon), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_page(tmp_path_factory.mktemp("water"), load_policy(PRETRAINED / "waterworld"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_page(tmp_path_factory.mktemp("wheels"), load_policy(PRETRAINED / "convnetjs_rldemo_net.json"))
