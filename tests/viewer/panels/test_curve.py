"""The learning curve: what is drawn of a run's metrics.csv, over which references; empty, resumed, evaluating."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pygame
import pytest

from common.files import write_json
from learning import live
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests.learning.helpers import trainer
from tests.viewer.helpers import V1, color_at, session_in, view_of
from tests.viewer.panels.test_senses import count, drawn_texts, painted, stays_inside
from tests.viewer.playing.test_attach import attached, training
from viewer.drawing.canvas import Area
from viewer.drawing.theme import Theme
from viewer.panels import View
from viewer.panels.curve import FOOT, HEAD, CurvePanel
from viewer.panels.pieces import MARGIN
from viewer.panels.plots import Scale, gutter
from viewer.panels.score import widest_tag
from viewer.playing import marks
from viewer.playing.learning_curve import MOST, LearningCurve, Point
from viewer.playing.marks import Mark

__all__ = ["drawn_texts"]
PANEL = CurvePanel()
PLACE = Area(12, 12, 420, 260)
TOTAL = 2_000  # agent steps of the run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Trainer]:
    """A run in Waterworld that has not started."""
    made = trainer(tmp_path, V1)
    settings = {"config": {"hidden": [16], "total_timesteps": TOTAL}}
    write_json(made.run_folder.path / "config.json", {**made.run_folder.config, **settings})
    yield made
    made.run_folder.close()
    made.episodes.close()


def watching(run: Trainer) -> View:
    """Return a view that is attached to the run."""
    view = view_of(session_in(V1), V1)
    view.live, view.runs_dir = attached(run), run.run_folder.path.parent
    return view


def look(view: View, area: Area = PLACE) -> pygame.Surface:
    assert view.live is not None
    view.live.poll()
    return painted(PANEL, view, area)


def place_of(view: View, point: Point, low: float, high: float) -> tuple[float, float]:
    """Return where a point lies: computed from the axis that reaches around the values from low to high."""
    scale = Scale.around(low, high, 3)
    known = marks.marks_of(view.env_id, "", view.runs_dir)
    left, right = PLACE.x + MARGIN + gutter(scale), PLACE.right - MARGIN - widest_tag(known)
    top, bottom = PLACE.y + HEAD, PLACE.bottom - FOOT
    return left + point.agent_steps / TOTAL * (right - left), bottom - scale.place(point.value) * (bottom - top)


def test_evaluations_are_dots_where_their_numbers_say(run: Trainer, drawn_texts: list[str]) -> None:
    view = watching(run)
    for steps, value in ((500, 3.0), (1_000, 12.0), (1_500, 9.0)):
        run.run_folder.log({"agent_steps": steps, "frames": steps, "eval_return": value})
    surface = look(view)
    random, karpathy = (mark.value for mark in marks.marks_of(V1, "", view.runs_dir))
    for point in (Point(500, 3.0), Point(1_000, 12.0), Point(1_500, 9.0)):
        x, y = place_of(view, point, min(random, 3.0), max(karpathy, 12.0))
        assert color_at(surface, x, y) == Theme.agent
        assert color_at(surface, x, y - 6) != Theme.agent
    assert {"Learning curve", "evaluated 9", "training", "evaluations", "2,000 steps", "0"} <= set(drawn_texts)


def test_training_is_a_pale_line_between_its_numbers(run: Trainer, drawn_texts: list[str]) -> None:
    view = watching(run)
    run.run_folder.log({"agent_steps": 0, "frames": 0, "episodic_return": 4.0})
    run.run_folder.log({"agent_steps": 200, "frames": 200, "td_loss": 0.5})  # no episode has ended since
    run.run_folder.log({"agent_steps": 1_000, "frames": 1_000, "episodic_return": 4.0})
    surface = look(view)
    random, karpathy = (mark.value for mark in marks.marks_of(V1, "", view.runs_dir))
    begin, y = place_of(view, Point(0, 4.0), random, karpathy)
    end, _ = place_of(view, Point(1_000, 4.0), random, karpathy)
    band = Area(PLACE.x, y - 2, PLACE.w, 4)
    columns = [
        x for x in range(int(PLACE.x), int(PLACE.right)) if count(surface, band._replace(x=x, w=1), Theme.agent_pale)
    ]
    assert (columns[0], columns[-1]) == (round(begin), round(end))
    assert len(columns) == columns[-1] - columns[0] + 1  # without a gap
    assert "in training 4" in drawn_texts


def test_references_are_dashed_lines_with_names(run: Trainer, drawn_texts: list[str]) -> None:
    view = watching(run)
    known = marks.marks_of(V1, "", view.runs_dir)
    assert [mark.name for mark in known] == ["random", "Karpathy's"]
    surface = look(view)
    assert {"random", "Karpathy's"} <= set(drawn_texts)
    for mark in known:
        x, y = place_of(view, Point(0, mark.value), known[0].value, known[1].value)
        row = [color_at(surface, at, y) == Theme.soft for at in range(round(x), round(x) + 70)]
        assert row.count(True) == 40  # ten dashes, 3 to 4 px wide, 7 px apart
        assert row[:14] == [True] * 4 + [False] * 3 + [True] * 4 + [False] * 3


def test_an_empty_run_has_axes_and_says_so(run: Trainer, drawn_texts: list[str]) -> None:
    view = watching(run)
    surface = look(view)
    assert "no episode has ended yet" in drawn_texts
    assert {"0", "2,000 steps", "random"} <= set(drawn_texts)
    plot = Area(PLACE.x + 60, PLACE.y + HEAD, PLACE.w - 60, PLACE.h - HEAD)
    assert count(surface, plot, Theme.agent) == count(surface, plot, Theme.agent_pale) == 0
    assert not [text for text in drawn_texts if text.startswith(("evaluated", "in training"))]


def test_without_references_and_numbers_there_is_still_a_plot(
    run: Trainer, drawn_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viewer.panels.curve.marks_of", lambda *_: ())
    look(watching(run))
    assert "no episode has ended yet" in drawn_texts


def test_a_resumed_run_goes_on_from_where_it_was_cut(run: Trainer) -> None:
    folder, view = run.run_folder, watching(run)
    for steps in (100, 200):
        folder.log({"agent_steps": steps, "frames": steps, "episodic_return": 1.0})
    kept = folder.positions()
    folder.log({"agent_steps": 300, "frames": 300, "episodic_return": 8.0})
    folder.log({"agent_steps": 300, "frames": 300, "eval_return": 8.0})
    assert view.live is not None
    view.live.poll()
    assert len(view.live.curve.training) == 3
    folder.close()
    again = RunFolder(folder.path)  # another process resumes the run, and this window stays open
    again.cut(kept)
    again.log({"agent_steps": 250, "frames": 250, "episodic_return": 2.0})
    view.live.poll()
    again.log({"agent_steps": 350, "frames": 350, "episodic_return": 3.0})
    again.log({"agent_steps": 450, "frames": 450, "episodic_return": 4.0})
    again.close()
    view.live.poll()
    assert view.live.curve.training == [
        Point(100, 1.0),
        Point(200, 1.0),
        Point(250, 2.0),
        Point(350, 3.0),
        Point(450, 4.0),
    ]
    assert view.live.curve.evaluations == []  # what was evaluated after the cut did not happen


def test_an_evaluation_in_progress_has_a_bar(run: Trainer, drawn_texts: list[str]) -> None:
    view = watching(run)
    with training(run):
        for finished, text in ((0, "evaluating: episode 1 of 20"), (5, "evaluating: episode 6 of 20")):
            write_json(run.run_folder.live / live.EVALUATION, {"finished": finished, "episodes": 20})
            drawn_texts.clear()
            surface = look(view)
            assert text in drawn_texts
            assert "evaluations" not in drawn_texts  # the legend has made room
            track = Area(PLACE.x + MARGIN + 10, PLACE.y + 42, PLACE.w - 2 * MARGIN - 10, 1)
            filled, empty = (count(surface, track, color) for color in (Theme.agent, Theme.track))
            # the text is blue too, but antialiased: hardly any of its pixels have the whole colour in that row
            assert filled / (filled + empty) == pytest.approx(finished / 20, abs=0.1)
        (run.run_folder.live / live.EVALUATION).unlink()
        drawn_texts.clear()
        look(view)
        assert "evaluations" in drawn_texts


def test_it_is_drawn_again_only_when_there_is_something_new(run: Trainer, drawn_texts: list[str]) -> None:
    view = watching(run)
    look(view)
    drawn_texts.clear()
    look(view)
    assert drawn_texts == []
    run.run_folder.log({"agent_steps": 100, "frames": 100, "episodic_return": 5.0})
    look(view)
    assert "in training 5" in drawn_texts


def test_there_is_no_card_without_a_run() -> None:
    assert PANEL.height(view_of(session_in(V1), V1)) == 0.0


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0])
def test_nothing_is_drawn_outside_the_card(run: Trainer, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    far = (Mark("random", -20.7), Mark("human", 14.6), Mark("you, best", 1_000_000.0))
    monkeypatch.setattr("viewer.panels.curve.marks_of", lambda *_: far)
    view = watching(run)
    run.run_folder.log({"agent_steps": 100, "frames": 100, "episodic_return": -5e8, "eval_return": 3e9})
    assert view.live is not None
    view.live.poll()
    for area in (PLACE, Area(12, 12, 240, PANEL.height(view))):
        view.forget()
        assert stays_inside(PANEL, view, area, scale)


def test_a_long_run_keeps_its_shape_in_few_points() -> None:
    curve = LearningCurve()
    for steps in range(3 * MOST):
        curve.add({"agent_steps": str(steps), "episodic_return": str(steps % 7)})
    assert len(curve.training) <= MOST
    assert (curve.training[0].agent_steps, curve.training[-1].agent_steps) == (0, 3 * MOST - 1)
    assert len(curve.training) > MOST / 2


@pytest.mark.parametrize("cell", ["", "nan", "inf", "x", "1" * 400])
def test_cells_that_are_no_numbers_are_left_out(cell: str) -> None:
    curve = LearningCurve()
    curve.add({"agent_steps": "5", "episodic_return": cell if len(cell) < 400 else "-inf"})
    curve.add({"agent_steps": cell if len(cell) < 400 else "", "episodic_return": "1"})
    assert (curve.training, curve.evaluations) == ([], [])
