"""Environments in processes of their own: slow ones step beside each other, and beside the learning."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState, _async_worker
from numpy.typing import NDArray

from common.machine import cores
from envs.foreign import EnvironmentFault, kept_of_info
from envs.hanging import WATCHDOG

Maker = Callable[[], gymnasium.Env[Any, Any]]
SLOW = 1e-3  # seconds of a step: to hand over an action and what it brings takes a tenth of that
# "fork" would copy the threads' locks in whatever state they are
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


class Processes:
    """Which environments of a batch get processes of their own.

    Attributes:
        wanted: "auto": slow ones, where there is more than one core.
    """

    def __init__(self) -> None:
        self.wanted: Literal["auto", "yes", "no"] = "no"

    def take(self, num_envs: int, step_seconds: float) -> bool:
        """Whether a batch of so many environments, whose steps take so long, gets them."""
        if self.wanted == "auto":
            return num_envs > 1 and step_seconds > SLOW and cores() > 1
        return self.wanted == "yes"


PROCESSES = Processes()
"""The program's own: it says once how many cores it may use."""


class ForeignProcesses(AsyncVectorEnv):
    """N environments in N processes, which never reset themselves; what they do is what they would do in one.

    Attributes:
        frame_stack: frames that an observation has; 1: it is one, or it is a vector.
        notes: what a person should know of the conversion.
    """

    def __init__(self, makers: Sequence[Maker], spec: EnvSpec, frame_stack: int = 1, notes: Sequence[str] = ()) -> None:
        """``spec``: of the environment, which its process may have to register."""
        self.spec_id, self.notes = spec.id, list(notes)
        multiprocessing.get_context(METHOD).set_forkserver_preload(["envs"])  # imported once for all of them
        started = [partial(_begin, os.getpid(), lane, spec, maker) for lane, maker in enumerate(makers)]
        super().__init__(started, context=METHOD, worker=_serve, autoreset_mode=AutoresetMode.DISABLED)
        _without_names(self.error_queue)
        # at the program's end, multiprocessing sends them a signal that they ignore, and waits
        Finalize(self, _kill, [self.processes], exitpriority=1)
        self.frame_stack = frame_stack if self.single_observation_space.dtype == np.uint8 else 1

    def step(self, actions: NDArray[np.int64]) -> tuple[Any, ...]:
        """Step all environments; what is returned is the caller's."""
        self.send(actions)
        return self.recv()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Let all environments step; `recv` returns what that brought, or raises what prevented it."""
        with suppress(OSError):  # a pipe without another end: its process ended between two steps
            self.step_async(actions)
        self._state = AsyncState.WAITING_STEP

    def recv(self) -> tuple[Any, ...]:
        """Return what the actions sent brought, as `step` does.

        Raises:
            EnvironmentFault: one of the environments did what none may do.
        """
        answer: tuple[Any, ...] = self._asked(self.step_wait)
        return answer

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes, where ``options["reset_mask"]`` says so, or everywhere.

        Raises:
            EnvironmentFault: as `recv`.
        """
        return self._asked(partial(super().reset, seed=seed, options=options))

    def _asked(self, call: Callable[[], Any]) -> Any:
        """Return what the processes answer."""
        try:
            return WATCHDOG.guarded(call)()
        except (EOFError, OSError) as error:  # a pipe without another end
            raise EnvironmentFault(f"{self.spec_id}: {self._ended()}") from error

    def _ended(self) -> str:
        """Return which process is gone."""
        for lane, process in enumerate(self.processes):
            process.join(1.0 if lane == 0 else 0.0)  # it may be about to end
            if process.exitcode is not None:
                by = f", killed by signal {-process.exitcode}" if process.exitcode < 0 else ""
                return f"environment {lane + 1} of {self.num_envs}: its process ended{by}"
        return f"one of {self.num_envs}: its process does not answer"

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End the processes; at once where one of them failed or hangs."""
        failed = self._state != AsyncState.DEFAULT or None in self.parent_pipes
        self._state = AsyncState.DEFAULT  # steps in progress are not waited for
        if failed or terminate or not all(process.is_alive() for process in self.processes):
            terminate = True
            _kill(self.processes)  # they ignore politer signals
        super().close_extras(timeout, terminate)

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        """Raise what the first environment that failed raised; Gymnasium's own prints every traceback, too."""
        failed = sum(not success for success in successes)
        errors = sorted((self.error_queue.get() for _ in range(failed)), key=lambda error: error[0])
        for index, *_ in errors:
            self.parent_pipes[index].close()
            self.parent_pipes[index] = None  # type: ignore[call-overload]  # as Gymnasium does: it has ended
        if errors:
            raise errors[0][2]

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        known = kept_of_info(env_info)
        return super()._add_info(vector_infos, known, env_num) if known else vector_infos


def in_processes(vec: VectorEnv[Any, Any, Any]) -> bool:
    """Whether environments have processes of their own."""
    return isinstance(vec, ForeignProcesses)


def _kill(processes: Iterable[BaseProcess]) -> None:
    for process in processes:
        process.kill()


def _without_names(queue: Any) -> None:
    """Remove the names of a queue's semaphores, which all processes have opened by now: they keep them without.

    Else those of a program that is killed are left behind, and Python warns of it afterwards, in its terminal.
    """
    locks = (queue._rlock, queue._wlock, queue._sem)
    registry: dict[Any, Any] = getattr(multiprocessing.util, "_finalizer_registry", {})
    for finalizer in list(registry.values()):
        made_for = getattr(finalizer, "_weakref", None)
        if made_for is not None and any(made_for() is lock for lock in locks if lock is not None):
            finalizer()  # once: not again at the program's end


def _serve(*arguments: Any) -> None:
    """Be an environment's process, which ends without a word when the program has ended, or was killed."""
    with suppress(EOFError, OSError):
        _async_worker(*arguments)


def _begin(parent: int, lane: int, spec: EnvSpec, maker: Maker) -> gymnasium.Env[Any, Any]:
    """Return an environment; in its own process, prepare that first."""
    if os.getpid() == parent:
        return maker()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to all; they are the program's: it saves the run, and ends this
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)
    if spec.id not in gymnasium.registry:  # a person's own, which their module registers
        if isinstance(spec.entry_point, str):
            with suppress(ImportError):
                import_module(spec.entry_point.partition(":")[0])
        gymnasium.registry.setdefault(spec.id, spec)
    if lane:
        warnings.simplefilter("ignore")  # all of a batch say the same
    try:
        return maker()
    except Exception:
        sys.exit(1)  # without a traceback: the program says that it could not be made here
