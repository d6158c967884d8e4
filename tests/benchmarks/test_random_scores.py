"""Random play: rows that are continued are those of one go, whatever was killed in between."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import random_scores
from benchmarks.random_scores import Player, alike, joined, measure, missing, read, seconds_left, versions, write

GAME = "ALE/Breakout-v5"  # random games of it take a hundred actions


def without_time(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name != "cpu_s"}


def test_a_row_that_is_continued_is_that_of_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_scores, "CHUNK", 2)
    parts, once = tmp_path / "parts.csv", tmp_path / "once.csv"
    measure(GAME, ["dqn_zoo"], 3, parts)
    assert measure(GAME, ["dqn_zoo"], 7, parts) == {"dqn_zoo": read(parts)[GAME, "dqn_zoo"]}
    measure(GAME, ["dqn_zoo"], 7, once)
    first, second = (read(path)[GAME, "dqn_zoo"] for path in (parts, once))
    for name, value in without_time(first).items():
        if name in ("mean", "standard_deviation", "ci95_low", "ci95_high", "mean_length"):
            assert float(value) == pytest.approx(float(second[name]), abs=2e-3 if name != "mean_length" else 0.1)
        else:
            assert value == second[name]
    assert first["episodes"] == "7"


def test_mean_deviation_and_interval_by_hand() -> None:
    """1, 2, 3 and then 6: mean 3, squares 50 - 4 * 9 = 14, deviation sqrt(14 / 3), t(3) = 3.182."""
    row = joined(None, GAME, "dqn_zoo", [(1.0, 10), (2.0, 20), (3.0, 30)], 1.0)
    assert (row["mean"], row["standard_deviation"], row["mean_length"]) == ("2.0", "1.0", "20.0")
    row = joined(row, GAME, "dqn_zoo", [(6.0, 40)], 0.5)
    assert (row["episodes"], row["mean"], row["mean_length"], row["cpu_s"]) == ("4", "3.0", "25.0", "1.5")
    assert float(row["standard_deviation"]) == pytest.approx((14 / 3) ** 0.5, abs=1e-3)
    assert float(row["ci95_high"]) == pytest.approx(3 + 3.182 * (14 / 3) ** 0.5 / 2, abs=1e-2)


def test_a_row_of_other_libraries_is_measured_anew() -> None:
    row = joined(None, GAME, "dqn_zoo", [(1.0, 10)], 1.0)
    again = joined({**row, "versions": "ale-py 0.1"}, GAME, "dqn_zoo", [(5.0, 10)], 1.0)
    assert (again["episodes"], again["mean"], again["versions"]) == ("1", "5.0", versions()[0])


def test_what_is_missing_and_how_long_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "random.csv"
    row = joined(None, GAME, "dqn_zoo", [(1.0, 10), (2.0, 10)], 4.0)  # 2 seconds a game
    write({(GAME, "dqn_zoo"): row}, path)
    left = missing(["Breakout", "Pong"], ["dqn_zoo"], 2, path)
    assert left == [("ALE/Pong-v5", "dqn_zoo")]
    left = missing(["Breakout"], ["dqn_zoo", "machado2018"], 5, path)
    assert left == [(GAME, "dqn_zoo"), (GAME, "machado2018")]
    assert seconds_left(left, 5, path) == pytest.approx(3 * 2 + 5 * 2)
    left = missing(["Breakout"], ["dqn_zoo", "mnih2015"], 5, path)  # the first three of these come by the way
    assert seconds_left(left, 5, path) == pytest.approx(5 * 2)


@pytest.mark.parametrize("protocol", random_scores.PROTOCOLS)
def test_an_episode_depends_on_nothing_but_its_number(protocol: str) -> None:
    player = Player(GAME, [protocol])
    both = [player.play(0), player.play(1)]
    assert Player(GAME, [protocol]).play(1) == both[1]
    assert both[0] != both[1]


def test_protocols_that_play_alike() -> None:
    """The same no-ops, actions and no sticky ones; where a game knows no FIRE, without that too."""
    assert alike(GAME, "dqn_zoo") == alike(GAME, "mnih2015")
    assert alike("ALE/MsPacman-v5", "dqn_zoo") == alike("ALE/MsPacman-v5", "gallici2024")
    others = ("gallici2024", "machado2018", "clark2024", "mnih2015-10hz")
    assert len({alike(GAME, protocol) for protocol in ("dqn_zoo", *others)}) == 5


def test_a_game_that_is_shared_is_that_of_each_protocol_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at frames 201 and 330, in the midst of an action, and not at all."""
    names, real = ("mnih2015", "dqn_zoo", "gallici2024"), random_scores.rules
    caps = dict(zip(names, (201, 330, 100_000), strict=True))
    monkeypatch.setattr(random_scores, "rules", lambda name: real("dqn_zoo")._replace(frame_cap=caps[name]))
    both = Player(GAME, names)
    for episode in range(4):
        assert both.play(episode) == {name: Player(GAME, [name]).play(episode)[name] for name in names}
    assert len({both.play(3)[name] for name in names}) == 3


def test_a_row_that_is_behind_catches_up_before_games_are_shared(tmp_path: Path) -> None:
    path, alone = tmp_path / "random.csv", tmp_path / "alone.csv"
    measure(GAME, ["dqn_zoo"], 2, path)
    measure(GAME, ["dqn_zoo", "mnih2015"], 4, path)
    for protocol in ("dqn_zoo", "mnih2015"):
        measure(GAME, [protocol], 4, alone)
        found, expected = (read(one)[GAME, protocol] for one in (path, alone))
        assert found["episodes"] == "4"
        assert float(found["mean"]) == pytest.approx(float(expected["mean"]), abs=2e-3)


@pytest.mark.parametrize(
    ("differs", "commit"), [(" M results/random.csv\n", "abc"), (" M results/random.csv\n M envs/atari.py\n", "abc+")]
)
def test_rows_that_were_written_do_not_make_the_code_another(
    differs: str, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = SimpleNamespace(stdout=differs)
    monkeypatch.setattr("benchmarks.random_scores.subprocess.run", lambda *words, **options: done)
    assert random_scores.committed("abc+") == commit
    assert random_scores.committed("abc") == "abc"


def test_the_reference_s_rules() -> None:
    assert random_scores.rules("mnih2015-10hz")[:3] == (6, 5 * 60 * 60, 0.0)
    assert random_scores.rules("machado2018") == (4, 30 * 60 * 60, 0.25, 0, False)
    assert random_scores.rules("gallici2024").fire
