"""Which run is the newest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from common.errors import UserError
from experiments import resuming, starting
from experiments.run_options import Options
from scores.finding import by_age, find_all, newest
from viewer.playing import attach, players

ABOUT = {"env_id": "CartPole-v1", "agent": "dqn"}


def make(folder: Path, name: str, **about: object) -> Path:
    """Write a run with an agent, as far as looking for it goes."""
    path = folder / name
    (path / "agent").mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({**ABOUT, **about}))
    (path / "agent" / "manifest.json").write_text(json.dumps(ABOUT))
    return path


def test_the_start_counts_and_not_the_name(tmp_path: Path) -> None:
    zebra = make(tmp_path, "zebra", started="2026-01-01T00:00:01")
    first = make(tmp_path, "b__dqn__1__20260101-000000")
    last = make(tmp_path, "a__dqn__1__20260101-000002")
    renamed = make(tmp_path / "plan" / "configuration", "1")
    os.utime(renamed / "config.json", (0, 0))
    assert list(by_age(find_all([tmp_path]))) == [last, zebra, first, renamed]
    assert newest([]) is None


@pytest.mark.parametrize("config", [None, "{", "[]", '{"agent": "dqn"}', '{"agent": 3, "env_id": "x"}'])
def test_what_nothing_can_be_done_with_is_the_newest_nowhere(config: str | None, tmp_path: Path) -> None:
    """By all programs alike: play.py, play.py --attach and --film, train.py --resume, --verify and --from, runs.py."""
    good = make(tmp_path, "a__dqn__1__20260101-000000")
    for name in ("b__dqn__1__20260101-000001", "zebra"):
        broken = make(tmp_path, name)
        (broken / "config.json").unlink()
        if config is not None:
            (broken / "config.json").write_text(config)
    word = Path("newest")
    assert newest(find_all([tmp_path])) == good
    assert players.find_agent(None, tmp_path) == players.find_agent(word, tmp_path) == good
    assert players.all_trained_in("CartPole-v1", tmp_path)[0] == good
    assert attach.find_run("newest", tmp_path) == good
    assert {resuming.named(word, option, tmp_path) for option in ("--resume", "--verify")} == {good}
    for command in ("show", "export"):
        assert Options(words=(command, "newest"), runs_dir=tmp_path).one().path == good
    with pytest.raises(UserError, match=good.name):  # its manifest is not one
        starting.find(word, tmp_path)
