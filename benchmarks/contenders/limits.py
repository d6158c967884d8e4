"""The limits of the machine: the matrix products, the emulator and the copies that no implementation gets round."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.contenders import Counts, Run, repeat_counted


class Layer(NamedTuple):
    """A layer as a matrix product: a convolution has as many rows a sample as places where its kernel is put."""

    rows: int
    inputs: int
    outputs: int


NETWORKS: dict[str, tuple[Layer, ...]] = {
    "waterworld": (Layer(1, 152, 128), Layer(1, 128, 128), Layer(1, 128, 4)),
    "waterworld-dueling": (Layer(1, 152, 128), Layer(1, 128, 128), Layer(1, 128, 5)),
    "cartpole": (Layer(1, 4, 256), Layer(1, 256, 256), Layer(1, 256, 2)),
    # 84 x 84 x 4 frames. Mnih et al. 2015: 32 filters of 8 x 8 every 4 pixels, at 20 x 20 places, and so on
    "nature": (
        *(Layer(400, 256, 32), Layer(81, 512, 64), Layer(49, 576, 64)),
        *(Layer(1, 3136, 512), Layer(1, 512, 6)),
    ),
    # Mnih et al. 2013
    "mnih2013": (Layer(400, 256, 16), Layer(81, 256, 32), Layer(1, 2592, 256), Layer(1, 256, 6)),
}


class Products:
    """The matrix products of forwards and backwards through a network, with nothing between them."""

    def __init__(self, network: str, size: int, forwards: int, backwards: int) -> None:
        self.flop = 0.0
        self._products: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for number, layer in enumerate(NETWORKS[network]):
            rows = layer.rows * size
            x, weight, y = (torch.rand(shape) for shape in ((rows, layer.inputs), layer[1:], (rows, layer.outputs)))
            once = [(x, weight, y)] * forwards
            once += [(x.T, y, torch.empty_like(weight))] * backwards
            if number:  # nobody needs the gradient of the observations
                once += [(y, weight.T, torch.empty_like(x))] * backwards
            self._products += once
            self.flop += 2.0 * rows * layer.inputs * layer.outputs * len(once)

    def __call__(self) -> None:
        """Compute all of them."""
        for left, right, out in self._products:
            torch.mm(left, right, out=out)


def products(network: str, size: int, forwards: int, backwards: int = 1) -> Run:
    """Return what computes an update's matrix products, or those of acting (``backwards`` 0)."""
    one = Products(network, size, forwards, backwards)
    return repeat_counted(one, updates=1, calls=1, samples=size, flop=one.flop)


def training(
    network: str, env: dict[str, Any], acting: int, batch: int, forwards: int, steps: int, updates: int
) -> Run:
    """Return what does of a training only the environment's steps and the matrix products, one after the other.

    Args:
        network: of `NETWORKS`.
        env: keywords of `ours.environment`.
        acting: observations an acting forward has.
        batch: transitions an update has.
        forwards: of an update.
        steps: of all environments, before the updates.
        updates: after the steps.
    """
    from benchmarks.contenders import ours

    step, act, learn = ours.environment(**env), Products(network, acting, 1, 0), Products(network, batch, forwards, 1)

    def unit() -> None:
        for _ in range(steps):
            step(0.0)
            act()
        for _ in range(updates):
            learn()

    return repeat_counted(unit, agent_steps=steps * acting, updates=updates, samples=updates * batch)


def sgemm(size: int = 1024) -> Run:
    """Return what multiplies large matrices of float32."""
    left, right, out = (torch.rand(size, size) for _ in range(3))
    return repeat_counted(lambda: torch.mm(left, right, out=out), gflop=2 * size**3 / 1e9)


def copies(megabytes: int = 256) -> Run:
    """Return what copies memory larger than the caches."""
    source = np.ones(megabytes * 2**20, np.uint8)
    target = np.empty_like(source)
    return repeat_counted(lambda: np.copyto(target, source), gigabytes=source.nbytes / 1e9)


def copied_transitions(size: int, bytes_each: int, capacity: int) -> Run:
    """Return what copies as many bytes as some transitions have, row by row, from all over a replay's memory."""
    memory, rng = np.ones((capacity, bytes_each), np.uint8), np.random.default_rng(1)
    out, rows = np.empty((size, bytes_each), np.uint8), rng.integers(0, capacity, (1000, size))
    done = 0

    def unit() -> None:
        nonlocal done
        np.take(memory, rows[done % 1000], axis=0, out=out, mode="clip")
        done += 1

    return repeat_counted(unit, transitions=size)


# ------------------------------------------------------------------ the emulator


def emulator(game: str, frames_per_step: int = 4) -> Run:
    """Return what plays a game with random actions in the bare emulator, without looking at the screen."""
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    rom = ale_py.roms.get_rom_path(game)
    assert rom is not None
    ale.loadROM(rom)
    legal = ale.getMinimalActionSet()
    actions = [legal[k] for k in np.random.default_rng(0).integers(0, len(legal), 1000)]
    done = 0

    def unit() -> None:
        nonlocal done
        for _ in range(frames_per_step):
            ale.act(actions[done % 1000])
        done += 1
        if ale.game_over():
            ale.reset_game()

    return repeat_counted(unit, agent_steps=1, frames=frames_per_step)


def emulators(game: str, processes: int) -> Run:
    """Return the same in several processes at once: the emulator holds Python's lock."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(processes)]
    for _, theirs in pipes:
        context.Process(target=_emulate, args=(theirs, game), daemon=True).start()

    def run(seconds: float) -> Counts:
        for ours, _ in pipes:
            ours.send(seconds)
        answers = [ours.recv() for ours, _ in pipes]
        return {key: sum(answer[key] for answer in answers) for key in answers[0]}

    return run


def _emulate(pipe: Any, game: str) -> None:
    run = emulator(game)
    while True:
        seconds, cpu = pipe.recv(), time.process_time()
        pipe.send({**run(seconds), "cpu": time.process_time() - cpu})
