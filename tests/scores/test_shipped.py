"""The agents that ship: their list, sorted, with scores; `play.py --list` prints it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import play
from common.errors import UserError
from common.files import PRETRAINED
from scores import shipped


def test_the_list_has_every_agent_with_the_score_of_its_evaluation() -> None:
    found = shipped.agents()
    assert {one.name for one in found} == {path.parent.name for path in PRETRAINED.glob("*/config.json")}
    keys = [(one.env_id.lower(), -one.mean) for one in found]
    assert keys == sorted(keys)
    pong = next(one for one in found if one.name == "pong")
    assert pong.level is not None
    assert pong.level == pytest.approx((pong.mean + 20.7) / (14.6 + 20.7), abs=1e-3)
    assert next(one for one in found if one.name == "waterworld").agent == "d3qn"


def test_it_fits_a_narrow_terminal_without_what_is_least_needed() -> None:
    wide, narrow = shipped.text(shipped.agents()), shipped.text(shipped.agents(), 60)
    assert "95 %" in wide
    assert "95 %" not in narrow
    assert max(map(len, narrow.splitlines())) <= 60
    for text in (wide, narrow):
        assert "of human" in text
        assert "Watch one: python play.py pretrained/" in text


def test_a_damaged_agent_is_left_out(tmp_path: Path) -> None:
    shutil.copytree(PRETRAINED / "waterworld", tmp_path / "mine")
    assert [one.name for one in shipped.agents(tmp_path)] == ["mine"]
    (tmp_path / "mine" / "agent" / "network.safetensors").write_bytes(b"damaged")
    assert shipped.agents(tmp_path) == []
    assert shipped.text([]) == "No agents here."


def test_play_prints_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert printed == shipped.text(shipped.agents()) + "\n"
    assert "waterworld_rainbow  Waterworld-v1" in printed
    with pytest.raises(UserError, match="leave a run out"):
        play.main(["--list", "pretrained/pong"])
