"""Rows, their order, and the remarks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from scores import Comparison, Row, comparison, comparisons
from tests.scores.helpers import RLDEMO, V0, V1, human, make_run, write_human_scores


def _row(found: Comparison, name: str) -> Row:
    (row,) = [row for row in found.rows if row.name == name]
    return row


def test_a_run_is_compared_with_the_references_of_the_same_game(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [20.0, 22.0, 27.0], agent_steps=700)
    found = comparison(V1, tmp_path)
    assert found.metric == "return over 1000 steps from a fresh world"
    row = _row(found, "dqn seed 1")
    assert (row.kind, row.mean, row.episodes, row.agent_steps, row.epsilon) == ("run", 23.0, 3, 700, 0.0)
    # squares of deviations 9 + 1 + 16 = 26, variance 13, error sqrt(13 / 3), t(2, 0.975) = 4.3026527
    half = 4.3026527 * math.sqrt(13 / 3)
    assert row.ci95 == pytest.approx((23 - half, 23 + half), abs=1e-6)
    assert str(folder) in row.note
    assert _row(found, "full_information_planner").env_id == V0
    assert _row(found, "karpathy_pretrained_eps_0.05").mean == 21.30
    assert _row(found, "apple_chaser").env_id == V1, "once, and for the same version"
    means = [row.mean for row in found.rows]
    assert means == sorted(means, reverse=True)
    assert any(V0 in remark and "only the observations differ" in remark for remark in found.remarks)


def test_remarks_on_a_single_run(tmp_path: Path) -> None:
    make_run(tmp_path, [20.0, 22.0])
    remarks = " ".join(comparison(V1, tmp_path).remarks)
    assert "One run: its interval is for this one network, not for the algorithm" in remarks
    assert "One seed of dqn: another seed may score very differently" in remarks


def test_below_a_training_only_the_best_of_many_other_runs_are_shown(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, [float(place)], time=f"20261123-1015{place}", config={"learning_rate": place / 100})
        for place in range(10, 40)
    ]
    make_run(tmp_path, [2.0], seed=2, config={"learning_rate": 0.1})
    found = comparison(V1, tmp_path, run=runs[0])
    rows = [row for row in found.rows if row.kind == "run"]
    # the best ten, its own row and the mean of its seeds, 10 and 2
    assert [row.mean for row in rows] == [*range(39, 29, -1), 10.0, 6.0]
    assert found.remarks[-1] == "20 more rows of other runs: compare.py shows all, runs.py lists them."
    assert "; dqn, learning-rate 0.15 and 24 more: another seed may" in " ".join(found.remarks)
    everything = comparison(V1, tmp_path)
    assert len(everything.rows) == len(found.rows) + 20


def test_seeds_are_averaged_with_equal_weight(tmp_path: Path) -> None:
    make_run(tmp_path, [10.0] * 9 + [20.0], seed=1)  # mean 11, from ten episodes
    make_run(tmp_path, [30.0], seed=2)
    make_run(tmp_path, [16.0], seed=3)
    make_run(tmp_path, [99.0], seed=1, preset="long", time="20261123-101531")
    found = comparison(V1, tmp_path)
    row = _row(found, "dqn, mean of 3 seeds")
    assert row.mean == 19.0, "each seed counts once: (11 + 30 + 16) / 3, however many episodes it has"
    assert row.ci95 == (11.0, 30.0)  # 1 of the 27 resamples is all low, 1 all high: 3.7 % each
    assert row.episodes == 12
    assert "seeds 1, 2, 3; bootstrap over runs" in row.note
    assert _row(found, "dqn long seed 1").mean == 99.0
    remarks = " ".join(found.remarks)
    assert "One seed of dqn long:" in remarks
    assert "Fewer than 5 seeds of dqn:" in remarks


def test_the_same_seed_twice_is_not_a_second_seed(tmp_path: Path) -> None:
    make_run(tmp_path, [10.0, 12.0], seed=1, time="20261123-101530")
    make_run(tmp_path, [14.0, 12.0], seed=1, time="20261124-101530")
    found = comparison(V1, tmp_path)
    assert {row.name for row in found.rows if row.kind == "run"} == {
        "dqn seed 1 20261123-101530",
        "dqn seed 1 20261124-101530",
    }
    assert any("One seed of dqn" in remark for remark in found.remarks)
    make_run(tmp_path, [20.0, 22.0], seed=2)
    assert _row(comparison(V1, tmp_path), "dqn, mean of 2 seeds").mean == 17.0, "the newest of seed 1, and seed 2"


@pytest.mark.parametrize(
    "change", [{"epsilon": 0.05}, {"protocol": "waterworld-500"}, {"agent": "double_dqn"}, {"preset": "long"}]
)
def test_runs_under_different_conditions_are_not_averaged(change: dict[str, object], tmp_path: Path) -> None:
    make_run(tmp_path, [10.0], seed=1)
    make_run(tmp_path, [20.0], seed=2, **change)  # type: ignore[arg-type]
    found = comparison(V1, tmp_path)
    assert not any("mean of" in row.name for row in found.rows)
    assert any("Protocols differ" in remark for remark in found.remarks) == ("protocol" in change)


def test_unlike_runs_are_not_averaged_and_named_by_what_differs(tmp_path: Path) -> None:
    for seed, gamma, score in ((1, 0.98, 10.0), (2, 0.98, 20.0), (1, 0.9, 1.0), (2, 0.9, 3.0)):
        config = {"gamma": gamma, "seed": seed, "total_timesteps": 1000}
        make_run(tmp_path, [score], seed=seed, config=config, time=f"20261123-{gamma * 100:06.0f}")
    make_run(tmp_path, [7.0], seed=3, config={"gamma": 0.98, "total_timesteps": 500}, agent_steps=500)
    means = {row.name: row.mean for row in comparison(V1, tmp_path).rows if row.kind == "run"}
    assert means == {
        "dqn, gamma 0.98, total-timesteps 1000 seed 1": 10.0,
        "dqn, gamma 0.98, total-timesteps 1000 seed 2": 20.0,
        "dqn, gamma 0.98, total-timesteps 1000, mean of 2 seeds": 15.0,
        "dqn, gamma 0.9, total-timesteps 1000 seed 1": 1.0,
        "dqn, gamma 0.9, total-timesteps 1000 seed 2": 3.0,
        "dqn, gamma 0.9, total-timesteps 1000, mean of 2 seeds": 2.0,
        "dqn, gamma 0.98, total-timesteps 500 seed 3": 7.0,
    }


def test_an_aborted_run_is_in_no_mean_and_stands_last(tmp_path: Path) -> None:
    """An aborted one of two episodes, newer than the finished one with the same seed."""
    config = {"total_timesteps": 800_000}
    make_run(tmp_path, [27.0, 29.0], seed=1, agent_steps=800_000, config=config, agent="d3qn")
    make_run(tmp_path, [29.0, 27.0], seed=2, agent_steps=800_000, config=config, agent="d3qn")
    late = make_run(tmp_path, [5.0, 5.0], seed=1, agent_steps=33_824, config=config, agent="d3qn", time="20261127-1")
    found = comparison(V1, tmp_path)
    assert _row(found, "d3qn, mean of 2 seeds").mean == 28.0
    assert found.rows[-1].name == "d3qn seed 1, unfinished"
    assert found.rows[-1].note == f"unfinished: 33,824 of 800,000 agent steps; {late}"
    assert found.rows[-1].ci95 is None  # of two equal episodes
    assert any("Unfinished runs stand last" in remark for remark in found.remarks)


def test_what_random_play_measured_is_no_setting_that_differs(tmp_path: Path) -> None:
    for seed, high in ((1, 10.0), (2, 12.0)):
        folder = make_run(tmp_path, [1.0, 2.0], seed=seed, config={"v_max": high, "total_timesteps": 1000})
        about = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(about | {"measured": ["v_max"]}))
    assert _row(comparison(V1, tmp_path), "dqn, mean of 2 seeds").mean == 1.5


def test_settings_that_an_older_version_did_not_know_are_no_difference(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0, 2.0], seed=1, config={"gamma": 0.9, "total_timesteps": 1000})
    make_run(tmp_path, [3.0, 4.0], seed=2, config={"gamma": 0.9, "total_timesteps": 1000, "new": False})
    assert _row(comparison(V1, tmp_path), "dqn, mean of 2 seeds").mean == 2.5


def test_a_named_run_is_called_by_its_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [1.0, 2.0], seed=1)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"name": "first try"}))
    assert _row(comparison(V1, tmp_path), "first try seed 1").mean == 1.5


def test_many_settings_are_named_in_the_note(tmp_path: Path) -> None:
    for time, value in (("20261123-1", 1), ("20261123-2", 2)):
        config = dict.fromkeys(("a", "b", "c", "d", "e"), value) | {"total_timesteps": 1000}
        make_run(tmp_path, [float(value)], config=config, time=time)
    row = _row(comparison(V1, tmp_path), "dqn, a 1, b 1, c 1 and 2 more seed 1")
    assert row.note.endswith("d 1, e 1")


def test_the_runs_of_a_sweep_are_found_in_its_configurations(tmp_path: Path) -> None:
    make_run(tmp_path / "sweep" / "CartPole-v1_dqn-12345678", [3.0])
    make_run(tmp_path / "sweep" / "CartPole-v1_pqn-12345678", [4.0], agent="pqn")
    make_run(tmp_path / "sweep" / "broken" / "CartPole-v1_pqn-12345678", [4.0], agent="pqn")
    means = {row.name: row.mean for row in comparison(V1, tmp_path / "sweep").rows if row.kind == "run"}
    assert means == {"dqn seed 1": 3.0, "pqn seed 1": 4.0}


def test_rldemo_is_reward_per_step(tmp_path: Path) -> None:
    make_run(tmp_path, [5000.0, 6000.0], env_id=RLDEMO, length=5000, protocol="rldemo-5000")
    found = comparison(RLDEMO, tmp_path)
    assert found.metric == "mean reward per step"
    assert _row(found, "dqn seed 1").mean == pytest.approx(1.1)
    assert _row(found, "karpathy_pretrained_eps_0.05").ci95 is None


def test_any_environment_is_scored_by_its_return(tmp_path: Path) -> None:
    make_run(tmp_path, [480.0, 500.0], env_id="Blackjack-v1", protocol="gymnasium-default", length=490)
    found = comparison("Blackjack-v1", tmp_path)
    assert (found.metric, [row.kind for row in found.rows]) == ("episode return", ["run"])
    assert "There are no reference scores for Blackjack-v1." in found.remarks


def test_human_scores_are_shown_with_both_versions(tmp_path: Path) -> None:
    write_human_scores(tmp_path, human("Anna", 18.0), human("Anna", 23.0), human("Bo", 9.0, V0, length=400))
    for env_id in (V0, V1):
        found = comparison(env_id, tmp_path)
        anna, bo = _row(found, "Anna"), _row(found, "Bo")
        assert (anna.kind, anna.mean, anna.episodes, anna.epsilon) == ("human", 20.5, 2, None)
        assert bo.ci95 is None
        assert "1 of 1 episodes are not 1000 steps long" in bo.note
        assert "not 1000" not in anna.note


def test_pretrained_agents_are_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "pretrained", [26.0, 28.0]).rename(tmp_path / "pretrained" / "waterworld")
    found = comparison(V1, tmp_path / "runs", tmp_path / "pretrained")
    row = _row(found, "waterworld")
    assert (row.kind, row.mean) == ("pretrained", 27.0)
    assert "dqn seed 1" in row.note
    assert any("No runs" in remark and f"python train.py {V1}" in remark for remark in found.remarks)


def test_without_scores_every_reference_is_shown_once(tmp_path: Path) -> None:
    found, warnings = comparisons(tmp_path / "none")
    assert [one.env_id for one in found] == [V1, RLDEMO]
    assert warnings == []
    for one in found:
        assert {row.kind for row in one.rows} == {"reference"}
        assert any(f"python train.py {one.env_id}" in remark for remark in one.remarks)


def test_the_environments_of_runs_and_references_are_shown(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0], env_id=V0)
    make_run(tmp_path, [1.0], env_id="CartPole-v1")
    found, _ = comparisons(tmp_path)
    assert [one.env_id for one in found] == [V0, "CartPole-v1"]
    (tmp_path / "none").mkdir()
    assert [one.env_id for one in comparisons(tmp_path / "none")[0]] == [V1, RLDEMO]


def test_named_runs_only(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, [1.0], seed=1), make_run(tmp_path, [2.0], seed=2)
    (found,), warnings = comparisons(tmp_path, folders=[second, second])
    assert [row.name for row in found.rows if row.kind == "run"] == ["dqn seed 2"]
    assert warnings == []
    (found,), warnings = comparisons(tmp_path, env_id=RLDEMO, folders=[first])
    assert found.env_id == RLDEMO
    assert warnings == [f"{first}: a run of {V1}, not shown"]


def test_warnings_are_among_the_remarks_of_a_single_comparison(tmp_path: Path) -> None:
    (make_run(tmp_path, [1.0]) / "config.json").unlink()
    assert any("config.json: missing" in remark for remark in comparison(V1, tmp_path).remarks)
