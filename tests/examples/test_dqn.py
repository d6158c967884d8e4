"""The one-page DQN is the modular one, bit for bit, and stays one page."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from train import main as train

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "dqn.py"
SENTENCE = "output an expectation instead of a probability"


def contents(path: Path) -> list[tuple[tuple[int, ...], str, bytes]]:
    """Return shape, type and bytes of all tensors in a file, whatever their names, in an order of their own."""
    tensors = safetensors.torch.load_file(path).values()
    return sorted((tuple(one.shape), str(one.dtype), one.numpy().tobytes()) for one in tensors)


@pytest.mark.parametrize(
    "words",
    [
        "--seed 1 --total-timesteps 2000",
        "--seed 2 --total-timesteps 2000",
        # many copies to the target network
        "--seed 3 --total-timesteps 2000 --target-period 20",
        # episodes end (after 32,000 steps), rings come round, what an update is due for is no whole number
        "--seed 4 --total-timesteps 35000 --learning-starts 31000 --capacity 20000 --target-period 20"
        " --replay-ratio 3 --gamma 0.9",
    ],
)
def test_the_weights_are_those_of_the_modular_code(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = "--agent dqn --engine torch --evaluations 1 --eval-episodes 1 --threads 1 --device cpu --runs-dir"
    assert train([*fixed.split(), str(tmp_path / "runs"), *words.split()]) == 0
    (modular,) = (tmp_path / "runs").glob("*/agent/*.safetensors")
    own = tmp_path / "own.safetensors"
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *words.split(), "--save", str(own)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert contents(own) == contents(modular)
    assert all(torch.isfinite(one).all() for one in safetensors.torch.load_file(own).values())


def test_it_is_one_page_that_needs_nothing_of_ours_but_the_world() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 170
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            assert not node.level
            imported.add(node.module.split(".")[0])
    ours = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert {"agents", "common", "envs", "learning"} <= ours
    assert imported & ours == {"envs"}


def test_the_idea_stands_beside_the_line_that_does_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    (told,) = [number for number, line in enumerate(lines) if SENTENCE in line.lower()]
    assert lines[told].lstrip().startswith("#")
    assert "self.output(" in lines[told + 1]
