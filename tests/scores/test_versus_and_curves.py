"""Two sets of runs against each other; learning curves of any environment; runs named by patterns."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import compare
from common.errors import UserError
from scores import curves
from scores.runs import find_runs
from scores.selection import runs_named
from scores.versus import as_format, versus
from tests.scores.helpers import V1, atari_run, make_run


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Three seeds each of two agents in Waterworld, and of one of them in CartPole too; the scores are by hand."""
    for seed, (mine, theirs) in enumerate(((10.0, 1.0), (20.0, 15.0), (30.0, 2.0)), 1):
        make_run(tmp_path, [mine], agent="dqn", seed=seed)
        make_run(tmp_path, [theirs], agent="pqn", seed=seed)
    make_run(tmp_path, [500.0], agent="dqn", env_id="CartPole-v1")
    return tmp_path


def test_probability_and_difference_by_hand(two: Path) -> None:
    found = versus(runs_named(["*__dqn__*"], two), runs_named(["*__pqn__*"], two))
    (duel,) = found.duels
    assert (duel.env_id, duel.first, duel.second) == (V1, "dqn (3 seeds)", "pqn (3 seeds)")
    assert duel.means == (20.0, 6.0)
    assert duel.difference == 14.0
    assert duel.improvement.probability == pytest.approx(8 / 9)  # of 9 pairs only 10 against 15 is lost
    assert duel.difference_ci95 is not None
    assert duel.difference_ci95[0] < 14.0 < duel.difference_ci95[1]
    assert found.overall is None
    assert any("Fewer than 5 seeds" in remark for remark in found.remarks)


def test_several_environments_have_an_overall_probability(two: Path) -> None:
    make_run(two, [400.0], agent="pqn", env_id="CartPole-v1")
    found = versus(runs_named(["*__dqn__*"], two), runs_named(["*__pqn__*"], two))
    assert [one.env_id for one in found.duels] == ["CartPole-v1", V1]
    assert found.duels[0].difference_ci95 is None  # one seed
    assert found.overall is not None
    assert found.overall.probability == pytest.approx((1 + 8 / 9) / 2)
    text = as_format("table", found)
    assert "Over 2 environments: P(A > B) 0.94" in text
    rows = list(csv.DictReader(io.StringIO(as_format("csv", found))))
    assert rows[1]["P(A > B)"] == "0.89"
    assert json.loads(as_format("json", found))["overall"]["games"] == 2
    assert as_format("markdown", found).startswith("| environment | A | B |")


def test_unlike_runs_and_unfinished_ones_are_not_pooled(two: Path) -> None:
    make_run(two, [99.0], agent="dqn", seed=4, config={"total_timesteps": 10**6})
    make_run(two, [50.0], agent="dqn", seed=5, config={"learning_rate": 1e-3, "total_timesteps": 1000})
    found = versus(runs_named(["tidepool*__dqn__*"], two), runs_named(["*__pqn__*"], two))
    assert sorted(one.first for one in found.duels) == [
        "dqn, learning-rate 0.0005 (3 seeds)",
        "dqn, learning-rate 0.001 (1 seed)",
    ]
    assert "1 unfinished run left out." in found.remarks


def test_nothing_in_common_is_one_line(two: Path) -> None:
    with pytest.raises(UserError, match="no environment in which both have a finished run: CartPole-v1; "):
        versus(runs_named(["CartPole*"], two), runs_named(["*__pqn__*"], two))


def test_compare_versus(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(["*__dqn__*", "--versus", "*__pqn__*", "--runs-dir", str(two)])
    printed = capsys.readouterr().out
    assert "dqn (3 seeds)" in printed
    assert "0.89" in printed


def test_runs_are_named_by_path_pattern_name_or_folder_of_a_sweep(two: Path, tmp_path: Path) -> None:
    names = [path.name for path in find_runs("*__pqn__*", two)]
    assert len(names) == 3
    assert [path.name for path in find_runs(str(two / "*__pqn__*"), Path("none"))] == names
    assert find_runs(names[0], two) == [two / names[0]]
    folder = make_run(two / "sweep" / "some_configuration", [1.0], agent="c51")
    assert find_runs("sweep", two) == find_runs(str(two / "sweep"), two) == [folder]
    about = json.loads((folder / "config.json").read_text())
    moved = two / names[1]
    (moved / "config.json").write_text(json.dumps(about | {"name": "second try"}))
    assert find_runs("second*", two) == [moved]
    with pytest.raises(UserError, match="no run folder 'nothing'"):
        find_runs("nothing", two)


def test_runs_as_an_option(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(["--runs", "*__pqn__*", "--runs-dir", str(two), "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["environments"][V1]["rows"]
    names = {row["name"] for row in rows if row["kind"] == "run"}
    assert names == {"pqn seed 1", "pqn seed 2", "pqn seed 3", "pqn, mean of 3 seeds"}


def test_one_run_takes_fewer_than_50_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for env_id in (V1, "CartPole-v1"):
        make_run(tmp_path / env_id, [1.0, 2.0], env_id=env_id)
        compare.main(["--runs-dir", str(tmp_path / env_id)])
        assert len(capsys.readouterr().out.splitlines()) < 50
    atari_run(tmp_path / "atari", "Pong", [20.0])
    compare.main(["--runs-dir", str(tmp_path / "atari")])
    assert len(capsys.readouterr().out.splitlines()) < 50


# ------------------------------------------------------------------ learning curves


def test_curves_are_means_over_seeds_with_a_band(tmp_path: Path) -> None:
    for seed, early in ((1, 0.0), (2, 10.0)):
        make_run(tmp_path, [20.0, 30.0], seed=seed, earlier=[early], env_id="CartPole-v1")
    make_run(tmp_path, [7.0], agent="pqn", env_id="CartPole-v1", earlier=[3.0])
    both, alone = curves.lines(runs_named([], tmp_path))
    assert (list(both.frames), list(both.mean)) == ([500, 1000], [5.0, 25.0])
    assert both.low is not None
    assert both.high is not None
    assert (both.low[0], both.high[0]) == (0.0, 10.0)
    assert (alone.name, alone.low, list(alone.mean)) == ("pqn", None, [3.0, 7.0])


def test_the_picture_of_several_environments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for env_id in (V1, "CartPole-v1", "ALE/Pong-v5"):
        for seed in (1, 2):
            make_run(tmp_path, [20.0, 30.0 + seed], seed=seed, env_id=env_id)
    figure = curves.draw(runs_named([], tmp_path))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert titles == [f"{env_id}; band: 95 % over seeds" for env_id in ("ALE/Pong-v5", "CartPole-v1", V1)]
    assert all(axes.get_lines() for axes in figure.axes[:3])
    path = tmp_path / "curves.png"
    compare.main(["--runs-dir", str(tmp_path), "--env-id", "CartPole-v1", "--curves", str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"curves: {path}" in capsys.readouterr().err


def test_no_curves(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0], earlier=[])
    with pytest.raises(UserError, match="no run has been evaluated twice"):
        curves.draw(runs_named([], tmp_path))
