"""Playing with the newest weights of a run that is being trained in another process. No pygame here.

What is read and written in the run's ``live/`` is described in `learning.live`.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

import envs
from agents.registry import recipe
from common.errors import UserError, suggestion
from common.reading import checked
from common.tail import Tail
from learning import live, states
from learning.checkpoint import (
    MANIFEST,
    WEIGHTS,
    check_shapes,
    config_from,
    read_manifest,
    read_weights,
    shapes,
)
from learning.config import LearnerConfig
from learning.insight import NetworkReader
from learning.networks import random_actions
from learning.policy import NetworkPolicy, env_options, player
from learning.runfolder import MILESTONES, Described, RunFolder
from scores.finding import NEWEST, find_all, newest
from scores.runs import read_run
from viewer.playing.learning_curve import LearningCurve

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 1.0
UNREADABLE_SECONDS = 3.0  # that a file may be unreadable before the window reports it; being written takes less
SMALL = 10_000_000  # weights of a network that is made before the run has any
WAITING = "waiting for the run's first weights"


@dataclass(frozen=True)
class Status:
    """What is known about the run and the weights in use."""

    text: str
    """Which weights are in use, for the user: ``live, step 123,400``."""
    is_training: bool
    """A process trains the run now and reads requests."""
    agent_steps: int | None
    """Of the weights in use; None: no weights yet."""
    metrics: Mapping[str, float]
    """The newest number in each column of ``metrics.csv``: ``epsilon``, ``td_loss``, ``sps`` (steps per second) ..."""
    in_force: Mapping[str, str]
    """What replaces the schedules, as in ``events.csv``: ``{"epsilon": "0.1", "learning": "false"}``."""
    rejected: str
    """Why the last request was rejected; empty: it was not."""
    evaluation: tuple[int, int] | None = None
    """Of an evaluation in progress: the finished episodes, and all; None: there is none."""


class _Stamp(NamedTuple):
    """Identifies saved weights by their manifest, which is written last."""

    folder: Path
    changed: int  # ns
    size: int


class _Loaded(NamedTuple):
    """Weights that have been read and checked."""

    stamp: _Stamp
    agent_steps: int
    weights: dict[str, Tensor]


class LiveAgent:
    """A policy whose network follows the newest weights of a run, without interrupting play.

    A thread polls the run's folder four times a second, reads and checks new weights; the network is updated in place,
    between two calls of `q_values` or `act`, so that its ``reader`` sees the new weights too. Until the first weights
    arrive it acts at random and has no Q values. As long as it is open, the trainer publishes its weights.
    """

    def __init__(self, run: Path, *, follow: bool = True) -> None:
        """Attach to a run's folder; without ``follow`` no thread is started, and only `poll` reads the folder.

        Raises:
            UserError: the folder's ``config.json`` is missing or damaged, or its environment is not available.
        """
        self.run, self._folder = run, RunFolder(run)
        self._player, config = _blank(self._folder)
        self.total_steps: int = config.total_timesteps
        self._allowed = live.allowed(config)
        self.name, self.env_id, self.num_actions = self._player.name, self._player.env_id, self._player.num_actions
        self.default_epsilon, self.protocol = self._player.default_epsilon, self._player.protocol
        self.env_options, self.training = self._player.env_options, self._player.training
        self.network = self._player.network
        self._loaded: deque[_Loaded] = deque(maxlen=1)  # the newest weights, not in use yet
        self._read: _Stamp | None = None  # what was read last
        self._current: _Loaded | None = None  # what is in use
        self._failing_since: float | None = None
        self._failure = ""
        self._metrics, self._events = Tail(run / "metrics.csv"), Tail(run / "events.csv")
        self._values: dict[str, float] = {}
        self.curve = LearningCurve()
        self._evaluation: tuple[int, int] | None = None
        self._in_force: dict[str, str] = {}
        self._rejected = ""
        self._is_training = self._was_training = self._is_finished = False
        self._last_heartbeat = -HEARTBEAT_SECONDS
        self.poll()
        self._use_newest()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="attach", daemon=True)
        if follow:
            self._thread.start()

    # ------------------------------------------------------------------ the policy

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return the newest network's expected discounted returns, (B, ...) -> (B, A); None: no weights yet."""
        return self._player.q_values(obs) if self._use_newest() else None

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (B, ...) -> (B,); random ones before the first weights."""
        if self._use_newest():
            return self._player.act(obs, epsilon, rng)
        choices = getattr(self.network, "choices", 0)
        return random_actions(len(obs), self.num_actions, rng, obs[:, -choices:] > 0.5 if choices else None)

    def choose(self, q_values: NDArray[np.float64], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return what `act` would, (B,), from Q values (B, A) that are known already."""
        return self._player.choose(q_values, epsilon, rng)

    def reader(self) -> NetworkReader:
        """Return the reader of the network's activations and gradients."""
        return self._player.reader()

    def _use_newest(self) -> bool:
        """Put the newest loaded weights to use; return whether any are in use."""
        if self._loaded:
            self._current = self._loaded.popleft()
            self.network.load_state_dict(self._current.weights, strict=False)
            self._update_status()
        return self._current is not None

    @property
    def weights_version(self) -> int:
        """Return a number that changes when the network does."""
        return -1 if self._current is None else self._current.agent_steps

    # ------------------------------------------------------------------ the run

    def status(self) -> Status:
        """Return what is known now, without reading the folder."""
        return self._status

    def request(self, name: str, value: live.Value) -> bool:
        """Ask the trainer for an ``epsilon``, a ``learning_rate`` or ``learning`` (true, false); None: as scheduled.

        The trainer applies it within about a second. Returns whether there is a trainer to apply it.

        Raises:
            UserError: there is no such request, or the value is out of range.
        """
        if reason := live.rejection(name, value, self._allowed):
            raise UserError(reason)
        if not self._is_training:
            return False
        try:
            live.append_request(self._folder.live, name, value)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Detach; the trainer stops publishing unless another window is attached."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._last_heartbeat >= 0:
            live.remove_heartbeat(self._folder.live)

    def _follow(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Read what is new in the run's folder; what can't be read yet is tried again the next time."""
        before, self._is_training = self._is_training, live.is_training(self._folder.live)
        self._was_training |= self._is_training
        if not self._is_training and (before or self._current is None):
            found, _ = read_run(self.run)
            self._is_finished = found is not None and found.finished
        now = time.monotonic()
        if self._is_training and now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            with suppress(OSError):  # deleted or read-only: what is there can be watched all the same
                live.write_heartbeat(self._folder.live)
                self._last_heartbeat = now
        self._load_new_weights(now)
        self._evaluation = live.evaluation(self._folder.live) if self._is_training else None
        for row in self._metrics.rows():
            self.curve.add(row)
            with suppress(ValueError):
                self._values |= {name: float(cell[:100]) for name, cell in row.items() if cell}
        for row in self._events.rows():
            self._apply_event(row)
        self._update_status()

    def _apply_event(self, row: Mapping[str, str]) -> None:
        """Apply a line of ``events.csv`` to what is in force."""
        self._rejected = row.get("refused", "")
        if self._rejected:
            return
        name, value = row.get("name", ""), row.get("value", "")
        self._in_force.pop(name, None)
        if value != "schedule":
            self._in_force[name] = value

    def _load_new_weights(self, now: float) -> None:
        stamp = self._newest()
        if stamp is None or stamp == self._read:
            self._failing_since = None
            return
        try:
            manifest = read_manifest(stamp.folder)
            if manifest["env_id"] != self.env_id:
                raise UserError(
                    f"{stamp.folder}: its agent is for {manifest['env_id']}, but the run trains in {self.env_id}"
                )
            weights = read_weights(stamp.folder, manifest, self.network)
            self._loaded.append(_Loaded(stamp, manifest["agent_steps"], weights))
            self._read, self._failing_since = stamp, None
        except UserError as error:
            self._failure = str(error)
            self._failing_since = now if self._failing_since is None else self._failing_since

    def _newest(self) -> _Stamp | None:
        """Return where the newest weights are: live ones while training, else the saved agent, else a milestone."""
        folder = self._folder
        saved = [folder.agent, *(folder.milestone(percent) for percent in reversed(MILESTONES))]
        for place in [folder.live, *saved] if self._is_training else [folder.agent, folder.live, *saved[1:]]:
            try:
                found = (place / MANIFEST).stat()
                return _Stamp(place, found.st_mtime_ns, found.st_size)
            except OSError:
                continue
        return None

    # ------------------------------------------------------------------ the status

    def _update_status(self) -> None:
        steps = self._current.agent_steps if self._current else None
        text = self._text()
        self.name = f"{self._player.name} ({text})"
        values, in_force = dict(self._values), dict(self._in_force)
        self._status = Status(text, self._is_training, steps, values, in_force, self._rejected, self._evaluation)

    def _text(self) -> str:
        if not (self.run / "config.json").exists():
            return "the run's folder no longer exists"
        if self._failing_since is not None and time.monotonic() - self._failing_since > UNREADABLE_SECONDS:
            return self._failure
        if self._current is None:
            return "the run has ended without an agent" if self._was_training and not self._is_training else WAITING
        at = f"step {self._current.agent_steps:,}"
        if self._evaluation is not None:
            return f"evaluating, {at}"
        if self._is_training:
            is_live = self._current.stamp.folder == self._folder.live
            return f"live, {at}" if is_live else f"saved at {at}, waiting for live weights"
        if states.exists(self._folder.state) and not self._is_finished:
            is_trained = self._current.agent_steps >= self.total_steps
            return f"the run was stopped in its last evaluation, {at}" if is_trained else f"the run was stopped at {at}"
        return f"the run has ended, {at}" + (
            "" if self._current.agent_steps >= self.total_steps else f" of {self.total_steps:,}"
        )


def _blank(run: RunFolder) -> tuple[NetworkPolicy, LearnerConfig]:
    """Return a run's policy as its ``config.json`` describes it, its weights all zero; and its settings."""
    where = run.path / "config.json"
    described: Described = checked(where, {"config": {}, **run.config}, Described)
    agent, env_id = recipe(described.agent), described.env_id
    config: LearnerConfig = config_from(agent.config, described.config, where)
    env = envs.make(env_id, **env_options(env_id, config, evaluation=True))
    space, actions = env.observation_space, env.action_space
    env.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    _check_size(run, shapes(agent, space, int(actions.n), config))
    network = agent.network(space, int(actions.n), config, torch.Generator())
    for parameter in network.parameters():
        parameter.data.zero_()
    return player(agent.name, config, env_id, network, int(actions.n)), config


def _check_size(run: RunFolder, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `UserError` for a large network of which the run has no weights: nothing is allocated for a mere claim."""
    if sum(map(math.prod, wanted.values())) <= SMALL or live.is_training(run.live):
        return
    places = [run.agent, run.live, *(run.milestone(percent) for percent in MILESTONES)]
    saved = next((place for place in places if (place / WEIGHTS).is_file()), None)
    if saved is None:
        raise UserError(f"{run.path}: it has no agent yet, and nothing trains it")
    check_shapes(saved, WEIGHTS, "the run's config.json", wanted)


def find_run(given: str, runs_dir: Path) -> Path:
    """Return the folder of the run with this name or path; "newest": of those being trained now, else of all.

    Raises:
        UserError: there is none; the message names the nearest ones.
    """
    runs = find_all([runs_dir])
    if given == NEWEST:
        found = newest(run for run in runs if live.is_training(run / "live")) or newest(runs)
        if found is None:
            raise UserError(f"there is no run in {runs_dir} yet; train one: python train.py")
        return found
    for path in (Path(given), runs_dir / given):
        if os.path.isfile(path / "config.json"):
            return path
        if os.path.exists(path) and given:
            raise UserError(f"{path}: not a run, it has no config.json")
    hint = suggestion(Path(given).name, [path.name for path in runs]) if runs else "train one first"
    raise UserError(f"{given}: no such run; {hint}")
