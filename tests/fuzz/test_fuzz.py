"""A few damaged files for every reader and wrong command lines for every program; `tests.fuzz.soak` tries thousands."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from agents import load_policy
from common.errors import MOST, UserError
from common.files import PRETRAINED
from learning.checkpoint import MANIFEST, WEIGHTS
from scores.runs import find_runs
from tests.fuzz.commands import PROGRAMS
from tests.fuzz.mutate import ESCAPES
from tests.fuzz.readers import READERS, RUN, rehashed, run_of, sound
from tests.fuzz.soak import Outcome, command_lines, one

FILES, LINES = 15, 12


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    reader, outcome, told = READERS[name], Outcome(name), list[str]()
    sound(tmp_path)
    path = tmp_path / reader.file
    data = path.read_bytes()
    reader.read(tmp_path)  # the sound file is read
    for number in range(FILES):
        path.write_bytes(reader.damage(data, random.Random(f"{name} {number}")))
        one(outcome, lambda: reader.read(tmp_path), f"{name}, seed {number}", told.append)
    assert not told
    assert outcome.inputs == FILES


@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_command_lines_are_refused_in_one_line(program: str) -> None:
    told: list[str] = []
    outcome = command_lines(program, LINES, 0, told.append)
    assert not told
    assert outcome.refusals == LINES


# ------------------------------------------------------------------ what was found by hand


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--status", "a" * 300], "too long; allowed: names of 255 bytes"),
        (["--plan", "a/" * 3_000], "4,095 in all"),
        (["CartPole-v1", "--search"], "--search needs at least one value"),
        (["--agents", "--seeds", "1"], "--agents needs at least one value"),
    ],
)
def test_what_a_sweep_can_not_take(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sweep.main(words)


@pytest.mark.parametrize("name", ["/", "//", "", ".", "\0", "/proc/1/*", "["])
def test_patterns_that_name_no_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no runs|no run folder|not a run folder"):
        find_runs(name, tmp_path)


def edited(folder: Path, **changes: Any) -> Path:
    """Return the run in a sound folder, with other values in its agent's manifest."""
    run = run_of(folder)
    path = run / "agent" / MANIFEST
    manifest = json.loads(path.read_text())
    settings = {name: changes.pop(name) for name in list(changes) if name in manifest["config"]}
    path.write_text(json.dumps({**manifest, **changes, "config": {**manifest["config"], **settings}}))
    return run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": {"shape": [10**9], "dtype": "float32"}}, "shape is 1000000000, not 1 to 8,388,608"),
        ({"observation": {"shape": [2**21], "dtype": "uint8"}}, "at most 1,048,576 numbers"),
        ({"observation": {"shape": [2**20], "dtype": "float32"}}, r"scale.factor is \(152,\), not \(1048576,\)"),
        ({"observation": {"shape": [152], "dtype": "object"}}, "dtype is 'object', not 'float32' or 'uint8'"),
        ({"observation": None}, "observation is None, not an object"),
        ({"observation": {"dtype": "float32"}}, "it lacks shape"),
        ({"num_actions": 3 * 10**7}, "num_actions is 30000000, not 1 to 100,000"),
        ({"num_actions": True}, "num_actions is True, not a whole number"),
        ({"hidden": [20_000, 20_000]}, "hidden is 20000, not 1 to 8,192"),
        ({"hidden": [8192] * 64}, "does not fit manifest.json"),
        ({"hidden": [16] * 65}, "hidden has 65 entries; at most 64 are allowed"),
        ({"gamma": float("nan")}, "gamma is nan, not a finite number"),
        ({"gamma": 7}, "gamma is 7, not 0 to 1"),
        ({"double": "yes"}, "double is 'yes', not true or false"),
        ({"env_id": ESCAPES}, r"x1b\]0;owned"),
    ],
)
def test_a_manifest_is_checked_before_anything_is_made(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    sound(tmp_path)
    edited(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as error:
        READERS["manifest"].read(tmp_path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= MOST


def test_an_integer_of_5000_digits_is_refused(tmp_path: Path) -> None:
    sound(tmp_path)
    path = run_of(tmp_path) / "agent" / MANIFEST
    path.write_text(path.read_text().replace('"num_actions": 4', f'"num_actions": {"4" * 5_000}'))
    with pytest.raises(UserError, match="not readable as JSON"):
        READERS["manifest"].read(tmp_path)


@pytest.mark.parametrize(("number", "name"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, number: float, name: str) -> None:
    sound(tmp_path)
    path = run_of(tmp_path) / "agent" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32(number).tobytes()
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{WEIGHTS}: {name} in "):
        READERS["weights"].read(tmp_path)
    assert rehashed(tmp_path) == run_of(tmp_path)


@pytest.mark.parametrize("file", ["metrics.csv", "config.json", "state", "live/requests.jsonl", "agent/manifest.json"])
@pytest.mark.parametrize("name", ["config, resumed", "config, attached"])
def test_links_out_of_a_run_are_not_followed(tmp_path: Path, file: str, name: str) -> None:
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    folder.mkdir()
    sound(folder)
    path = run_of(folder) / file
    path.rename(victim)
    before = victim.read_bytes() if victim.is_file() else sorted(victim.iterdir())
    path.symlink_to(victim)
    with pytest.raises(UserError, match="a link out of its folder"):
        READERS[name].read(folder)
    assert (victim.read_bytes() if victim.is_file() else sorted(victim.iterdir())) == before


def test_links_within_a_run_and_to_it_are_followed(tmp_path: Path) -> None:
    sound(tmp_path)
    run = run_of(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    run.rename(elsewhere)
    run.symlink_to(elsewhere)
    (elsewhere / "agent" / WEIGHTS).rename(elsewhere / "agent" / "the weights")
    (elsewhere / "agent" / WEIGHTS).symlink_to("the weights")
    for name in ("manifest", "config, resumed", "config, attached", "scores"):
        READERS[name].read(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_in_the_place_of_a_file_does_not_wait(name: str, tmp_path: Path) -> None:
    sound(tmp_path)
    path = tmp_path / READERS[name].file
    path.unlink()
    make_pipe(path)
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for the pipe"))
    signal.alarm(10)
    try:
        READERS[name].read(tmp_path)
    except UserError:
        pass
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def make_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(path)


# ------------------------------------------------------------------ formats last


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in PRETRAINED.glob("*/agent")), ids=lambda path: path.name
)
def test_agents_of_format_1_load_for_ever(folder: Path) -> None:
    policy: Any = load_policy(folder)
    assert policy.num_actions > 1


@pytest.mark.parametrize("kind", ["attached", "resumed", "compared"])
def test_a_run_folder_of_format_1_is_read_for_ever(kind: str, tmp_path: Path) -> None:
    sound(tmp_path)
    assert json.loads((RUN / "config.json").read_text())["format"] == 1
    READERS[f"config, {kind}"].read(tmp_path)
