"""The window in every size: nothing overlaps, nothing leaves it, and all that is written can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pygame
import pytest

import envs
from common.errors import UserError
from common.files import PRETRAINED, write_json
from tests.learning.helpers import trainer
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, V1, Known, NoQValues, session_in, view_of
from viewer import commands, layout, opening, screen, settings
from viewer.drawing.canvas import LARGEST, SMALLEST, Area, Canvas, Fonts, Written
from viewer.drawing.theme import DARK, LIGHT, Theme
from viewer.layout import RANKS, natural_size, scale_of
from viewer.learning import controls
from viewer.learning.online_learner import OnlineLearner
from viewer.options import Options, check
from viewer.panels import PANELS, View, overlays, truth
from viewer.panels.control import ControlPanel
from viewer.panels.learning import LearningPanel
from viewer.panels.world import NAME_HEIGHT
from viewer.playing import players
from viewer.playing.attach import LiveAgent
from viewer.playing.human_control import HumanControl
from viewer.playing.keys import keys_for
from viewer.playing.tour import EACH, FIRST, HINTS, PAUSE, Tour
from viewer.playing.versus import Versus
from viewer.window import within

SIZES = [
    *((480, 360), (600, 500), (640, 480), (700, 1000), (800, 600), (1024, 768), (1100, 700), (1280, 720)),
    *((1366, 768), (1464, 836), (1080, 1920), (1900, 1040), (1920, 1080), (2560, 1080), (2560, 1440)),
]


def pretrained(name: str, steps: int = 120) -> View:
    policy: Any = players.load(PRETRAINED / name)
    rules = players.rules_for(policy.env_id, policy)
    session = opening.open_session(Options(seed=3), policy, rules)
    view = opening.open_view(Options(panels="all"), session, rules)
    for _ in range(steps):
        session.step()
    return view


def learner() -> View:
    learner = OnlineLearner.fresh("dqn", CARTPOLE, seed=1)
    learner.learning = True
    view = view_of(session_in(CARTPOLE, learner), CARTPOLE)  # type: ignore[arg-type]
    for _ in range(40):
        view.session.step()
    return view


def versus() -> View:
    against = Versus(lambda: envs.make(V1, render_mode="rgb_array"), Known(Q4), seed=3)
    view = view_of(against.agent)
    view.versus, view.human_control = against, HumanControl(against.human, keys_for(against.human.action_names))
    return view


def watching(folder: Path) -> View:
    """Return a view that is attached to a run which is evaluated."""
    run = trainer(folder, V1)
    write_json(run.run_folder.path / "config.json", run.run_folder.config | {"config": {"hidden": [16]}})
    for steps in range(0, 900_000, 90_000):
        run.run_folder.log({"agent_steps": steps, "frames": steps, "episodic_return": steps / 30_000})
    run.run_folder.log({"agent_steps": 900_000, "frames": 900_000, "eval_return": 28.5})
    view = view_of(session_in(V1, Known(Q4)))
    view.live = LiveAgent(run.run_folder.path, follow=False)
    view.live._evaluation = (3, 100)
    view.live._update_status()
    run.run_folder.close()
    run.episodes.close()
    return view


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, View]:
    return {
        "waterworld": pretrained("waterworld"),
        "rainbow": pretrained("waterworld_rainbow"),
        "rldemo": view_of(session_in(RLDEMO, Known(range(5))), RLDEMO),
        "a random player": view_of(session_in(CARTPOLE, NoQValues((0.0, 1.0))), CARTPOLE),
        "a human": view_of(session_in(V1), V1, locked=True),
        "a learner": learner(),
        "versus": versus(),
        "attached": watching(tmp_path_factory.mktemp("runs")),
    }


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    found: list[Written] = []
    monkeypatch.setattr(Canvas, "written", found)
    return found


def apart(a: Area, b: Area) -> bool:
    return a.right <= b.x + 0.01 or b.right <= a.x + 0.01 or a.bottom <= b.y + 0.01 or b.bottom <= a.y + 0.01


def inside(a: Area, b: Area, by: float = 0.6) -> bool:
    return a.x >= b.x - by and a.right <= b.right + by and a.y >= b.y - by and a.bottom <= b.bottom + by


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_cards_never_overlap_and_text_fits_them(
    views: dict[str, View], written: list[Written], size: tuple[int, int]
) -> None:
    for name, view in views.items():
        places = screen.layout(view, size)
        areas = [places.header, places.world, places.bar, places.footer, *(area for _, area in places.panels)]
        assert all(apart(a, b) for a, b in combinations(areas, 2)), name
        assert all(inside(area, places.whole) for area in areas), name
        written.clear()
        view.forget()
        screen.draw(pygame.Surface(size, depth=24), Fonts(), view, places)
        names = Area(places.world.x, places.world.y - NAME_HEIGHT, places.world.w, NAME_HEIGHT)
        areas += [names] if view.versus is not None else []
        for line in written:
            assert SMALLEST <= line.pixels <= LARGEST or line.display, (name, line)
            assert not line.cut, (name, line)
            assert any(inside(line.place, area, 1.5) for area in areas), (name, line)
        assert {panel.name for panel, _ in places.panels} >= {"control"}, name
        lines = sorted(written, key=lambda line: line.place.x)
        for one, other in combinations(lines, 2):
            beside = other.place.x >= one.place.right - 1.5
            assert beside or abs(one.place.y - other.place.y) > 6 or one.text == other.text, (name, one, other)


def test_large_windows_show_the_curve_of_the_score() -> None:
    view = pretrained("waterworld", 20)
    view.asked, view.hidden = [], {"neurons"}
    for size in ((1900, 1040), (1464, 836)):
        panel, area = next((panel, area) for panel, area in screen.layout(view, size).panels if panel.name == "score")
        assert area.h >= panel.whole(view, area.w) > panel.height(view, area.w)


def test_the_score_of_a_game_has_its_curve_on_a_small_laptop() -> None:
    """There the panels do not fit in their order, but in another one they do."""
    pytest.importorskip("ale_py")
    view = pretrained("pong", 20)
    view.asked, view.hidden = [], {"neurons"}
    places = screen.layout(view, (1366, 768))
    names = [panel.name for panel, _ in places.panels]
    assert not places.left_out
    assert names[0] == "control"
    assert names.index("senses") < names.index("score")  # across the columns; within each they keep their order
    panel, area = next((panel, area) for panel, area in places.panels if panel.name == "score")
    assert area.h >= panel.whole(view, area.w)


def test_the_name_of_a_games_neuron_is_not_cut(written: list[Written]) -> None:
    pytest.importorskip("ale_py")
    view = pretrained("pong", 20)
    view.asked, view.hidden = ["neurons"], set()
    screen.draw(pygame.Surface((1728, 955), depth=24), Fonts(), view)
    assert any("neuron" in line.text for line in written)
    assert not any(line.cut for line in written)


def test_what_is_left_out_is_at_the_end_of_the_ranks(views: dict[str, View]) -> None:
    assert set(RANKS) == {panel.name for panel in PANELS}
    view = views["waterworld"]
    for size in SIZES:
        places = screen.layout(view, size)
        shown = {panel.name for panel, _ in places.panels}
        assert shown.isdisjoint(places.left_out)
        assert {"control", "actions"} <= shown
    large = screen.layout(view, (2560, 1440))
    small = screen.layout(view, (800, 600))
    assert len(small.left_out) > len(large.left_out)
    assert large.world.w > small.world.w


def test_a_panel_that_was_asked_for_comes_first(views: dict[str, View]) -> None:
    view = views["waterworld"]
    assert "neurons" in screen.layout(view, (1024, 768)).left_out
    commands.toggle_panel(view, "neurons")  # hides it
    commands.toggle_panel(view, "neurons")
    try:
        assert "neurons" not in screen.layout(view, (1024, 768)).left_out
    finally:
        view.asked = []


def test_the_scale_grows_slowly_and_then_with_the_window() -> None:
    assert scale_of(480, 360) == scale_of(1464, 836) == 1.0
    assert scale_of(2560, 1440) == pytest.approx(1.25)
    assert scale_of(5120, 2880) == pytest.approx(2.5)
    assert 1.0 < scale_of(1920, 1200) < 1.25


def test_the_natural_size_stays_when_panels_are_filmed(views: dict[str, View]) -> None:
    view = views["waterworld"]
    width, height = natural_size(view)
    assert (width % 2, height % 2) == (0, 0)
    hidden, view.hidden = view.hidden, {panel.name for panel in PANELS}
    assert natural_size(view)[0] < width
    view.hidden = hidden


def test_a_window_is_never_larger_than_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pygame.display, "get_desktop_sizes", lambda: [(1366, 768)])
    assert within((1900, 1040)) == (1366, 768)
    assert within((800, 600)) == (800, 600)


# the header


def test_a_learner_that_explores_is_not_said_to_take_the_best_action() -> None:
    view = learner()
    policy: Any = view.session.policy
    assert view.session.epsilon == 0.0  # the session's own, which a learner does not use
    assert ControlPanel().about(view)[0] == f"{policy.name} · 100% random, learning"
    policy.learning = False
    assert ControlPanel().about(view)[0] == f"{policy.name} · best action"


def test_an_environment_may_stand_before_learn(tmp_path: Path) -> None:
    options = Options(run="RLDemo-v0", learn="dqn", runs_dir=tmp_path)
    check(options)
    found = opening._online_learner(options)
    assert found.env_id == RLDEMO
    with pytest.raises(UserError, match=r"pretrained/pong is no environment.*press L"):
        opening._online_learner(Options(run="pretrained/pong", learn="dqn", runs_dir=tmp_path))
    with pytest.raises(UserError, match="two players"):
        check(Options(agent_file=Path("x"), learn="dqn"))


# the tour, the themes, the truth meter's sentence


def test_every_hint_has_its_turn_once() -> None:
    session = session_in(policy=Known(Q4))
    tour, shown = Tour(session), []
    for _ in range(round(2 * (FIRST + len(HINTS) * (EACH + PAUSE)))):
        tour.tick(0.5)
        if tour.text and tour.text not in shown:
            shown.append(tour.text)
    assert shown == [hint.text.replace("{pause}", "Space") for hint in HINTS]
    assert tour.seen == [hint.name for hint in HINTS]
    again = Tour(session, tour.seen)
    again.tick(FIRST + 1)
    assert again.text == ""


def test_the_hint_on_pauses_names_the_key_that_pauses() -> None:
    """Space is the fire button of a game's joystick."""
    without = [hint.name for hint in HINTS if hint.name != "time"]
    tour = Tour(session_in(policy=Known(Q4)), without=without, pause="P")
    tour.tick(FIRST + 0.1)
    assert tour.text.startswith("P pauses.")


def test_a_hint_on_expectations_waits_for_a_player_that_has_some() -> None:
    tour = Tour(session_in(policy=NoQValues(Q4)))
    tour.tick(FIRST + 0.1)
    assert tour.text == next(hint.text for hint in HINTS if hint.name == "steer")


def test_hints_that_make_no_sense_are_left_out(views: dict[str, View]) -> None:
    assert commands.without_hints(views["waterworld"]) == set()
    assert commands.without_hints(views["versus"]) == {"learn"}  # L does nothing
    assert commands.without_hints(views["attached"]) == {"learn"}  # L pauses the run's learning
    view = view_of(session_in(policy=Known(Q4)))
    view.hidden = {"truth", "actions", "score"}
    assert {"bars", "truth"} <= commands.without_hints(view)


def test_a_view_has_no_tour_by_itself(views: dict[str, View]) -> None:
    assert all(view.tour is None for view in views.values())


def test_the_theme_changes_all_colours_and_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path))
    view = view_of(session_in(policy=Known(Q4)))
    surface = pygame.Surface((1464, 836), depth=24)
    try:
        screen.draw(surface, Fonts(), view)
        light = surface.get_at((2, 2))
        commands.toggle_theme(view)
        assert Theme.name == DARK
        screen.draw(surface, Fonts(), view)
        assert sum(surface.get_at((2, 2))[:3]) < sum(light[:3]) / 4
        settings.save(view, "worlds", None)
        assert settings.load().theme == DARK
    finally:
        Theme.use(LIGHT)


def test_the_truth_meter_says_what_it_means_when_clicked(views: dict[str, View]) -> None:
    view = views["waterworld"]
    panel = truth.TruthPanel()
    area = Area(0, 0, 400, 180)
    cursor = view.session.timeline.cursor
    panel.press(view, area, 40, 20)
    assert "what the network expected" in view.notice
    assert view.session.timeline.cursor == cursor  # the title is no moment
    view.show_notice("")


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) >= 480], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_help_names_every_key_that_is_not_a_panels(
    views: dict[str, View], written: list[Written], size: tuple[int, int]
) -> None:
    for name, view in views.items():
        view.help = True
        written.clear()
        screen.draw(pygame.Surface(size, depth=24), Fonts(), view)
        view.help = False
        texts = {line.text for line in written}
        rows = {title: group for title, group in overlays.help_groups(view).items() if title != "Panels"}
        for title, group in rows.items():
            assert {title, *(word for row in group for word in row)} <= texts, name
        assert "Panels" in texts
        assert not any(line.cut for line in written), name


# what the layout depends on


def moved(view: View, sizes: list[tuple[int, int]], happens: Callable[[], object]) -> list[tuple[int, int]]:
    """Return the sizes at which something moves a panel."""
    before = [screen.layout(view, size).panels for size in sizes]
    happens()
    return [size for size, panels in zip(sizes, before, strict=True) if screen.layout(view, size).panels != panels]


@pytest.mark.parametrize("name", ["waterworld", "a learner", "rldemo", "a random player"])
def test_no_panel_moves_while_one_watches(views: dict[str, View], name: str) -> None:
    view, sizes = views[name], [(800, 600), (1024, 768), (1366, 768), (1464, 836), (1920, 1080)]
    session, known = view.session, list(view.session.results)

    def an_episode_ends() -> None:
        session.score.finished = True
        session.results.append(session.score)
        session.next_episode()
        session.step()

    def a_person_plays() -> None:
        session.take_over()
        session.step()
        session.hand_back()

    def it_is_looked_back() -> None:
        commands.back(view)
        commands.back(view)

    try:
        assert moved(view, sizes, a_person_plays) == []
        assert moved(view, sizes, an_episode_ends) == []
        assert moved(view, sizes, an_episode_ends) == []
        assert moved(view, sizes, it_is_looked_back) == []
        assert moved(view, sizes, lambda: commands.pause(view)) == []
    finally:
        session.results.clear()
        session.results.extend(known)


def test_stopping_to_learn_changes_no_height(views: dict[str, View]) -> None:
    view = views["a learner"]
    learner: Any = view.session.policy
    widths = range(220, 420, 4)  # at 244 one of the two lines needs a second one
    heights = [LearningPanel().height(view, width) for width in widths]
    try:
        learner.learning = False
        assert [LearningPanel().height(view, width) for width in widths] == heights
    finally:
        learner.learning = True


@pytest.mark.parametrize("size", [(1024, 768), (1366, 768), (1464, 836), (1920, 1080)])
@pytest.mark.parametrize("name", ["waterworld", "a learner"])
def test_hiding_a_panel_takes_no_other_one_away(views: dict[str, View], name: str, size: tuple[int, int]) -> None:
    view = views[name]
    hidden = view.hidden
    try:
        view.hidden = {"neurons"}
        shown = {panel.name for panel, _ in screen.layout(view, size).panels}
        for one in sorted(shown):
            view.hidden = {"neurons", one}
            assert {panel.name for panel, _ in screen.layout(view, size).panels} >= shown - {one}, one
    finally:
        view.hidden = hidden


def test_a_score_has_its_curve_beside_a_panel_that_has_no_room(views: dict[str, View]) -> None:
    """Panels are also put in another order when one of them is left out for want of room."""
    frames = view_of(session_in(V1, Known(Q4)))
    page = layout._Page(frames, 1366, 768, 1.0)
    page.whole = page.dealt = True
    heights = {"control": 300.0, "actions": 200.0, "score": 250.0, "step": 350.0, "senses": 600.0}
    panels = [panel for panel in PANELS if panel.name in heights]
    page._heights = {(panel.name, 340): (heights[panel.name],) * 2 for panel in panels}
    placed = layout._columns(page, panels, Area(0, 0, 340, 600), 2)
    assert {panel.name for panel, _ in placed} == {"control", "actions", "score", "step"}


def test_a_sentence_over_the_world_stays_within_it(views: dict[str, View], monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[Area] = []
    monkeypatch.setattr(Canvas, "rounded", lambda self, area, color, radius: boxes.append(area))
    for name, view in views.items():
        for size in SIZES:
            places = screen.layout(view, size)
            if "truth" in {panel.name for panel, _ in places.panels}:
                boxes.clear()
                overlays._chip(Canvas(pygame.Surface(size), Fonts(), places.size), places.world, truth.explained(view))
                assert inside(boxes[0], places.world), (name, size)


# a run that has ended


def test_a_run_that_has_ended_offers_nothing_to_start(views: dict[str, View]) -> None:
    view = views["attached"]
    assert view.live is not None
    before, panel = view.live._status, LearningPanel()
    ended = "the run has ended, step 900,000"
    try:
        view.live._status = dataclasses.replace(before, text=ended, agent_steps=900_000, is_training=True)
        assert panel.has_button(view)
        assert "L" in {cap for cap, _ in overlays.help_groups(view)["Learn"]}

        view.live._status = dataclasses.replace(view.live._status, is_training=False)
        assert not panel.has_button(view)
        assert panel.status_line(view).startswith(f"{ended}: nothing trains this run now")
        assert "L" not in {cap for cap, _ in overlays.help_groups(view)["Learn"]}
        assert "learn" not in {command.short for command in commands.commands(view)}
        for key in ("l", "]"):
            command = commands.find(view, key, key)
            assert command is not None
            command.run(view)
            if key == "l":
                assert "nothing trains this run now" in view.notice
        assert view.session.epsilon == controls.EPSILONS[1]  # of the player here; no request to a trainer
        assert view.pending.get("epsilon") is None
        assert view.pending.get("learning") is None
        assert controls.learning_rate(view) is None
    finally:
        view.live._status, view.session.epsilon = before, 0.0
        view.show_notice("")
