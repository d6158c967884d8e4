"""Ablations of run folders with known scores: numbers by hand, table, chart."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from common.errors import UserError
from experiments import ablation_chart
from experiments.ablation import Ablation, VariantRuns, as_csv, collect
from experiments.ablation_settings import record_settings
from experiments.ablation_table import as_markdown, as_text, interval_text, number
from experiments.planned import PlannedRun, finished
from tests.scores.helpers import RLDEMO, make_run

Scores = list[float | None]


def build(folder: Path, variants: dict[str, tuple[str, Scores]], env_id: str = "CartPole-v1") -> Ablation:
    """Return the ablation of runs with these mean scores, by seed; None is a missing run. Wall-clock: 60 s a seed."""
    found = []
    for name, (changes, scores) in variants.items():
        runs: dict[int, Path | None] = {}
        for seed, score in enumerate(scores, 1):
            runs[seed] = None
            if score is not None:
                path = make_run(
                    folder / name,
                    [score - 1, score + 1],
                    env_id=env_id,
                    agent="rainbow",
                    seed=seed,
                    agent_steps=1000,
                    protocol="p",
                    preset="control",
                    length=10,
                )
                (path / "metrics.csv").write_text(f"agent_steps,wall_s\n1000,{60 * seed}\n")
                runs[seed] = path
        found.append(VariantRuns(name, changes, runs))
    return collect(env_id, "rainbow", "control", found)


@pytest.fixture
def three(tmp_path: Path) -> Ablation:
    """Full 10, 20, 30; a part without which nothing is lost; one worth half; one with a missing run."""
    return build(
        tmp_path,
        {
            "full": ("", [10, 20, 30]),
            "without double": ("--no-double", [12, 19, 32]),
            "without n_step": ("--n-step 1", [4, 8, 18]),
            "without head": ("--head expected", [9, None, 26]),
        },
    )


def test_means_and_differences_by_hand(three: Ablation) -> None:
    full, n_step, head, double = three.variants  # after the full recipe the largest loss comes first
    assert [line.name for line in three.variants] == ["full", "without n_step", "without head", "without double"]
    assert full.score is not None
    assert full.score.mean == 20
    # three numbers: the lowest of 27 equally likely resamples is all 10, more than 2.5 % of them
    assert full.score.ci95 == (10, 30)
    assert full.difference is None
    assert n_step.difference is not None
    assert n_step.difference.mean == -10  # -6, -12, -12
    assert n_step.difference.ci95 == (-12, -6)
    assert head.difference is not None
    assert head.difference.mean == -2.5  # seeds 1 and 3: -1, -4; not 17.5 - 20
    assert head.difference.size == 2
    assert double.difference is not None
    assert double.difference.mean == 1  # 2, -1, 2
    assert double.difference.ci95 == (-1, 2)
    assert full.wall_s == 120
    assert head.wall_s == 120  # of 60 s and 180 s
    assert full.agent_steps == 1000


def test_scores_per_step_where_that_is_the_metric(tmp_path: Path) -> None:
    found = build(tmp_path, {"full": ("", [5.0]), "without head": ("--head expected", [1.0])}, env_id=RLDEMO)
    full, without = found.variants
    assert full.score is not None
    assert full.score.mean == pytest.approx(0.5)  # 5 in 10 steps
    assert without.difference is not None
    assert without.difference.mean == pytest.approx(-0.4)
    assert found.metric == "mean reward per step"


def test_remarks(three: Ablation, tmp_path: Path) -> None:
    remarks = " ".join(three.remarks)
    assert "MISSING, not trained to the end: without head (seed 2)." in remarks
    assert "over the seeds that both the variant and the full recipe have" in remarks
    assert "Fewer than 5 seeds" in remarks
    assert "One seed" not in remarks
    one = build(tmp_path / "one", {"full": ("", [3.0]), "without head": ("--head expected", [2.0])})
    assert (
        "One seed: another seed may score very differently, so this does not show whether a part helps"
        in one.remarks[0]
    )
    none = build(tmp_path / "none", {"full": ("", [None]), "without head": ("--head expected", [2.0])})
    assert "no finished run of the full recipe" in none.remarks[1]
    assert none.variants[1].difference is None
    same = build(tmp_path / "same", {"full": ("", [500.0] * 5), "without head": ("--head expected", [500.0] * 5)})
    assert any("interval has no width" in remark for remark in same.remarks)
    assert not any("Fewer" in remark for remark in same.remarks)


def test_the_table(three: Ablation) -> None:
    lines = as_text(three).splitlines()
    assert lines[0] == "rainbow in CartPole-v1: what each part is worth"
    assert lines[1] == (
        "episode return; preset control, 1,000 agent steps, 3 seeds, final evaluation of 2 episodes, protocol p"
    )
    assert [" ".join(line.split()) for line in lines[3:6]] == [
        "variant trained with mean 95 % interval difference its 95 % interval seeds agent steps time per run",
        "full recipe - 20.0 10.0 to 30.0 - - 3 1,000 2 min 00 s",
        "without n_step --n-step 1 10.0 4.0 to 18.0 -10.0 -12.0 to -6.0 3 1,000 2 min 00 s",
    ]
    narrow = as_text(three, width=80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "Columns left out to fit the width: trained with" in narrow
    assert "-12.0 to -6.0" in narrow


def test_markdown(three: Ablation) -> None:
    text = as_markdown(three, "ablation.png")
    assert "| without n_step | `--n-step 1` | 10.0 | 4.0 to 18.0 | -10.0 | -12.0 to -6.0 | 3 |" in text
    assert text.endswith("(ablation.png)\n")
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_numbers() -> None:
    assert [number(-0.04, 1, sign=True), number(0.04, 1), number(2.0, 1, sign=True)] == ["0.0", "0.0", "+2.0"]
    assert interval_text(None, 1) == "-"


def test_the_episodes(three: Ablation) -> None:
    rows = list(csv.DictReader(as_csv(three).splitlines()))
    assert len(rows) == 11 * 2  # finished runs, episodes of each; none of the earlier evaluation
    first = rows[0]
    assert (first["variant"], first["seed"], first["episode_return"], first["wall_s"]) == ("full", "1", "9", "60")
    assert first["run"].startswith("CartPole-v1__rainbow__1__")
    assert {row["variant"] for row in rows} == {"full", "without n_step", "without head", "without double"}


def test_the_chart(three: Ablation, tmp_path: Path) -> None:
    path = tmp_path / "ablation.png"
    ablation_chart.save(three, path)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[1] > 1000
    (axes,) = ablation_chart.draw(three).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "full recipe",
        "without n_step\n--n-step 1",
        "without head\n--head expected",
        "without double\n--no-double",
    ]
    drawn = {round(float(x), 6) for line in axes.get_lines() for x in np.asarray(line.get_xdata(), dtype=float)}
    assert {10, 20, 30, 4, 8, 18, 9, 26, 12, 19, 32} <= drawn  # every seed


@pytest.mark.parametrize("scores", [[None], [1.0], [0.0, 0.0], [-3.0, None, 5.0]])
def test_charts_with_missing_or_equal_scores(scores: Scores, tmp_path: Path) -> None:
    found = build(tmp_path, {"full": ("", scores), "without head": ("--head expected", scores[:1])})
    ablation_chart.save(found, tmp_path / "a.svg")
    assert as_text(found)


def test_seeds_with_equal_scores_are_drawn_below_each_other() -> None:
    assert ablation_chart.swarm([1.0, 2.0, 2.0], 0.1) == [0.22, 0.22, 0.35]
    assert max(ablation_chart.swarm([5.0] * 9, 0.1)) == pytest.approx(ablation_chart.LOWEST)


def test_a_run_is_finished_when_its_final_evaluation_is_complete(tmp_path: Path) -> None:
    run = make_run(tmp_path, [1.0, 2.0], seed=3, agent_steps=1000, config={"total_timesteps": 1000})
    planned = PlannedRun(tmp_path, 3)
    assert planned.find() == ("broken", run)  # config.json lacks the number of evaluation episodes
    about = (run / "config.json").read_text()
    for episodes, expected in ((2, True), (3, False)):
        (run / "config.json").write_text(about.replace('"seed"', f'"eval_episodes": {episodes}, "seed"'))
        assert finished(run) is expected
    (run / "state").mkdir()
    (run / "state" / "counters.json").write_text("{}")
    assert planned.find() == ("stopped", run)
    assert planned.finished_folder() is None
    assert PlannedRun(tmp_path, 1).find() == ("none", None)


def test_settings_that_differ_from_the_first_start_are_rejected(tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = {"env_id": "CartPole-v1", "gamma": 0.9, "hidden": [8, 8], "double": True, "v_max": None}
    record_settings(out, settings)
    record_settings(out, {**settings, "new_switch": False})  # of a newer version
    for change, fault in (
        ({"gamma": 0.8}, "was started with --gamma 0.9, not with --gamma 0.8"),
        ({"hidden": [8]}, "was started with --hidden 8 8, not with --hidden 8;"),
        ({"double": False}, "was started with --double, not with --no-double"),
        ({"v_max": 3.0}, "was started with --v-max None, not with --v-max 3.0"),
        ({"env_id": "Acrobot-v1"}, "was started with CartPole-v1, not with Acrobot-v1"),
    ):
        with pytest.raises(UserError, match="choose another --out") as error:
            record_settings(out, {**settings, **change})
        assert fault in str(error.value)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and not an ablation"):
        record_settings(tmp_path / "mine", settings)
