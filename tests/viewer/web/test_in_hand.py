"""The pages in a real browser, in a hand: fingers, buttons, the keyboard's focus, time, and words that stay apart."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import compare
from tests.scores.helpers import make_run
from tests.viewer.web.conftest import V1, Browser
from viewer.opening import open_session
from viewer.options import Options
from viewer.playing import players
from viewer.web import recording

ROW = "document.querySelectorAll('.action')[2]"
PLACE = f"const box = {ROW}.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]"


def place_of_row(browser: Browser) -> tuple[float, float]:
    browser.run(f"{ROW}.scrollIntoView({{ block: 'center' }})")
    x, y = browser.run(PLACE)
    return x, y


def test_a_tap_on_a_row_plays_its_action_for_a_moment(browser: Browser, water: Path) -> None:
    browser.open(water, 400, 850)
    x, y = place_of_row(browser)
    browser.run(
        "tidepool.played = []; const { session } = tidepool, step = session.step.bind(session);"
        "session.step = () => { step(); if (session.last?.human) tidepool.played.push(session.last.action); }"
    )
    browser.touch("Start", x, y)
    browser.touch("End")
    browser.until("tidepool.played.includes(2)")
    browser.until("tidepool.played.at(-1) === -1")  # it coasts, until it is handed back
    browser.until("!tidepool.session.human")
    assert browser.errors() == []


def test_a_swipe_that_begins_on_a_row_scrolls_and_plays_nothing(browser: Browser, water: Path) -> None:
    # a busy machine's finger rests long before it moves
    browser.open(water, 400, 850, before="const late = setTimeout; setTimeout = (run, after) => late(run, 50 * after)")
    x, y = place_of_row(browser)
    before = browser.run("return scrollY")
    browser.touch("Start", x, y)
    for step in range(1, 11):
        browser.touch("Move", x, y - 15 * step)
    browser.touch("End")
    browser.until(f"scrollY > {before} + 60")
    assert not browser.run("return tidepool.session.human")


def test_a_finger_that_rests_holds_a_row_and_does_not_scroll(browser: Browser, water: Path) -> None:
    browser.open(water, 400, 850)
    x, y = place_of_row(browser)
    before = browser.run("return scrollY")
    browser.touch("Start", x, y)
    browser.until("tidepool.session.pressed === 2 && tidepool.session.last.human")
    for step in range(1, 6):
        browser.touch("Move", x, y - 15 * step)
    assert browser.run("return [scrollY, tidepool.session.pressed]") == [before, 2]
    browser.touch("End")
    browser.until("tidepool.session.pressed === null")


@pytest.mark.parametrize("kind", ["live", "recorded"])
def test_what_is_pressed_is_large_enough_for_a_thumb(browser: Browser, water: Path, cut: Path, kind: str) -> None:
    browser.open(water if kind == "live" else cut, 400, 850)
    sizes = browser.run(
        "return [...document.querySelectorAll('button, input')].map((one) => one.getBoundingClientRect())"
        ".filter((box) => box.width).map((box) => Math.min(box.width, box.height))"
    )
    assert len(sizes) > 6
    assert min(sizes) >= 44


def test_keys_move_what_has_the_focus(browser: Browser, water: Path) -> None:
    browser.open(water)
    browser.run("document.querySelector('[title*=\"(V)\"]').focus()")
    key = {"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    for _ in range(3):  # a button that is pressed by keys keeps the focus
        browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", key)
    browser.until("document.querySelector('[title*=\"(V)\"]').getAttribute('aria-pressed') === 'true'")
    browser.run("document.querySelector('input').focus()")
    browser.key("ArrowRight", 39, down=True)
    browser.until("tidepool.session.epsilon === 0.01")
    assert not browser.run("return tidepool.session.human")


def test_the_fastest_speed_goes_on_after_a_frame_without_time(browser: Browser, water: Path) -> None:
    """Browsers that hide how fast a machine is round time, so that two frames can have the same."""
    browser.open(water, before="requestAnimationFrame = () => {}")
    script = """
    const { clock, session } = tidepool;
    clock.speed = Infinity;
    clock.run(0);
    const after = session.total;
    clock.run(0.01);
    return [after, session.total - after, clock.due];
    """
    first, then, due = browser.run(script)
    assert first > 0
    assert then > 0
    assert due is not None


def test_numbers_that_are_none_are_never_the_best(browser: Browser, water: Path) -> None:
    browser.open(water, before="requestAnimationFrame = () => {}")
    script = """
    const { session } = tidepool;
    session.epsilon = 0;
    session.output.q = [NaN, 1, 2, NaN];
    return session.agentAction();
    """
    assert browser.run(script) == 2


WORDS = """
const texts = globalThis.texts = {}, fill = CanvasRenderingContext2D.prototype.fillText;
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...place) {
  texts[this.canvas.id] = [];
  clear.apply(this, place);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const width = this.measureText(text).width;
  (texts[this.canvas.id] ??= []).push([text, x - width, x, y]);
  fill.call(this, text, x, y);
};
"""


def test_words_in_a_plot_stay_apart_and_inside(browser: Browser, water: Path, tmp_path: Path) -> None:
    text, levels = water.read_text(encoding="utf-8"), [["random play", 0.1], ["the trained agent's evaluation", 0.3]]
    start = text.index('"levels":') + len('"levels":')
    end = text.index("]", start) + 1
    wanted = [{"name": name, "value": value} for name, value in levels]
    (tmp_path / "near.html").write_text(text[:start] + json.dumps(wanted) + text[end:], encoding="utf-8")
    browser.open(tmp_path / "near.html", before=WORDS)
    browser.run("tidepool.clock.paused = true; tidepool.session.results.push({ value: 2.5e6, human: false })")
    browser.until("texts.returns?.some(([text]) => text.length > 6 && Number(text) > 1e6)")
    found = browser.run("return texts.returns")
    assert {text for text, *_ in found} > {name for name, _ in levels}
    assert min(left for _, left, *_ in found) >= 0
    for (one, left, right, y), (other, left2, right2, y2) in combinations(found, 2):
        apart = right <= left2 or right2 <= left or abs(y - y2) >= 12
        assert apart or not {one, other} <= {name for name, _ in levels}, (one, other)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that ends before the episode does."""
    rules = players.rules_for("CartPole-v1", None)
    session = open_session(Options(seed=3), None, rules)
    path = tmp_path_factory.mktemp("cut") / "cut.html"
    path.write_text(recording.make(session, rules, "random", steps=6), encoding="utf-8")
    session.env.close()
    return path


def test_a_recording_that_was_cut_does_not_say_that_the_episode_is_over(browser: Browser, cut: Path) -> None:
    browser.open(cut)
    browser.run("tidepool.go(6)")
    browser.until("document.querySelector('#reward').textContent.startsWith('the recording ends here')")


def test_errors_of_others_do_not_end_a_page(browser: Browser, water: Path) -> None:
    browser.open(water)
    for message, source in (("null is no object", "chrome-extension://abc/a.js"), ("ResizeObserver loop limit", "")):
        browser.run("window.onerror(...arguments)", message, source)
        assert browser.shows("#app")
    browser.run("window.onerror('x is not a function', location.href)")
    assert not browser.shows("#app")


def test_charts_of_a_report_can_be_read_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", [17.0, 19.0])
    words: list[Any] = ["--runs-dir", tmp_path / "runs", "--env-id", V1, "--report", tmp_path / "report.html"]
    compare.main([str(word) for word in words])
    browser.open(tmp_path / "report.html", 400, 850)
    assert browser.run("return document.documentElement.scrollWidth") == 400
    browser.until("document.querySelector('figure img').complete")
    shown, whole = browser.run("const i = document.querySelector('figure img'); return [i.width, i.naturalWidth]")
    assert shown == whole > 400
    assert browser.run("return document.querySelector('figure').scrollWidth") == whole
