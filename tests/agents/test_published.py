"""Presets that are called as published are what `agents/published.csv` says, but for differences with a reason."""

from __future__ import annotations

import dataclasses

import pytest

from agents import AGENTS, published
from agents.published import Row, problems, same, settings, sources, table


def test_every_preset_as_published_has_a_table_and_no_other_has() -> None:
    named = {(agent, name) for agent, one in AGENTS.items() for name in one.presets if name in ("paper", "nature")}
    assert {(one.agent, one.preset) for one in sources().values()} == named
    assert ("btr_short", "short") not in named  # tuned here
    for one in sources().values():
        assert len(one.commit) == (40 if one.repository else 0)


@pytest.mark.parametrize("agent", sources())
def test_an_unlisted_difference_fails(agent: str) -> None:
    assert problems(agent) == []


def test_what_the_comparison_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that was changed, one that was left out, a reason for nothing, and a line of no setting."""
    plain, btr = table("btr"), AGENTS["btr"]
    preset = btr.presets["paper"]

    def changed(**values: object) -> list[str]:
        other = dataclasses.replace(preset, settings={**preset.settings, **values})
        monkeypatch.setitem(AGENTS, "btr", dataclasses.replace(btr, presets={**btr.presets, "paper": other}))
        return problems("btr")

    assert changed(gamma=0.99) == ["btr: gamma is 0.99 here, published 0.997; no reason given"]
    assert changed(priority="td_error") == ["btr: priority is td_error here, published pairwise; no reason given"]
    assert changed(head="quantile") != []
    monkeypatch.setitem(AGENTS, "btr", btr)

    def lines(rows: list[Row]) -> list[str]:
        monkeypatch.setattr(published, "_lines", lambda path: [list(row) for row in rows])
        return problems("btr")

    listed = [row._replace(ours="" if row.setting.isidentifier() else row.ours) for row in plain]
    sources()  # read before
    assert lines(listed) == []
    assert lines([row for row in listed if row.setting != "gamma"]) == ["btr: gamma = 0.997 is not listed"]
    explained = [row._replace(deviation="no" if row.setting == "gamma" else row.deviation) for row in listed]
    assert lines(explained) == ["btr: gamma is 0.997 as published; the reason is of nothing"]
    strange = Row("btr", "v_max", "", "10", "", "")
    assert lines([*listed, strange]) == ["btr: v_max has no effect in preset paper"]


def test_notes_and_question_marks_do_not_count() -> None:
    assert same("2500 (40,000 frames)", "2500")
    assert same("7500? (as Double DQN)", "7500")
    assert same("9.765625e-06 (0.01 / 32^2)", "9.765625e-06")
    assert not same("?", "1000")
    assert not same("0.5", "0.1")


def test_what_evaluates_each_agent() -> None:
    """By its own epsilon, in games of 30 minutes; only Mnih's are of 5."""
    found = {agent: settings(AGENTS[agent], one.preset) for agent, one in sources().items()}
    short = [agent for agent, one in found.items() if one["protocol"] == "mnih2015"]
    assert short == ["dqn"]
    epsilon = {agent: float(one["eval_epsilon"]) for agent, one in found.items()}
    assert epsilon["dqn"] == 0.05
    assert {epsilon[agent] for agent in ("double_dqn", "prioritized_dqn", "stream_q")} == {0.01}
    assert {epsilon[agent] for agent in ("c51", "qr_dqn", "iqn", "munchausen_dqn", "m_iqn", "hl_gauss")} == {0.001}
    assert {epsilon[agent] for agent in ("rainbow", "rainbow_iqn", "fast_rainbow", "btr", "pqn", "noisy_dqn")} == {0.0}
