"""Two threads or more for one network: each takes a part of the batch through all layers.

PyTorch's own threads share out each operation, wait for one another after it, and leave what lies between convolutions
to one of them; if a core does something else for a moment, all wait. Here they meet once an update. The parts, and the
order in which their gradients are added, do not depend on who is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from learning.encoders import Convolutions, SpectralConv2d
from learning.networks import QNetwork, StochasticLayer
from learning.replay import Batch

Part = TypeVar("Part")
Result = TypeVar("Result")
LEARNING = 32  # transitions of a part at least: fully connected layers take as long for fewer
ACTING = 8  # observations, likewise: the convolutions alone count, with nothing to add up


class Threads:
    """As many threads as torch may use, the caller's among them."""

    def __init__(self, count: int) -> None:
        self.count = count
        # what vanishes is flushed to 0, as it is in training
        self._others = ThreadPoolExecutor(count - 1, "part", torch.set_flush_denormal, (True,))

    def map(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """Return what each part becomes; the caller's thread takes the first."""
        others = [self._others.submit(work, part) for part in parts[1:]]
        first = work(parts[0])
        return [first, *(other.result() for other in others)]

    def sizes(self, rows: int, least: int) -> list[int]:
        """Return how many rows of a batch each part has, ``least`` or more but for a single one."""
        count = max(1, min(self.count, rows // least))
        return [(part + 1) * rows // count - part * rows // count for part in range(count)]

    @contextmanager
    def instead_of_torchs(self) -> Iterator[None]:
        """Keep torch from threads of its own for a while: they would wait, busily, on the cores of these."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def threads_for(network: nn.Module, device: torch.device, batch_size: int) -> Threads | None:
    """Return the threads that share a network's batches; None: there is one, or torch's own do better.

    They do where a batch is small. Layers that draw noise, or keep vectors from one forward to the next, need the
    batch as a whole.
    """
    count = torch.get_num_threads()
    if count < 2 or device.type != "cpu" or batch_size < 2 * LEARNING or not isinstance(network, QNetwork):
        return None
    if not isinstance(network.convolutions, Convolutions):
        return None
    whole = any(isinstance(module, StochasticLayer | SpectralConv2d) for module in network.modules())
    return None if whole else Threads(count)


def divide(batch: Batch, sizes: Sequence[int]) -> list[Batch]:
    """Return a batch in parts."""
    tensors = (batch.obs, batch.action, batch.reward, batch.discount, batch.next_obs, batch.weight)
    return [Batch(*part) for part in zip(*(torch.split(tensor, list(sizes)) for tensor in tensors), strict=True)]


def sum_up(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors, in the first one."""
    for part in parts[1:]:
        parts[0].add_(part)
    return parts[0]
