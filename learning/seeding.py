"""One seed makes a whole run: every consumer of chance gets a stream of its own from it."""

from __future__ import annotations

import numpy as np
import torch

# Names of the streams; a new one is appended, so that old runs stay reproducible.
STREAMS = ("network", "exploration", "replay", "episodes", "evaluation", "noise")


def _sequence(seed: int, stream: str, *more: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, STREAMS.index(stream), *more])


def numpy_generator(seed: int, stream: str) -> np.random.Generator:
    """Return the NumPy generator of a stream."""
    return np.random.default_rng(_sequence(seed, stream))


def torch_generator(seed: int, stream: str) -> torch.Generator:
    """Return the torch generator (on the CPU) of a stream."""
    generator = torch.Generator()
    generator.manual_seed(torch_seed(seed, stream))
    return generator


def torch_seed(seed: int, stream: str) -> int:
    """Return the seed of a torch generator of a stream, 63 bits."""
    return int(_sequence(seed, stream).generate_state(1, np.uint64)[0]) >> 1


def episode_seed(seed: int, stream: str, env: int, episode: int) -> int:
    """Return the seed of environment ``env``'s ``episode``-th episode, 32 bits.

    A running episode is this seed and its actions: that is all a checkpoint keeps of it.
    """
    return int(_sequence(seed, stream, env, episode).generate_state(1)[0])
