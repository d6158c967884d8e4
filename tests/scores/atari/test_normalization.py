"""The Atari tables and human-normalised scores: published aggregates, names, damaged files."""

from __future__ import annotations

import math
import shutil
import statistics
from pathlib import Path

import pytest

from common.errors import UserError
from envs.protocols import ATARI
from scores.atari import normalization
from scores.atari.published import AGENTS_FILE, CURVES_FILE, SCORES_FILE, SOURCES_FILE, load
from scores.references import DATA


def _normalised(agent: str, baseline: str = "atari57") -> list[float]:
    scores = load().scores[agent].items()
    return [
        normalization.human_normalised(score, game, baseline)
        for game, score in scores
        if normalization.has_human(game, baseline)
    ]


@pytest.mark.parametrize(
    ("agent", "percent"),
    [("dqn", 79), ("double_dqn", 118), ("dueling_ddqn", 151), ("c51", 178), ("qr_dqn", 211)],
)
def test_the_medians_that_the_papers_state(agent: str, percent: int) -> None:
    values = _normalised(agent)
    assert len(values) == 57
    assert round(100 * statistics.median(values)) == percent


def test_the_sentence_in_mnih2015() -> None:
    """Mnih et al. 2015: "more than 75% of the human score on more than half of the games (29 games)"."""
    values = _normalised("dqn_mnih2015", "mnih2015")
    assert (len(values), sum(value > 0.75 for value in values)) == (49, 29)


def test_normalised_scores_by_hand() -> None:
    # Pong, 57 games: random -20.7, human 14.6; (20 + 20.7) / (14.6 + 20.7) = 40.7 / 35.3
    assert normalization.human_normalised(20.0, "Pong") == pytest.approx(40.7 / 35.3)
    assert normalization.human_normalised(20.0, "ALE/Pong-v5", "atari57") == pytest.approx(40.7 / 35.3)
    # in the baseline of Mnih et al. 2015: random -20.7, human 9.3
    assert normalization.human_normalised(20.0, "Pong", "mnih2015") == pytest.approx(40.7 / 30.0)
    # the record in Breakout is 864, random 1.7
    assert normalization.record_normalised(400.0, "Breakout") == pytest.approx(398.3 / 862.3)


@pytest.mark.parametrize("baseline", ["atari57", "mnih2015"])
def test_humans_are_one_and_random_play_is_zero(baseline: str) -> None:
    base = normalization.BASELINES[baseline]
    assert len(load().scores[base.human]) == base.games
    for game in load().scores[base.human]:
        assert normalization.human_normalised(normalization.published(base.human, game), game, baseline) == 1
        assert normalization.human_normalised(normalization.published(base.random, game), game, baseline) == 0


def test_the_two_baselines_are_not_the_same() -> None:
    long, short = load().scores["human"], load().scores["human_mnih2015"]
    assert set(short) < set(long)
    beyond_rounding = [game for game in short if abs(short[game] - long[game]) > 1e-3 * abs(short[game])]
    assert len(beyond_rounding) == 33


def test_unknown_names_raise_with_the_nearest_and_never_give_nan() -> None:
    with pytest.raises(UserError, match=r"unknown Atari game 'Pnog'; did you mean Pong"):
        normalization.human_normalised(1.0, "Pnog")
    with pytest.raises(UserError, match=r"unknown Atari game 'ALE/MsPackman-v5'; did you mean .*MsPacman"):
        normalization.human_normalised(1.0, "ALE/MsPackman-v5")
    with pytest.raises(UserError, match="unknown published agent 'rainbw'; did you mean rainbow"):
        normalization.published("rainbw", "Pong")
    with pytest.raises(UserError, match="unknown human baseline 'mnih'; did you mean mnih2015"):
        normalization.human_normalised(1.0, "Pong", "mnih")
    with pytest.raises(UserError, match="no score of rainbow in UpNDown"):
        normalization.published("rainbow", "UpNDown")
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="a score of"):
            normalization.human_normalised(value, "Pong")


def test_games_without_a_human_score() -> None:
    with pytest.raises(UserError, match="no score of human in AirRaid"):
        normalization.human_normalised(1.0, "AirRaid")
    with pytest.raises(UserError, match="no score of human_mnih2015 in Berzerk"):
        normalization.human_normalised(1.0, "Berzerk", "mnih2015")
    with pytest.raises(UserError, match="no score of human_world_record in Surround"):
        normalization.record_normalised(1.0, "Surround")
    assert normalization.human_or_none(1.0, "AirRaid", "atari57") is None
    assert normalization.human_or_none(1.0, "Adventure", "atari57") is None, "ale-py has it, the tables don't"
    assert normalization.record_or_none(1.0, "Adventure") is None
    assert normalization.human_or_none(14.6, "Pong", "atari57") == 1


def test_ids_and_games() -> None:
    assert normalization.game_of("ALE/MsPacman-v5") == "MsPacman"
    assert normalization.env_id_of("MsPacman") == "ALE/MsPacman-v5"
    for other in ("tidepool/Waterworld-v1", "CartPole-v1", "ALE/Pong-v4", "xALE/Pong-v5", "ALE/Pong-v5x", "Pong"):
        assert normalization.game_of(other) is None
    assert normalization.find_game("Adventure", more=("Adventure",)) == "Adventure"


def test_protocols_have_the_baseline_with_the_same_protocol() -> None:
    assert {name: (one.baseline, one.sticky) for name, one in normalization.PROTOCOLS.items()} == {
        "machado2018": ("atari57", True),
        "mnih2015": ("mnih2015", False),
        "dqn_zoo": ("atari57", False),
        "gallici2024": ("atari57", False),
        "clark2024": ("atari57", True),
    }
    assert set(normalization.PROTOCOLS) == set(ATARI)
    variant = normalization.protocol("mnih2015-full")
    assert (variant.baseline, variant.known) == ("mnih2015", False)
    assert "a variant of mnih2015" in variant.description
    odd = normalization.protocol("my own")
    assert (odd.baseline, odd.sticky, odd.known) == ("atari57", None, False)


def test_every_number_has_an_agent_and_a_source() -> None:
    tables = load()
    assert sum(map(len, tables.scores.values())) == 1926
    assert sum(len(curve.points) for curves in tables.curves.values() for curve in curves.values()) == 7912
    for agent, by_game in tables.scores.items():
        assert all(tables.sources[agent][game] for game in by_game)
        assert tables.agents[agent].protocol
    for by_agent in (tables.scores, tables.curves):
        assert set(by_agent) <= set(tables.agents)
    assert tables.sources["dqn_mnih2015"]["Pong"].startswith(
        "Mnih et al. 2015 Nature 518:529 Extended Data Table 2; std 1.3;"
    )


def test_the_source_of_a_curves_point() -> None:
    curve = load().curves["dopamine_dqn_cnn"]["Pong"]
    assert curve.source(10_000_000) == (
        "google/dopamine baselines/atari/data/pong_CNN.json iteration 9, mean of 5 seeds, training return, sticky 0.25"
    )
    curves = [curve for by_game in load().curves.values() for curve in by_game.values()]
    fewer = [(curve, frames) for curve in curves for frames in curve.seeds]
    assert len(fewer) == 29
    assert all(
        "mean of 4 seeds" in curve.source(frames) or "mean of 3 seeds" in curve.source(frames)
        for curve, frames in fewer
    )
    assert load().curves["btr"]["Pong"].source(50_000_000).endswith("column 50M Frames, mean of 100 episodes")


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (SCORES_FILE, "game,agent,score", "game,agent,scores", "line 1: column 'score' is missing"),
        (SCORES_FILE, ",random,579.25,", ",random,abc,", "line 2, column 'score': 'abc' can't be parsed"),
        (SCORES_FILE, ",random,579.25,", ",random,nan,", "line 2, column 'score': 'nan'"),
        (SCORES_FILE, "Alien,random,", "Alien,randon,", "line 3, column 'agent': 'randon' is not known"),
        (SCORES_FILE, "Alien,random,227.8,random_2,", "Alien,random,227.8", "line 3, column 'source': 5 cells"),
        (SCORES_FILE, "Alien,random,227.8,random_2,", "Alien,random,227.8,random_2,,x", "line 3, column 'after"),
        (SCORES_FILE, "227.8,random_2", "227.8,nowhere", "line 3, column 'source': 'nowhere' is not known"),
        (CURVES_FILE, "525.8888", "5.2.5", "line 2, column '1000000': '5.2.5'"),
        (CURVES_FILE, ",1000000,", ",1M,", "column '1M': is neither"),
        (CURVES_FILE, "seeds_but_5,", "", "column 'seeds_but_5' is missing"),
        (AGENTS_FILE, ",57,200000000,no", ",57,many,no", "column 'frames': 'many'"),
        (AGENTS_FILE, ",57,200000000,no", ",57,200000000,maybe", "column 'sticky_actions': 'maybe' is not known"),
        (AGENTS_FILE, ",atari57,training", ",atari58,training", "column 'baseline': 'atari58' is not known"),
        (SOURCES_FILE, "source,text", "source,words", "column 'text' is missing"),
    ],
)
def test_a_damaged_table_says_file_line_and_column(file: str, old: str, new: str, fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load(folder)
    assert fault in str(caught.value)
    assert str(folder / file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", [SCORES_FILE, CURVES_FILE, AGENTS_FILE, SOURCES_FILE])
def test_a_missing_table_is_named(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    (folder / file).unlink()
    with pytest.raises(UserError, match=f"{file}: not readable"):
        load(folder)
    (folder / file).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=f"{file}: not readable"):
        load.__wrapped__(folder)


def test_the_tables_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.csv")) < 600_000
