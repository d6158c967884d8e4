from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# also in the programs that tests start: beside other tests, a second thread of theirs would only wait for its turn
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from tests import tiny

tiny.register()
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_module_level_randomness() -> None:
    """Seed torch's and NumPy's global generators by chance: whoever draws from them can't repeat itself."""
    torch.seed()
    np.random.seed(None)  # noqa: NPY002


@pytest.fixture(autouse=True)
def ordinary_numbers() -> Iterator[None]:
    """Undo what `train.main` sets for its process: Hypothesis wants its denormal numbers back."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every window be a first one, and leave none of the tester's own settings touched."""
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
