"""The Atari section of the results: what its chart, its table and its sentences say follows from the rows."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from common.files import ROOT
from docs import ablations, atari_charts, atari_results
from docs.atari_results import Line
from scores.atari import atari5
from scores.atari.normalization import published
from scores.atari.table import percent

RESULTS = ROOT / "results"
TWENTY = (
    *atari5.GAMES,
    *("Pong", "Breakout", "SpaceInvaders", "Freeway", "Boxing", "BeamRider", "Enduro", "Seaquest", "Assault"),
    *("Asterix", "CrazyClimber", "RoadRunner", "KungFuMaster", "Krull", "Jamesbond"),
)


def line(game: str, *levels: float, agent: str = "pqn") -> Line:
    """Return the line of a game whose seeds have these human-normalised scores."""
    low, high = published("random", game), published("human", game)
    seeds = {number: low + level * (high - low) for number, level in enumerate(levels, 1)}
    return Line(game, agent, "cpu", "dqn_zoo", "cpu", 8_000_000, seeds, (100,) * len(levels), (30.0,) * len(levels))


def summary(monkeypatch: pytest.MonkeyPatch, *found: Line) -> list[str]:
    ordered = tuple(sorted(found, key=lambda one: -(one.level or 0.0)))
    monkeypatch.setattr(atari_results, "lines", lambda *path: ordered)
    return atari_results.atari_summary().splitlines()


def test_how_many_are_above_human_and_below_random(monkeypatch: pytest.MonkeyPatch) -> None:
    head, _, above, _, five = summary(
        monkeypatch, line("Pong", 1.0, 1.2, 1.4), line("Breakout", 0.5), line("Boxing", -0.2)
    )
    assert head.startswith("**3 games, 5 runs** of pqn, preset `cpu`: 8 million frames each, protocol `dqn_zoo`")
    assert head.endswith("Of the 57 games that have a human score, 54 were not trained.")
    assert above == "- At human level or above in **1 of 3 games**; below random play in 1: Boxing."
    assert five.endswith("yet: BattleZone, DoubleDunk, NameThisGame, Phoenix, Qbert missing.")


def test_medians_with_and_without_the_games_of_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All: 1.2, 0.8, 0.5, 0.1, median 0.65; of several seeds 1.2 and 0.8: 1.0."""
    games = [line("Pong", 1.0, 1.2, 1.4), line("Breakout", 0.7, 0.9), line("Boxing", 0.5), line("Enduro", 0.1)]
    medians = summary(monkeypatch, *games)[3]
    assert medians == (
        "- Median human-normalised score over all 4: **65 %**; without the games of one seed, so over the 2 games with"
        " several: 100 %."
    )
    assert "every game has one seed only" in summary(monkeypatch, *games[2:])[3]
    assert "without" not in summary(monkeypatch, *games[:2])[3]


def test_the_estimate_of_five_games_has_an_interval_and_its_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    text = summary(monkeypatch, *(line(game, 0.5, 1.0) for game in atari5.GAMES))[-1]
    estimate = atari5.estimate(dict.fromkeys(atari5.GAMES, 0.75))
    assert estimate is not None
    fresh = estimate.fit.fresh_error
    low, high = (((1 + 100 * estimate.median) * factor - 1) / 100 for factor in (1 / fresh, fresh))
    assert f"**{estimate.median:.0%}** ({low:.0%} to {high:.0%}".replace("%", " %") in text
    by_seed = [atari5.estimate(dict.fromkeys(atari5.GAMES, level)) for level in (0.5, 1.0)]
    assert ", ".join(f"{one.median:.0%}".replace("%", " %") for one in by_seed if one is not None) in text
    first, *others = atari5.GAMES
    single = [line(game, 0.5) for game in others]
    assert summary(monkeypatch, line(first, 0.5), *single)[-1].endswith("; one seed).")
    assert summary(monkeypatch, line(first, 0.5, 1.0), *single)[-1].endswith("; 1 to 2 seeds a game).")
    assert "Phoenix missing." in summary(monkeypatch, *(line(g, 0.5) for g in atari5.GAMES if g != "Phoenix"))[-1]


def test_the_chart_shows_every_game_with_its_seeds_below_random_too() -> None:
    found = [
        line(game, *((1.5 - 0.1 * place, 1.7 - 0.1 * place)[: 2 - place % 2])) for place, game in enumerate(TWENTY)
    ]
    figure = atari_charts.draw_atari(found)
    (axes,) = figure.axes
    assert len(axes.patches) == len(found)
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert widths == pytest.approx([100 * (one.level or 0.0) for one in found])
    assert min(widths) < 0
    assert axes.get_xlim()[0] < min(widths)
    words = [text.get_text() for text in axes.texts]
    assert words.count("2 seeds") == 10
    assert words.count("1 seed") == 10
    assert "Q*bert" in [label.get_text() for label in axes.get_yticklabels()]
    assert figure.get_suptitle().endswith("6 of 20 games at human level")
    rings = [one for one in axes.lines if one.get_marker() == "o"]
    assert len(rings) == 10


def test_intervals_are_cut_at_the_edge_and_one_far_game_makes_the_scale_logarithmic() -> None:
    (axes,) = atari_charts.draw_atari([line("Pong", 0.1, 9.0), line("Breakout", 0.2)]).axes
    assert axes.get_xscale() == "symlog"
    left, right = axes.get_xlim()
    black = [np.asarray(one.get_xdata(), np.float64) for one in axes.lines if one.get_color() == "black"]
    assert any(len(ends) == 2 for ends in black)
    assert all(left <= end <= right for ends in black for end in ends)


def test_without_rows_there_is_a_chart_that_says_so_and_no_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert atari_results.lines(tmp_path / "none.csv") == ()
    monkeypatch.setattr(atari_results, "lines", lambda *path: ())
    assert atari_results.atari_chart() == atari_results.chart_text() == ""
    assert atari_results.atari_summary() == "No game has been measured yet."
    assert atari_charts.draw_atari([]).axes[0].texts[0].get_text() == "no game has been measured yet"


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(game: str, agent: str, seed: int, score: float, **more: object) -> dict[str, object]:
    return {
        **{"env_id": f"ALE/{game}-v5", "agent": agent, "preset": "cpu", "seed": seed, "protocol": "dqn_zoo"},
        **{"device": "cpu", "frames": 400_000, "episode": 0, "episode_return": score, "wall_s": 1800},
        **more,
    }


def test_rows_become_lines_of_one_length_each(tmp_path: Path) -> None:
    rows = [row("Pong", "pqn", 1, 10.0), row("Pong", "pqn", 1, 20.0), row("Pong", "pqn", 2, 21.0)]
    rows += [row("Pong", "pqn", 1, 3.0, device="cuda", frames=8_000_000), row("Breakout", "pqn", 1, 1.7)]
    found = atari_results.lines(write(tmp_path / "atari.csv", rows))
    assert [(one.game, one.device, one.seeds, one.episodes) for one in found] == [
        ("Pong", "cpu", {1: 15.0, 2: 21.0}, (2, 1)),
        ("Pong", "cuda", {1: 3.0}, (1,)),
        ("Breakout", "cpu", {1: 1.7}, (1,)),
    ]
    assert [one.device for one in atari_results.charted(tmp_path / "atari.csv")] == ["cuda"]  # one length: the longest


def test_replay_agents_have_a_table_once_they_are_measured(tmp_path: Path) -> None:
    assert atari_results.atari_replay(tmp_path / "none.csv") == ""
    rows = [row("Breakout", "dqn", 1, 1.7), row("Pong", "dqn", 1, 14.6), row("Pong", "rainbow", 1, -20.7)]
    assert atari_results.atari_replay(write(tmp_path / "one.csv", rows[:2])) == ""  # beside what?
    text = atari_results.atari_replay(write(tmp_path / "atari_replay.csv", rows))
    assert text.startswith("### At equal wall-clock time")
    assert "; one seed each. Highest" in text
    assert "Highest mean over the games that all have played: `dqn`." in text
    assert "| game | random | human | `dqn` | `rainbow` |" in text
    assert "| Breakout | 1.7 | 30.5 | 1.7 (0 %), 0.1M steps in 30 min | - |" in text
    assert "| Pong | -20.7 | 14.6 | 14.6 (100 %), 0.1M steps in 30 min | -20.7 (0 %), 0.1M steps in 30 min |" in text
    assert "| **mean of Pong** |  |  | 100 % | 0 % |" in text  # over what all have played
    unknown = [row("Tetris", agent, 1, 5.0) for agent in ("dqn", "rainbow")]  # no human score, so not in the mean
    more = atari_results.atari_replay(write(tmp_path / "unknown.csv", rows + unknown))
    assert "| Tetris | - | - | 5.0, 0.1M steps in 30 min | 5.0, 0.1M steps in 30 min |" in more
    assert "| **mean of Pong** |  |  | 100 % | 0 % |" in more
    apart = atari_results.atari_replay(write(tmp_path / "apart.csv", [rows[0], rows[2]]))
    assert "| Pong | -20.7 | 14.6 |" in apart
    assert "mean" not in apart


def test_zero_has_no_sign() -> None:
    """Rainbow's -20.82 in Pong, where random play has -20.7, was "-0 %" of human."""
    assert percent(-0.0034) == "0 %"
    assert percent(-0.0051) == "-1 %"
    assert (atari_results.points(-0.04), atari_results.points(-0.05)) == ("0.0", "-0.1")


def test_every_run_s_curve_ends_in_its_score() -> None:
    """results/atari_curves.csv beside results/atari.csv; curves of the oldest runs were not kept."""
    curves = atari_results.read_curves()
    scores = {one.game: one.seeds for one in atari_results.charted()}
    assert curves
    for game, seeds in curves.items():
        for seed, points in seeds.items():
            assert points[-1][1] == pytest.approx(scores[game][seed], rel=1e-4)
    assert len(atari_charts.draw_curves().axes) >= len(curves)


def test_an_ablation_is_read_back_from_its_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ablations.read(tmp_path / "none.csv") is None
    common = {"env_id": "tidepool/Waterworld-v1", "agent": "btr", "preset": "default", "agent_steps": 300_000}
    common |= {"frames": 300_000, "protocol": "waterworld-1000", "wall_s": 60}
    scores = {"full": (10.0, 20.0), "without noisy": (12.0, 16.0), "without n_step": (4.0, 8.0)}
    rows = [
        {"variant": name, **common, "seed": seed, "episode_return": score}
        for name, both in scores.items()
        for seed, score in enumerate(both, 1)
    ]
    write(tmp_path / "ablation_btr.csv", rows)
    monkeypatch.setattr(ablations, "RESULTS", tmp_path)
    found = ablations.read(tmp_path / "ablation_btr.csv")
    assert found is not None
    assert [one.name for one in found.variants] == ["full", "without n_step", "without noisy"]  # the largest loss first
    differences = [one.difference.mean for one in found.variants if one.difference]
    assert differences == [-9.0, -1.0]  # (4 - 10 + 8 - 20) / 2, (12 - 10 + 16 - 20) / 2
    text = ablations.ablation("btr")
    assert text.startswith("## btr in tidepool/Waterworld-v1: what each part is worth")
    assert text.endswith("](/docs/ablation_btr.png)")
    assert ablations.draw("btr").axes
    assert ablations.ablation("rainbow") == ""
