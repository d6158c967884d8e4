"""The film of a training run: which agents, the same world for all, and the scores at the end."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from envs.drawing import picture as pixels
from learning.trainer import Trainer
from tests.learning.helpers import trainer
from tests.viewer.helpers import CARTPOLE, RLDEMO, V1, Known, session_in
from viewer.drawing import water
from viewer.drawing.canvas import Canvas, Written
from viewer.drawing.theme import Theme
from viewer.video import film, record
from viewer.video.film import Milestone, Renderer, SideBySide


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Trainer]:
    made = trainer(tmp_path, CARTPOLE)
    yield made
    made.episodes.close()


def side_by_side(count: int = 4, env_id: str = V1, seed: int = 3, **options: Any) -> SideBySide:
    titles = ("0 %", "1 %", "10 %", "100 %")[-count:]
    steps = (0, 8_000, 80_000, 800_000)[-count:]
    actions = 2 if env_id == CARTPOLE else 5 if env_id == RLDEMO else 4
    sessions = [
        session_in(env_id, Known(np.roll(np.arange(actions), number)), seed=seed, **options)  # type: ignore[arg-type]
        for number in range(count)
    ]
    return SideBySide([Milestone(*one, Path()) for one in zip(titles, steps, strict=True)], sessions, env_id, "")


def save(run: Trainer, agent_steps: int, folder: Path) -> None:
    run.agent.steps = agent_steps
    run.save_agent(folder)


def titles(run: Trainer) -> tuple[list[tuple[str, int]], list[str]]:
    found, missing = film.find_milestones(run.run_folder.path)
    return [(one.title, one.agent_steps) for one in found], missing


# which agents


def test_the_agents_of_a_run_as_it_trains(run: Trainer) -> None:
    folder = run.run_folder
    with pytest.raises(UserError, match="no agent here yet"):
        titles(run)
    save(run, 4, folder.agent)  # stopped after its first steps
    assert titles(run) == ([("0.2 %", 4)], ["0 %", "1 %", "10 %", "100 %"])
    shutil.rmtree(folder.agent)
    save(run, 0, folder.milestone(0))
    assert titles(run) == ([("0 %", 0)], ["1 %", "10 %", "100 %"])
    save(run, 20, folder.milestone(1))
    save(run, 200, folder.milestone(10))
    save(run, 200, folder.agent)  # an evaluation's, of the same step: shown once
    assert titles(run) == ([("0 %", 0), ("1 %", 20), ("10 %", 200)], ["100 %"])
    save(run, 1_000, folder.agent)
    assert titles(run) == ([("0 %", 0), ("1 %", 20), ("10 %", 200), ("50 %", 1_000)], ["100 %"])
    save(run, 2_000, folder.agent)
    assert titles(run) == ([("0 %", 0), ("1 %", 20), ("10 %", 200), ("100 %", 2_000)], [])


def test_an_older_run_has_its_last_agent_only(run: Trainer) -> None:
    save(run, 2_000, run.run_folder.agent)
    assert titles(run) == ([("100 %", 2_000)], ["0 %", "1 %", "10 %"])
    (run.run_folder.agent / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: not readable"):
        titles(run)


# the picture


def test_all_have_the_same_world_and_act_on_their_own() -> None:
    shown = side_by_side()
    first, *others = shown.sessions
    assert all(np.array_equal(first.obs, other.obs) for other in others)
    renderer = Renderer(shown)
    pictures = worlds(renderer)
    assert all(np.array_equal(pictures[0], other) for other in pictures)
    for session in shown.sessions:
        for _ in range(10):
            session.step()
    assert len({session.history[-1].action for session in shown.sessions}) == 4
    pictures = worlds(renderer)
    assert not np.array_equal(pictures[0], pictures[1])


def worlds(renderer: Renderer) -> list[Any]:
    """Return each world as it is drawn now."""
    renderer.draw()
    return [pixels(renderer.surface.subsurface(_box(place))) for place in renderer.places]


def _box(place: Any) -> tuple[int, int, int, int]:
    """Return the pixels well within a place, whatever its fractional part."""
    return round(place.x) + 2, round(place.y) + 2, int(place.w) - 4, int(place.h) - 4


@pytest.mark.parametrize(("count", "env_id"), [(1, V1), (2, RLDEMO), (3, CARTPOLE), (4, V1)])
def test_the_cards_lie_side_by_side_and_keep_the_aspect_ratio(count: int, env_id: str) -> None:
    shown = Renderer(side_by_side(count, env_id))
    frame = shown.draw()
    width, height = shown.size
    assert frame.shape == (height, width, 3)
    assert width % 2 == height % 2 == 0
    assert width <= film.WIDEST
    shape = {V1: 700 / 500, RLDEMO: 700 / 500, CARTPOLE: 600 / 400}[env_id]
    for card, place in zip(shown.cards, shown.places, strict=True):
        assert place.w / place.h == pytest.approx(shape)
        assert card.x < place.x
        assert place.right < card.right <= width - film.MARGIN + 1
        assert card.bottom < height
    assert all(one.right < other.x for one, other in itertools.pairwise(shown.cards))
    assert tuple(frame[2, 2]) == Theme.background


def test_the_scores_stand_over_the_worlds_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Renderer(side_by_side())
    plain = shown.draw().copy()
    written: list[Written] = []
    monkeypatch.setattr(Canvas, "written", written)
    final = shown.draw(final=True)
    x, y, w, h = _box(shown.places[0])
    assert final[y : y + h, x : x + w].mean() < 0.7 * plain[y : y + h, x : x + w].mean()
    texts = [one for one in written if one.text == "0"]
    assert max(one.pixels for one in texts if one.display) == film.FINAL
    bottom = round(shown.places[0].bottom) + 5
    np.testing.assert_array_equal(plain[bottom:], final[bottom:])


# the film


def test_a_gif_shows_all_and_then_the_scores_for_a_second(tmp_path: Path) -> None:
    path, shown = tmp_path / "a.gif", side_by_side(2)
    frames = film.make(shown, path, steps=40)
    assert frames == 21 + 17  # the start, one each 60 ms, and a second
    assert [session.score.steps for session in shown.sessions] == [40, 40]
    with Image.open(path) as image:
        assert image.n_frames == frames  # type: ignore[attr-defined]
        image.seek(frames - 1)
        last = np.asarray(image.convert("RGB")).astype(int)
    with water.flat(True):  # as in every GIF
        assert np.abs(last - Renderer(shown).draw(final=True)).mean() < 0.5


def test_finished_worlds_wait_for_the_others(tmp_path: Path) -> None:
    """CartPole ends soon, and not for all at the same step; none restarts."""
    shown = side_by_side(2, CARTPOLE)
    frames = film.make(shown, tmp_path / "a.gif", steps=500, fps=50)
    scores = [session.score for session in shown.sessions]
    assert all(score.finished and score.episode == 0 and score.steps < 500 for score in scores)
    assert frames == max(score.steps for score in scores) + 1 + 50
    assert shown.returns_text() == f"returns: 10 % {scores[0].episode_return:g}, 100 % {scores[1].episode_return:g}"


def test_a_png_is_the_end(tmp_path: Path) -> None:
    shown = side_by_side()
    assert film.make(shown, tmp_path / "a.png", steps=20) == 1
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), Renderer(shown).draw(final=True))


def test_stopped_early_the_film_is_complete_up_to_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def stopped() -> Iterator[threading.Event]:
        flag = threading.Event()
        flag.set()
        yield flag

    monkeypatch.setattr(record, "stop_flag", stopped)
    with pytest.raises(KeyboardInterrupt):
        film.make(side_by_side(1), tmp_path / "a.gif", steps=40)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 1 + 17  # type: ignore[attr-defined]


def test_where_a_film_goes_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert film.default_path(tmp_path) == tmp_path / "videos" / "training.gif"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert film.default_path(tmp_path) == tmp_path / "videos" / "training.mp4"
