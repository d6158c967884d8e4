"""The reference table: its numbers, and damaged tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from scores import references
from scores.references import REFERENCE_FILE


@pytest.mark.parametrize(
    ("env_id", "agent", "mean", "error", "episodes"),
    [
        ("tidepool/Waterworld-v0", "random", 0.14, 0.18, 500),
        ("tidepool/Waterworld-v0", "karpathy_pretrained_eps_0.05", 21.30, 0.22, 500),
        ("tidepool/Waterworld-v0", "karpathy_pretrained_greedy", 21.16, 0.22, 500),
        ("tidepool/Waterworld-v0", "full_information_planner", 36.65, 0.79, 40),
        ("tidepool/Waterworld-v0", "sb3_dqn_100k_steps", 13.53, 0.87, 30),
        ("tidepool/RLDemo-v0", "random", 0.7285, None, None),
        ("tidepool/RLDemo-v0", "karpathy_pretrained_eps_0.05", 1.0903, None, None),
        ("tidepool/RLDemo-v0", "karpathy_pretrained_greedy", 1.0315, None, None),
    ],
)
def test_the_published_numbers(env_id: str, agent: str, mean: float, error: float | None, episodes: int | None) -> None:
    found = references.find(env_id, agent)
    assert (found.mean, found.standard_error, found.episodes) == (mean, error, episodes)
    assert found.metric == references.metric(env_id).name, "tables do not mix metrics"


def test_intervals_need_a_standard_error() -> None:
    low, high = references.find("tidepool/Waterworld-v0", "full_information_planner").ci95 or (0, 0)
    # t(39, 0.975) = 2.0226909; 36.65 -+ 2.0226909 * 0.79
    assert (low, high) == pytest.approx((35.0520742, 38.2479258), abs=1e-6)
    no_error = references.find("tidepool/RLDemo-v0", "random")
    assert no_error.ci95 is None
    assert no_error.steps == 200_000
    assert "200000 steps" in no_error.note


def test_every_row_has_its_protocol_and_the_metric_of_its_environment() -> None:
    for row in (*references.load(), *references.load(references.MEASURED_FILE)):
        assert row.protocol, row
        assert row.metric == references.metric(row.env_id).name


def test_unknown_names_raise_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean karpathy_pretrained_greedy"):
        references.find("tidepool/Waterworld-v0", "karpathy_pretrained_gredy")
    with pytest.raises(UserError, match="did you mean tidepool/RLDemo-v0"):
        references.find("tidepool/RLdemo-v0", "random")
    assert references.of_env("Blackjack-v1") == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("standard_error,", "", "column 'standard_error' is missing"),
        (",0.14,", ",nan,", "row 1: mean nan"),
        (",21.30,", ",x,", "row 2"),
        (",36.65,0.79,40,", ",36.65,0.79,forty,", "row 4"),
        ("200000 steps", "200000 frames", "neither a count nor a count of steps"),
    ],
)
def test_a_damaged_table_says_where(old: str, new: str, fault: str, tmp_path: Path) -> None:
    text = REFERENCE_FILE.read_text()
    assert old in text
    path = tmp_path / "table.csv"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=fault) as caught:
        references.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_truncated_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not readable"):
        references.load(tmp_path / "none.csv")
    truncated = tmp_path / "truncated.csv"
    truncated.write_text(REFERENCE_FILE.read_text()[:300])
    with pytest.raises(UserError, match=r"truncated\.csv"):
        references.load(truncated)
