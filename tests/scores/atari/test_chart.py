"""The human-normalised chart and the learning curves: what is drawn, where, and how it is distinguished."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from common.errors import UserError
from scores import AtariComparison, AtariSelection, atari_comparison, comparisons, figure, read
from scores.atari import chart as atari_chart
from scores.atari import curves as atari_curves
from scores.atari import profile as atari_profile
from tests.scores.helpers import atari_run


def published(*agents: str, games: tuple[str, ...] = ()) -> AtariComparison:
    found = atari_comparison(read(Path("no such folder")), AtariSelection(agents=agents, games=games))
    assert found is not None
    return found


@pytest.fixture
def own(tmp_path: Path) -> AtariComparison:
    for seed, score in ((1, 16.0), (2, 18.0)):
        atari_run(tmp_path, "Pong", [score], seed=seed, earlier=[-20.0 + seed])
    atari_run(tmp_path, "Breakout", [10.0], earlier=[2.0])
    found = atari_comparison(read(tmp_path))
    assert found is not None
    return found


def drawn(one: AtariComparison) -> Figure:
    figure = Figure(figsize=(atari_chart.width(one), atari_chart.height(one)), layout="constrained")
    FigureCanvasAgg(figure)
    atari_chart.draw_into(figure, one)
    return figure


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_a_bar_per_game_sorted_with_human_level_as_a_line() -> None:
    figure = drawn(published("dqn_mnih2015"))
    (axes,) = figure.axes
    widths = [bar.get_width() for bar in bars(axes)]
    assert len(widths) == 49
    assert widths == sorted(widths, reverse=True)
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the best on top"
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert (labels[0], labels[-1]) == ("VideoPinball", "MontezumaRevenge")
    assert widths[labels.index("Breakout")] == pytest.approx(100 * (401.2 - 1.7) / (31.8 - 1.7))
    assert [line.get_xdata()[0] for line in axes.lines] == [0, 100]  # type: ignore[index]
    assert axes.get_xscale() == "symlog"
    assert (axes.get_xlim()[0] < 0, axes.get_xlim()[1] > widths[0]) == (True, True)


def test_above_and_below_human_differ_in_more_than_colour() -> None:
    (axes,) = drawn(published("dqn_mnih2015")).axes
    above = {(bar.get_hatch() or "") for bar in bars(axes) if bar.get_width() >= 100}
    below = {(bar.get_hatch() or "") for bar in bars(axes) if bar.get_width() < 100}
    assert (above, below) == ({""}, {"////"})
    numbers = {text.get_text(): text.get_fontweight() for text in axes.texts}
    assert (numbers["101 %"], numbers["97 %"]) == ("bold", "normal")


def test_the_title_has_the_protocol_and_the_footnotes_the_differences() -> None:
    figure = drawn(published("dqn_mnih2015", "rainbow"))
    texts = [text.get_text() for part in figure.subfigs for text in part.texts]
    assert any("(30- and 5-minute episodes)" in text for text in texts)
    assert any("Two human baselines" in text for text in texts)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["dqn_mnih2015", "rainbow"]
    subtitle = "\n".join(text.get_text() for text in figure.axes[0].texts)
    assert "human level in 23 of 49 games" in subtitle
    assert "no sticky actions, evaluation, 200 million frames" in subtitle


def test_panels_share_their_games_and_show_missing_scores() -> None:
    figure = drawn(published("dqn_mnih2015", "rainbow", "iqn"))
    assert [len(bars(axes)) for axes in figure.axes] == [49, 54, 57]
    gaps = [sum(text.get_text() == "no score" for text in axes.texts) for axes in figure.axes]
    assert gaps == [8, 3, 0]
    assert [atari_chart._across(count) for count in (1, 3, 4, 5, 6, 7, 9, 12)] == [1, 3, 4, 3, 3, 4, 3, 4]


TWELVE = (
    "VideoPinball",
    "Atlantis",
    "Breakout",
    "Boxing",
    "Pong",
    "Qbert",
    "Skiing",
    "MontezumaRevenge",
    "Pitfall",
    "Solaris",
    "Defender",
    "Alien",
)


@pytest.mark.parametrize(("agents", "games"), [(("dqn_mnih2015",), ()), (("dqn", "c51", "muzero", "btr"), TWELVE)])
def test_nothing_overlaps(agents: tuple[str, ...], games: tuple[str, ...]) -> None:
    """Names of games, numbers and ticks each have room of their own."""
    figure = drawn(published(*agents, games=games))
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    figure.draw(renderer)
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        numbers = [text for text in axes.texts if "\n" not in text.get_text()]
        for labels in (axes.get_yticklabels(), axes.get_xticklabels(), numbers):
            boxes = [label.get_window_extent(renderer) for label in labels if label.get_text()]
            for place, box in enumerate(boxes):
                assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -1, "outside the picture"
                for other in boxes[place + 1 :]:
                    across = min(box.x1, other.x1) - max(box.x0, other.x0)
                    down = min(box.y1, other.y1) - max(box.y0, other.y0)
                    # a quarter of a line's height may be shared: its upper and lower edge are empty
                    assert across <= 0 or down <= 0.25 * box.height, (agents, box, other)
        assert axes.get_window_extent(renderer).height > 0.5 * height, "the bars have most of the picture"


def test_few_games_and_several_players_have_a_panel_per_game(own: AtariComparison) -> None:
    figure = drawn(own)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Pong", "Breakout"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["dqn cpu", "dqn", "rainbow"]
    assert figure.axes[0].texts[-1].get_text() == "random -20.7, human 14.6"
    ends = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert [list(np.asarray(line.get_xdata())) for line in ends] == [pytest.approx([3670 / 35.3, 3870 / 35.3])]


def test_a_few_games_of_ours_are_above_all_games_of_the_others(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [10.0])
    atari_run(tmp_path, "Breakout", [10.0])
    found = atari_comparison(read(tmp_path), AtariSelection(agents=("rainbow", "iqn")))
    assert found is not None
    first, second = atari_chart.groups(found)
    assert [(panel.title, len(panel.bars)) for panel in first] == [("Pong", 3), ("Breakout", 3)]
    assert [(panel.title, len(panel.bars)) for panel in second] == [("rainbow", 57), ("iqn", 57)]
    figure = drawn(found)
    assert [len(bars(axes)) for axes in figure.axes] == [3, 3, 54, 57]
    widths = [bar.get_width() for bar in bars(figure.axes[2])]
    assert widths == sorted(widths, reverse=True), "the full panels have their own order"
    assert any("dqn cpu: dqn_zoo (no sticky" in text.get_text() for part in figure.subfigs for text in part.texts)


def test_scales(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [10.0])
    atari_run(tmp_path, "Breakout", [0.0])
    found = atari_comparison(read(tmp_path), AtariSelection(agents=("dqn",), games=("Pong", "MsPacman")))
    assert found is not None
    assert {axes.get_xscale() for axes in drawn(found).axes} == {"linear"}
    assert {axes.get_xscale() for axes in drawn(published("muzero")).axes} == {"symlog"}
    (axes,) = drawn(published("muzero")).axes
    lowest = min(bar.get_width() for bar in bars(axes))
    assert axes.get_xlim()[0] < lowest < -100, "scores below random are drawn, not cut"


def test_no_human_normalised_score(tmp_path: Path) -> None:
    atari_run(tmp_path, "AirRaid", [10.0])
    found = atari_comparison(read(tmp_path))
    assert found is not None
    figure = drawn(found)
    assert "no Atari score with a human baseline" in figure.texts[0].get_text()


def test_learning_curves_have_the_mean_of_the_seeds(own: AtariComparison) -> None:
    pong, breakout = atari_curves.panels(own)
    assert (pong.game, breakout.game) == ("Pong", "Breakout")
    (line,) = pong.lines
    assert (line.name, line.seeds) == ("dqn cpu", 2)
    assert list(line.frames) == [1_000_000, 2_000_000]
    assert list(line.mean) == [-18.5, 17.0]
    assert line.low is not None
    assert list(line.low) == [-19.0, 16.0], "of two seeds, a quarter of the resamples has twice the lower one"
    assert breakout.lines[0].low is None
    assert pong.levels == {"random": -20.7, "human": 14.6}
    assert pong.published["dopamine_dqn_cnn"][10_000_000] == 1.1245
    assert max(pong.published["dopamine_dqn_cnn"]) == 10_000_000, "a little further than ours, not 200 million"


def test_seeds_evaluated_at_different_frames_are_interpolated(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [10.0], seed=1, agent_steps=500_000, earlier=[0.0])
    other = atari_run(tmp_path, "Pong", [10.0], seed=2, agent_steps=500_000, earlier=[-10.0])
    evaluations = (other / "eval.csv").read_text()  # the earlier one a little before that of seed 1
    (other / "eval.csv").write_text(evaluations.replace(",250000,1000000,", ",200000,800000,"))
    found = atari_comparison(read(tmp_path))
    assert found is not None
    (line,) = atari_curves.panels(found)[0].lines
    # both are known from 1 million (seed 1's first) to 2 million; at 1.0 seed 2, which goes from 0.8 to 2 million, is
    # a sixth of the way from -10 to 10
    assert list(line.frames) == [1_000_000, 2_000_000]
    assert list(line.mean) == pytest.approx([(0 - 20 / 3) / 2, (10 + 10) / 2])


def test_a_run_evaluated_once_shows_its_training_returns(tmp_path: Path) -> None:
    folder = atari_run(tmp_path, "Pong", [10.0], earlier=[])
    (folder / "metrics.csv").write_text(
        "agent_steps,frames,episodic_return\n100,400,-21\n200,800,\n300,1200,-19.5\n400,1600,nan\nx\n500,2000,-18"
    )
    found = atari_comparison(read(tmp_path))
    assert found is not None
    (line,) = atari_curves.panels(found)[0].lines
    assert (list(line.frames), list(line.mean), line.training) == ([400, 1200], [-21, -19.5], True)
    (folder / "metrics.csv").unlink()
    assert atari_curves.panels(found) == []


def test_profiles_are_over_the_common_games() -> None:
    shown, games = atari_profile.profiles(published("dqn_mnih2015", "rainbow"))
    assert (set(shown), games) == ({"dqn_mnih2015", "rainbow"}, 46)
    profile = shown["dqn_mnih2015"]
    assert profile.low is None
    at_human = int(np.argmin(abs(profile.thresholds - 1)))
    # 23 of its 49 games are at human level; rainbow lacks three of the 49, of which Jamesbond is one of the 23
    assert profile.fraction[at_human] == pytest.approx(22 / 46)
    assert atari_profile.profiles(published("dqn")) == ({}, 0)
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    atari_profile.draw_into(figure, shown, games)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [300, 300, 2]  # type: ignore[arg-type]


def test_curves_differ_in_more_than_colour() -> None:
    assert len({(dash, marker) for _, dash, marker in atari_curves.STYLES}) == len(atari_curves.STYLES)


def test_the_whole_figure(own: AtariComparison, tmp_path: Path) -> None:
    environments, _ = comparisons(tmp_path)
    path = tmp_path / "scores.png"
    figure.save(environments, own, path)
    pixels = imread(path)[..., :3]
    assert pixels.shape[1] == 1650
    assert 0.02 < (pixels.min(-1) < 0.9).mean() < 0.6, "neither empty nor black"
    with pytest.raises(UserError, match=r"allowed: \.png, \.pdf, \.svg"):
        figure.save(environments, own, tmp_path / "scores.gif")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
