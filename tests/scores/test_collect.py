"""Rows, their order, and the remarks."""

from __future__ import annotations

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


def test_differing_settings_are_named(tmp_path: Path) -> None:
    make_run(tmp_path, [10.0], seed=1, config={"learning_rate": 1e-3, "seed": 1, "n_step": 3})
    make_run(tmp_path, [20.0], seed=2, config={"learning_rate": 5e-4, "seed": 2, "n_step": 3}, agent_steps=500)
    note = _row(comparison(V1, tmp_path), "dqn, mean of 2 seeds").note
    assert "settings DIFFER between the runs: learning_rate, agent steps trained" in note


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
    assert [one.env_id for one in found] == [V0, RLDEMO, "CartPole-v1"]


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
