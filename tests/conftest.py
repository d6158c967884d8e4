from __future__ import annotations

import os

import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import torch

from tests import tiny

tiny.register()
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_module_level_randomness() -> None:
    """Poison torch's and NumPy's global generators: a run that draws from them differs from test to test."""
    torch.seed()
