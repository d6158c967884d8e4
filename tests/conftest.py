"""Settings of every test: no screen, one thread, no module-level randomness, no user settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
# also for the programs that tests start: with tests running in parallel, a second thread would only compete for a core
os.environ.setdefault("OMP_NUM_THREADS", "1")
# what rich makes of a terminal shall not depend on where the tests run: in Emacs, a notebook, a CI service
os.environ["TERM"] = "xterm-256color"
os.environ.pop("FORCE_COLOR", None)
os.environ["MPLBACKEND"] = "agg"

import numpy as np
import torch

from tests import tiny

tiny.register()
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_module_level_randomness() -> None:
    """Seed torch's and NumPy's global generators at random: code that draws from them is not reproducible."""
    torch.seed()
    np.random.seed(None)  # noqa: NPY002


@pytest.fixture(autouse=True)
def _denormal_numbers() -> Iterator[None]:
    """Undo what `train.main` sets for its process: Hypothesis needs denormal numbers."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _no_saved_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every window start without saved settings, and leave the developer's own untouched."""
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
