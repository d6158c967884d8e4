"""Random play as measured beside the reference's."""

from __future__ import annotations

from pathlib import Path

import pytest

from scores import AtariSelection, atari_comparison, comparison, read
from scores.atari import measured
from tests.scores.helpers import atari_run

HEAD = "env_id,episodes,mean,ci95_low,ci95_high,protocol\n"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "random.csv"
    monkeypatch.setattr(measured, "RESULTS", path)
    return path


def test_a_reference_outside_the_interval_is_noted_with_what_chance_is_of_a_human(results: Path) -> None:
    """Krull: random 1,598, human 2,665.5; (2,055 - 1,598) / (2,665.5 - 1,598) = 42.8 %."""
    results.write_text(
        HEAD
        + "ALE/Krull-v5,30,2055,1871,2239,dqn_zoo\n"
        + "ALE/Pong-v5,48,-20.3,-20.7,-20.1,dqn_zoo\n"  # -20.7 lies on the edge
        + "ALE/Breakout-v5,48,9,8,10,mnih2015-10hz\n"  # another protocol
        + "ALE/Boxing-v5,40,1.5,1.0,2.0,dqn_zoo\n"
    )
    (remark,) = measured.remarks(["Krull"])
    assert remark == (
        "Random play of Krull, measured here (protocol dqn_zoo, 30 games): 2,055 ± 184; the reference says 1,598,"
        " outside of that 95 % interval: chance is 42.8 % of human."
    )
    assert measured.remarks(["Pong"]) == measured.remarks(["Breakout"]) == measured.remarks(["Pong", "Breakout"]) == []
    (remark,) = measured.remarks(["Boxing", "Breakout", "Krull", "Pong"])
    # Boxing: random 0.1, human 12.1; 1.4 / 12 = 11.7 %
    assert remark.endswith(
        "in 2 of 3 games (one in twenty would by luck), so 0 % is not chance there:"
        " Krull 2,055 ± 184, reference 1,598 (chance is 42.8 % of human);"
        " Boxing 1.50 ± 0.50, reference 0.1 (chance is 11.7 % of human)."
    )


def test_chance_is_that_of_the_players_own_protocols(results: Path) -> None:
    """Krull by the 49 games with 5 minutes: random 1,598, human 2,395; (1,900 - 1,598) / (2,395 - 1,598) = 37.9 %."""
    results.write_text(
        HEAD
        + "ALE/Krull-v5,100,2055,1871,2239,dqn_zoo\n"
        + "ALE/Krull-v5,100,1600,1500,1700,machado2018\n"
        + "ALE/Krull-v5,100,1900,1800,2000,mnih2015\n"
    )
    assert measured.remarks(["Krull"], ["machado2018"]) == []
    (remark,) = measured.remarks(["Krull"], ["mnih2015", "mnih2015"])
    assert "(protocol mnih2015, 100 games): 1,900 ± 100" in remark
    assert remark.endswith("chance is 37.9 % of human.")
    assert len(measured.remarks(["Krull"], ["mnih2015", "dqn_zoo", "machado2018"])) == 2
    # a variant was not measured, nor what published agents have
    for protocols in (["machado2018-full"], ["not sticky, evaluation"], []):
        assert measured.remarks(["Krull"], protocols) == measured.remarks(["Krull"], ["dqn_zoo"])


def test_the_tables_tell_it_by_the_protocols_of_the_runs(results: Path, tmp_path: Path) -> None:
    results.write_text(HEAD + "ALE/Krull-v5,100,2055,1871,2239,dqn_zoo\nALE/Krull-v5,100,1900,1800,2000,mnih2015\n")
    runs = tmp_path / "runs"
    atari_run(runs, "Krull", [3_000.0], protocol="mnih2015")
    found = atari_comparison(read(runs, None), AtariSelection())
    assert found is not None
    for remarks in (found.remarks, comparison("ALE/Krull-v5", runs).remarks):
        (told,) = [remark for remark in remarks if remark.startswith("Random play")]
        assert "(protocol mnih2015, 100 games): 1,900 ± 100" in told


def test_without_a_file_there_is_no_remark(results: Path) -> None:
    assert measured.measured("Krull") is None
    assert measured.remarks(["Krull", "Pong"]) == []
