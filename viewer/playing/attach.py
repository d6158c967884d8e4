"""Playing with the newest weights of a run that trains in another process. No pygame here.

What is read and written in the run's ``live/`` is described in `learning.live`.
"""

from __future__ import annotations

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
from common.errors import UserError, nearest
from learning import live
from learning.checkpoint import COUNTERS, MANIFEST, config_from, read_manifest, read_weights
from learning.config import LearnerConfig
from learning.insight import NetworkReader
from learning.policy import NetworkPolicy, env_options, player
from learning.runfolder import MILESTONES, RunFolder, Tail

NEWEST = "newest"
LOOK_SECONDS = 0.25
BEAT_SECONDS = 1.0
PATIENCE_SECONDS = 3.0  # with a file that can't be read; being written takes less
WAITING = "waiting for the first weights: none yet"


@dataclass(frozen=True)
class Status:
    """What is known of the run and of the weights that play."""

    text: str
    """What plays, for a person: ``live, step 123,400``."""
    trains: bool
    """A process trains the run now, so a request is heard."""
    agent_steps: int | None
    """Of the weights that play; None: none came yet."""
    metrics: Mapping[str, float]
    """The newest number in each column of ``metrics.csv``: ``epsilon``, ``td_loss``, ``sps`` (steps a second) ..."""
    in_force: Mapping[str, str]
    """What stands in place of the schedules, as ``events.csv`` has it: ``{"epsilon": "0.1", "learning": "false"}``."""
    refused: str
    """Why the last request was refused; empty: it was not."""


class _Stamp(NamedTuple):
    """Which weights: those that a manifest, written last, says are there."""

    folder: Path
    changed: int  # ns
    size: int


class _Arrival(NamedTuple):
    """Weights that have come, whole and checked."""

    stamp: _Stamp
    agent_steps: int
    weights: dict[str, Tensor]


class LiveAgent:
    """A player whose network becomes the newest one of a run, without stopping what plays.

    A thread looks into the run's folder four times a second, reads and checks; the network changes between two
    calls of `q_values` or `act`, in its own place, so that whoever reads it (``reader``) sees the new one. Until the
    first weights come it plays by chance and expects nothing. As long as it is open, the trainer publishes.
    """

    def __init__(self, run: Path, *, follow: bool = True) -> None:
        """Attach to a run's folder; without ``follow`` nothing happens but in `look`.

        Raises:
            UserError: the folder's ``config.json`` is missing or damaged, or its environment is not there.
        """
        self.run, self._folder = run, RunFolder(run)
        self._player, config = _blank(self._folder)
        self._total: int = config.total_timesteps
        self._allowed = live.allowed(config)
        self.name, self.env_id, self.num_actions = self._player.name, self._player.env_id, self._player.num_actions
        self.default_epsilon, self.protocol = self._player.default_epsilon, self._player.protocol
        self.env_options, self.training = self._player.env_options, self._player.training
        self.network = self._player.network
        self._arrived: deque[_Arrival] = deque(maxlen=1)
        self._read: _Stamp | None = None  # what was read last
        self._shown: _Arrival | None = None  # what plays
        self._failing_since: float | None = None
        self._failure = ""
        self._metrics, self._events = Tail(run / "metrics.csv"), Tail(run / "events.csv")
        self._values: dict[str, float] = {}
        self._in_force: dict[str, str] = {}
        self._refused = ""
        self._trains = self._trained = False
        self._beaten = -BEAT_SECONDS
        self.look()
        self._adopt()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="attach", daemon=True)
        if follow:
            self._thread.start()

    # ------------------------------------------------------------------ the player

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return the newest network's expected discounted returns, (B, ...) -> (B, A); None before there is one."""
        return self._player.q_values(obs) if self._adopt() else None

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (B, ...) -> (B,); by chance before there is a network."""
        if self._adopt():
            return self._player.act(obs, epsilon, rng)
        return rng.integers(0, self.num_actions, len(obs))

    def choose(self, q_values: NDArray[np.float64], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return what `act` would, (B,), from expectations (B, A) that are known already."""
        return self._player.choose(q_values, epsilon, rng)

    def reader(self) -> NetworkReader:
        """Return what reads the network beyond its expectations."""
        return self._player.reader()

    def _adopt(self) -> bool:
        """Let weights that have come play; return whether there are any."""
        if self._arrived:
            self._shown = self._arrived.popleft()
            self.network.load_state_dict(self._shown.weights, strict=False)
            self._tell()
        return self._shown is not None

    @property
    def weights_version(self) -> int:
        """Return a number that changes when the network does."""
        return -1 if self._shown is None else self._shown.agent_steps

    # ------------------------------------------------------------------ the run

    def status(self) -> Status:
        """Return what is known now; costs nothing."""
        return self._status

    def request(self, name: str, value: live.Value) -> bool:
        """Ask the trainer for an ``epsilon``, a ``learning_rate`` or ``learning`` (true, false); None: as scheduled.

        It is heard within a second or so. Returns whether there is a trainer to hear it.

        Raises:
            UserError: there is no such request, or the value is out of range.
        """
        if reason := live.refusal(name, value, self._allowed):
            raise UserError(reason)
        if not self._trains:
            return False
        try:
            live.append_request(self._folder.live, name, value)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Detach: the trainer publishes no longer, if nobody else looks on."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._beaten >= 0:
            live.leave(self._folder.live)

    def _follow(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """See what is new in the run's folder; what can't be read yet waits for the next time."""
        self._trains = live.trains_now(self._folder.live)
        self._trained |= self._trains
        now = time.monotonic()
        if self._trains and now - self._beaten >= BEAT_SECONDS:
            with suppress(OSError):  # deleted or read-only: what is there can be watched all the same
                live.beat(self._folder.live)
                self._beaten = now
        self._look_for_weights(now)
        for row in self._metrics.rows():
            with suppress(ValueError):
                self._values |= {name: float(cell) for name, cell in row.items() if cell}
        for row in self._events.rows():
            self._hear(row)
        self._tell()

    def _hear(self, row: Mapping[str, str]) -> None:
        """Take in a line of ``events.csv``."""
        self._refused = row.get("refused", "")
        if self._refused:
            return
        name, value = row.get("name", ""), row.get("value", "")
        self._in_force.pop(name, None)
        if value != "schedule":
            self._in_force[name] = value

    def _look_for_weights(self, now: float) -> None:
        stamp = self._newest()
        if stamp is None or stamp == self._read:
            self._failing_since = None
            return
        try:
            manifest = read_manifest(stamp.folder)
            if manifest["env_id"] != self.env_id:
                raise UserError(f"{stamp.folder}: its agent is for {manifest['env_id']}, the run is in {self.env_id}")
            weights = read_weights(stamp.folder, manifest, self.network)
            self._arrived.append(_Arrival(stamp, manifest["agent_steps"], weights))
            self._read, self._failing_since = stamp, None
        except UserError as error:
            self._failure = str(error)
            self._failing_since = now if self._failing_since is None else self._failing_since

    def _newest(self) -> _Stamp | None:
        """Return where the newest weights are: live ones while the run trains, else the agent, else a milestone."""
        folder = self._folder
        saved = [folder.agent, *(folder.milestone(percent) for percent in reversed(MILESTONES))]
        for place in [folder.live, *saved] if self._trains else [folder.agent, folder.live, *saved[1:]]:
            try:
                found = (place / MANIFEST).stat()
                return _Stamp(place, found.st_mtime_ns, found.st_size)
            except OSError:
                continue
        return None

    # ------------------------------------------------------------------ what is said

    def _tell(self) -> None:
        steps = self._shown.agent_steps if self._shown else None
        text = self._text()
        self.name = f"{self._player.name} ({text})"
        self._status = Status(text, self._trains, steps, dict(self._values), dict(self._in_force), self._refused)

    def _text(self) -> str:
        if not (self.run / "config.json").exists():
            return "the run's folder is gone"
        if self._failing_since is not None and time.monotonic() - self._failing_since > PATIENCE_SECONDS:
            return self._failure
        if self._shown is None:
            return "the run has ended without an agent" if self._trained and not self._trains else WAITING
        at = f"step {self._shown.agent_steps:,}"
        if self._trains:
            return f"live, {at}" if self._shown.stamp.folder == self._folder.live else f"saved at {at}, live to come"
        if (self._folder.state / COUNTERS).exists():
            return f"the run was stopped at {at}"
        return f"the run has ended, {at}" + ("" if self._shown.agent_steps >= self._total else f" of {self._total:,}")


def _blank(run: RunFolder) -> tuple[NetworkPolicy, LearnerConfig]:
    """Return a run's player as its ``config.json`` describes it, its network still empty; and its settings."""
    where = run.path / "config.json"
    try:
        agent, env_id = recipe(run.config["agent"]), str(run.config["env_id"])
        config: LearnerConfig = config_from(agent.config, run.config.get("config", {}), where)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: damaged ({error})") from None
    env = envs.make(env_id, **env_options(env_id, config, evaluation=True))
    space, actions = env.observation_space, env.action_space
    env.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    network = agent.network(space, int(actions.n), config, torch.Generator())
    for parameter in network.parameters():
        parameter.data.zero_()
    return player(agent.name, config, env_id, network, int(actions.n)), config


def find_run(given: str, runs_dir: Path) -> Path:
    """Return the folder of the run that a person names; "newest": of those that train now, else of all.

    Raises:
        UserError: there is none; the nearest ones are named.
    """
    runs = [path.parent for path in runs_dir.glob("*/config.json")]
    if given == NEWEST:
        if not runs:
            raise UserError(f"there is no run in {runs_dir} yet; train one: python train.py")
        return max(runs, key=_recency)
    for path in (Path(given), runs_dir / given):
        if (path / "config.json").is_file():
            return path
        if path.exists() and given:
            raise UserError(f"{path}: no run is here, its config.json is missing")
    hint = f"did you mean {nearest(Path(given).name, [path.name for path in runs])}?" if runs else "train one first"
    raise UserError(f"{given}: no such run; {hint}")


def _recency(run: Path) -> tuple[bool, str, float]:
    """Return what orders runs: those that train come last, then by the time in the name, then by the folder's own."""
    return live.trains_now(run / "live"), run.name.rpartition("__")[2], (run / "config.json").stat().st_mtime
