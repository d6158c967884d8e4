"""The Atari comparison: columns, games, aggregates and remarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from scores import AtariComparison, AtariSelection, atari_comparison, comparison, read
from scores.atari.normalization import PROTOCOLS
from tests.scores.helpers import V1, atari_run, human, make_run, write_human_scores


def compared(folder: Path, *, pretrained: Path | None = None, **selection: object) -> AtariComparison:
    found = atari_comparison(read(folder, pretrained), AtariSelection(**selection))  # type: ignore[arg-type]
    assert found is not None
    return found


def column(found: AtariComparison, name: str):  # type: ignore[no-untyped-def]
    (one,) = [one for one in found.columns if one.name == name]
    return one


def test_seeds_and_games_of_one_preset_are_a_column(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [20.0, 18.0], seed=1)
    atari_run(tmp_path, "Pong", [15.0], seed=2)
    atari_run(tmp_path, "Breakout", [30.5, 30.5, 30.5], seed=1)
    atari_run(tmp_path, "Pong", [0.0], seed=1, preset="nature", protocol="machado2018", time="20261123-101531")
    make_run(tmp_path, [9.0], env_id=V1)
    found = compared(tmp_path)
    assert [one.name for one in found.columns] == [
        "dqn cpu",
        "dqn nature",
        "random",
        "human",
        "human_world_record",
        "dqn",
        "rainbow",
    ]
    cell = column(found, "dqn cpu").cells["Pong"]
    assert cell.score == 17.0, "each seed counts once: (19 + 15) / 2, however many episodes it has"
    assert cell.runs == pytest.approx((39.7 / 35.3, 35.7 / 35.3))
    assert cell.human_normalised == pytest.approx(37.7 / 35.3)
    assert (cell.episodes, cell.protocol) == (3, "dqn_zoo")
    assert found.games == ["Pong", "Breakout"], "107 % before 100 %"
    assert found.sorted_by == "dqn cpu"
    sums = found.aggregates["dqn cpu"]
    assert sums is not None
    assert (sums.games, sums.games_at_human_level) == (2, 2)
    assert sums.median == pytest.approx((37.7 / 35.3 + 1) / 2)
    assert sums.iqm_ci95 is None, "Breakout has one run"


def test_the_newest_of_a_seed_counts(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [1.0], time="20261123-101530")
    atari_run(tmp_path, "Pong", [2.0], time="20261124-101530")
    cell = column(compared(tmp_path), "dqn cpu").cells["Pong"]
    assert (cell.score, len(cell.runs), cell.episodes) == (2.0, 1, 1)


def test_protocols_are_mixed_in_an_aggregate_only_on_request(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [14.6])
    atari_run(tmp_path, "Breakout", [31.8], protocol="mnih2015")
    with pytest.raises(UserError) as caught:
        compared(tmp_path)
    text = str(caught.value)
    assert "dqn cpu have different protocols: dqn_zoo (Pong), mnih2015 (Breakout)" in text
    assert "--protocol dqn_zoo" in text
    assert "--mix-protocols" in text
    assert compared(tmp_path, protocol="mnih2015").games == ["Breakout"]
    mixed = compared(tmp_path, mix_protocols=True)
    cells = column(mixed, "dqn cpu").cells
    # each normalised by the humans of its own protocol: 14.6 and 31.8 are 1
    assert [cells[game].human_normalised for game in ("Pong", "Breakout")] == pytest.approx([1, 1])
    assert any("dqn cpu MIXES protocols (dqn_zoo + mnih2015)" in remark for remark in mixed.remarks)
    assert not any("unknown for dqn cpu" in remark for remark in mixed.remarks)


def test_two_presets_may_have_different_protocols(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [20.0])
    atari_run(tmp_path, "Pong", [20.0], preset="nature", protocol="mnih2015", time="20261123-101531")
    found = compared(tmp_path)
    assert {"human", "human_mnih2015", "random_mnih2015", "dqn_mnih2015"} <= {one.name for one in found.columns}
    assert column(found, "dqn cpu").cells["Pong"].human_normalised == pytest.approx(40.7 / 35.3)
    assert column(found, "dqn nature").cells["Pong"].human_normalised == pytest.approx(40.7 / 30.0)
    (remark,) = [remark for remark in found.remarks if "Two human baselines" in remark]
    assert "human_mnih2015 (49 games, 5-minute episodes) for dqn nature, dqn_mnih2015" in remark


def test_each_kind_of_difference_has_one_remark(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [20.0], protocol="machado2018")
    found = compared(tmp_path, agents=("dqn", "dopamine_dqn_cnn", "agent57"), games=("Pong",))
    remarks = "\n".join(found.remarks)
    assert "100 % is human: 57 games, 30-minute episodes; 0 % is random." in remarks
    assert "with dqn cpu, dopamine_dqn_cnn; without dqn, agent57, humans and random play" in remarks
    assert "not a separate evaluation: dopamine_dqn_cnn." in remarks
    assert "2 million (dqn cpu); 200 million (dqn, dopamine_dqn_cnn); not stated (agent57)" in remarks
    assert remarks.count("Sticky") == remarks.count("Emulator frames") == remarks.count("Training returns") == 1


def test_an_unknown_protocol(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [20.0], protocol="my own")
    found = compared(tmp_path)
    assert column(found, "dqn cpu").cells["Pong"].human_normalised == pytest.approx(40.7 / 35.3)
    remarks = "\n".join(found.remarks)
    assert "The protocol 'my own' of dqn cpu is unknown; it is compared with human (57 games" in remarks
    assert "unknown for dqn cpu" in remarks


def test_games_without_a_human_score_are_shown_but_not_aggregated(tmp_path: Path) -> None:
    for game in ("Pong", "AirRaid", "Adventure"):
        atari_run(tmp_path, game, [14.6])
    found = compared(tmp_path)
    assert found.games == ["Pong", "Adventure", "AirRaid"], "those without a percentage come last"
    cells = column(found, "dqn cpu").cells
    assert (cells["Adventure"].human_normalised, cells["AirRaid"].human_normalised) == (None, None)
    sums = found.aggregates["dqn cpu"]
    assert sums is not None
    assert (sums.games, sums.mean) == (1, 1)
    assert "No human score (human): Adventure, AirRaid; 2 games, not in the aggregates." in found.remarks
    alone = compared(tmp_path, games=("AirRaid",))
    assert alone.aggregates["dqn cpu"] is None


def test_remarks_on_a_single_run_and_on_few_seeds(tmp_path: Path) -> None:
    for seed in (1, 2):
        atari_run(tmp_path, "Pong", [10.0 + seed], seed=seed)
        atari_run(tmp_path, "Pong", [5.0 + seed], seed=seed, preset="modern", time="20261123-101531")
    atari_run(tmp_path, "Pong", [5.0], preset="nature", time="20261123-101532")
    found = compared(tmp_path)
    remarks = "\n".join(found.remarks)
    assert "A single run (seed) in a game: dqn nature." in remarks
    assert "Fewer than 5 seeds of dqn cpu, dqn modern" in remarks
    (odds,) = [remark for remark in found.remarks if remark.startswith("Probability that a run of dqn cpu beats")]
    assert odds.endswith("dqn modern, over 1 game: 1.00 (95 % interval 1.00 to 1.00).")
    assert remarks.count("Probability") == 1, "not for a column with one run"
    sums = found.aggregates["dqn cpu"]
    assert sums is not None
    assert sums.iqm_ci95 == pytest.approx((31.7 / 35.3, 32.7 / 35.3))


def test_other_settings_and_unfinished_runs_have_columns_of_their_own(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [10.0], seed=1, config={"learning_rate": 1e-3})
    atari_run(tmp_path, "Pong", [12.0], seed=2, config={"learning_rate": 1e-3})
    atari_run(tmp_path, "Pong", [11.0], seed=2, config={"learning_rate": 1e-4}, time="20261123-101531")
    atari_run(tmp_path, "Pong", [-21.0], seed=3, config={"learning_rate": 1e-3, "total_timesteps": 10**6})
    found = compared(tmp_path)
    names = [one.name for one in found.columns if one.kind == "run"]
    assert names == [
        "dqn cpu, learning-rate 0.0001",
        "dqn cpu, learning-rate 0.001",
        "dqn cpu, learning-rate 0.001 (unfinished)",
    ]
    assert column(found, names[1]).cells["Pong"].score == 11.0
    assert "500,000 agent steps, 2,000,000 frames; seeds 1, 2" in column(found, names[1]).note
    assert column(found, names[2]).note.startswith("unfinished: 500,000 of 1,000,000 agent steps")


def test_human_players_have_a_column(tmp_path: Path) -> None:
    row = human("Ada", 3.0, "ALE/Pong-v5").replace("waterworld-1000", "machado2018")
    write_human_scores(tmp_path, row, human("Bo", 18.0))
    found = compared(tmp_path)
    ada = column(found, "you: Ada")
    assert ada.kind == "human"
    assert ada.cells["Pong"].human_normalised == pytest.approx(23.7 / 35.3)
    assert "played on this machine" in ada.note
    assert not any("Bo" in one.name for one in found.columns)


def test_pretrained_agents_have_their_own_column(tmp_path: Path) -> None:
    atari_run(tmp_path / "pretrained", "Pong", [20.0])
    atari_run(tmp_path / "runs", "Breakout", [20.0], protocol="machado2018")
    found = compared(tmp_path / "runs", pretrained=tmp_path / "pretrained")
    assert [one.name for one in found.columns][:2] == ["dqn cpu", "dqn cpu (pretrained)"]
    assert column(found, "dqn cpu (pretrained)").kind == "pretrained"


def test_pretrained_agents_are_left_out_beside_all_games_of_published_agents(tmp_path: Path) -> None:
    atari_run(tmp_path / "pretrained", "Pong", [20.0])
    found = compared(tmp_path / "runs", pretrained=tmp_path / "pretrained", agents=("rainbow", "iqn"))
    assert found.sorted_by == "rainbow"
    assert "There are pretrained agents for Pong; --games Pong shows them." in found.remarks
    beside = compared(tmp_path / "runs", pretrained=tmp_path / "pretrained", agents=("rainbow",), games=("Pong",))
    assert beside.sorted_by == "dqn cpu (pretrained)"


def test_no_comparison_without_atari_scores_and_selection(tmp_path: Path) -> None:
    make_run(tmp_path, [9.0])
    assert atari_comparison(read(tmp_path)) is None


def test_published_agents_alone(tmp_path: Path) -> None:
    found = compared(tmp_path, agents=("dqn_mnih2015", "rainbow", "iqn"))
    assert len(found.games) == 57
    assert found.games[0] == "VideoPinball"
    counts = {name: sums.games for name, sums in found.aggregates.items() if sums}
    assert (counts["dqn_mnih2015"], counts["rainbow"], counts["iqn"]) == (49, 54, 57)
    remarks = "\n".join(found.remarks)
    assert "Aggregates are over different games: dqn_mnih2015 over 49; rainbow over 54; iqn over 57." in remarks
    assert "Published agents have one score per game" in remarks


def test_selected_agents_are_shown_in_all_their_games_and_default_agents_in_ours(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [20.0])
    assert compared(tmp_path).games == ["Pong"]
    found = compared(tmp_path, agents=("dqn",))
    assert (len(found.games), found.games[0]) == (57, "Pong"), "ours first"
    assert compared(tmp_path, agents=("dqn",), games=("Pong", "ALE/Breakout-v5")).games == ["Pong", "Breakout"]


def test_learning_curves_at_equal_frames(tmp_path: Path) -> None:
    found = compared(tmp_path, agents=("dopamine_dqn_cnn", "dqn", "cleanrl_dqn"), at_frames=10_000_000)
    assert column(found, "dopamine_dqn_cnn").cells["Pong"].score == 1.1245
    assert not any(one.name == "dqn" for one in found.columns)
    remarks = "\n".join(found.remarks)
    assert "dqn has no published learning curve" in remarks
    assert "cleanrl_dqn is shown at 40,000,000 frames, the published point nearest to 10,000,000" in remarks
    assert "dopamine_dqn_cnn is shown" not in remarks
    assert "10 million (dopamine_dqn_cnn); 40 million (cleanrl_dqn)" in remarks
    nearest = compared(tmp_path, agents=("btr",), at_frames=17_000_000)
    assert any("btr is shown at 20,000,000 frames" in remark for remark in nearest.remarks)
    assert [one.name for one in compared(tmp_path, at_frames=1_000_000).columns][-2:] == [
        "dopamine_dqn_cnn",
        "dopamine_rainbow_cnn",
    ]


@pytest.mark.parametrize(
    ("selection", "fault"),
    [
        ({"agents": ("rainbw",)}, "unknown published agent 'rainbw'; did you mean rainbow"),
        ({"games": ("Pnog",)}, "unknown Atari game 'Pnog'; did you mean Pong"),
        ({"at_frames": 999_999}, "--at-frames 999999 is out of range"),
        ({"at_frames": 200_000_001}, "go from 1000000 to 200000000"),
        ({"agents": ("muzero",), "at_frames": 10_000_000}, "nothing to show.* muzero has no published learning curve"),
        ({"agents": ("btr_icml19",)}, "btr_icml19 has only learning curves; add --at-frames"),
        ({"protocol": "machado"}, "unknown protocol of a run 'machado'; did you mean machado2018"),
    ],
)
def test_invalid_selections(selection: dict[str, object], fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=fault):
        atari_comparison(read(tmp_path), AtariSelection(**selection))  # type: ignore[arg-type]


def test_atari5_is_shown_with_all_five_games(tmp_path: Path) -> None:
    scores = {"BattleZone": 3e4, "DoubleDunk": 0.0, "NameThisGame": 6e3, "Phoenix": 5e3, "Qbert": 8e3}
    for game, score in scores.items():
        atari_run(tmp_path, game, [score])
    (remark,) = [remark for remark in compared(tmp_path).remarks if remark.startswith("Atari-5 estimate of dqn cpu's")]
    assert "a factor of 1.22" in remark
    few = compared(tmp_path, games=tuple(scores)[:4])
    assert not any("Atari-5" in remark for remark in few.remarks)


def test_damaged_and_empty_runs_are_reported_and_left_out(tmp_path: Path) -> None:
    (atari_run(tmp_path, "Pong", [1.0], seed=1) / "eval.csv").write_text("env_id,ag")
    folder = atari_run(tmp_path, "Pong", [2.0], seed=2)
    with (folder / "eval.csv").open("a") as file:
        file.write("ALE/Pong-v5,dqn,2,500000,2000000,1,nan,100,0,dqn_zoo\nALE/Pong-v5,dq")
    found = read(tmp_path)
    assert len(found.warnings) == 4
    shown = atari_comparison(found)
    assert shown is not None
    assert column(shown, "dqn cpu").cells["Pong"].score == 2.0


def test_one_game_after_training(tmp_path: Path) -> None:
    atari_run(tmp_path, "Pong", [20.0, 18.0])
    found = comparison("ALE/Pong-v5", tmp_path)
    rows = {row.name: row for row in found.rows}
    assert set(rows) == {"dqn cpu seed 1", "random", "human", "human_world_record", "dqn", "rainbow"}
    own = rows["dqn cpu seed 1"]
    assert own.human_normalised == pytest.approx(39.7 / 35.3)
    assert (own.agent_steps, own.frames, own.protocol) == (500_000, 2_000_000, "dqn_zoo")
    assert (rows["human"].human_normalised, rows["human"].protocol) == (1, "not sticky, 30 min")
    assert (rows["dqn"].frames, rows["dqn"].agent_steps) == (200_000_000, 50_000_000)
    assert all(row.protocol for row in found.rows)
    remarks = "\n".join(found.remarks)
    assert "100 % is human" in remarks
    assert "One seed of dqn cpu" in remarks
    assert "Protocols differ" not in remarks, "other remarks say how they differ"


def test_one_game_normalises_each_protocol_by_its_human_baseline(tmp_path: Path) -> None:
    for number, protocol in enumerate(PROTOCOLS):
        atari_run(tmp_path, "Pong", [9.3], protocol=protocol, time=f"2026112{number}-101530")
    rows = comparison("ALE/Pong-v5", tmp_path).rows
    assert {row.name for row in rows} >= {"human", "human_mnih2015", "random_mnih2015", "dqn_mnih2015", "dqn"}
    own = {row.protocol: row.human_normalised for row in rows if row.kind == "run"}
    assert own["mnih2015"] == pytest.approx(1)
    assert own["machado2018"] == own["dqn_zoo"] == pytest.approx(30 / 35.3)


def test_one_game_without_any_reference(tmp_path: Path) -> None:
    atari_run(tmp_path, "Adventure", [1.0])
    found = comparison("ALE/Adventure-v5", tmp_path)
    assert [row.human_normalised for row in found.rows] == [None]
    remarks = "\n".join(found.remarks)
    assert "Adventure has no human score in the baseline of 57 games" in remarks
    assert "There are no reference scores for ALE/Adventure-v5." in remarks
