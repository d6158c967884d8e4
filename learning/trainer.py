"""The trainer: the way of one transition, from acting to learning, and what is left on disk."""

from __future__ import annotations

import shutil
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

import envs
from common.errors import UserError
from common.files import read_json, write_json
from learning import checkpoint
from learning.config import LearnerConfig
from learning.episodes import Episodes
from learning.evaluate import EpisodeResult, evaluate
from learning.learner import Learner, Update
from learning.policy import env_options, explore
from learning.recipe import Recipe
from learning.runfolder import RunFolder
from learning.schedules import linear
from learning.seeding import numpy_generator
from learning.stopwatch import Stopwatch

LOGS_PER_RUN = 200


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and how it is judged on the way."""

    env_id: str
    recipe: Recipe
    config: LearnerConfig
    seed: int
    device: str = "cpu"
    evaluations: int = 10
    """Evaluations of a run, the final one included."""
    eval_episodes: int = 100
    """Episodes of the final evaluation; those on the way take a fifth."""
    storage: str | None = None
    """Where the replay's observations lie; None: with the learner."""

    @property
    def protocol(self) -> envs.Protocol:
        """The rules of the episodes."""
        return envs.protocol(self.env_id, self.config.protocol)

    def env_options(self, evaluation: bool = False) -> dict[str, Any]:
        """Return the options of the environments of training or of evaluation."""
        return env_options(self.env_id, self.config, evaluation)


class Watcher(Protocol):
    """Whoever looks on: a live display, plain lines, a test."""

    def progress(self, row: dict[str, Any]) -> None:
        """Receive one row of metrics."""

    def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
        """Receive the results of an evaluation."""


class Trainer:
    """One training run, from its plan or from its saved state to the last evaluation."""

    def __init__(self, plan: Plan, run: RunFolder | None) -> None:
        """``run`` None: nothing is written; only `begin` and `step` may be called, for a rehearsal."""
        self.plan, self._run_folder = plan, run
        config = plan.config
        self.rules = plan.protocol
        self.episodes = Episodes(plan.env_id, config.num_envs, plan.seed, plan.env_options())
        self.space = self.episodes.space
        learner = plan.recipe.learner or Learner
        self.learner = learner(plan.recipe, config, self.space, self.episodes.num_actions, plan.seed, plan.device)
        self.policy = self.learner.policy(plan.env_id)
        self.rng = {name: numpy_generator(plan.seed, name) for name in ("exploration", "replay")}
        self.experience = plan.recipe.experience(
            config, self.space, self.episodes.stack, self.rng["replay"], plan.device, plan.storage,
            lambda obs: self.policy.q_values(obs).max(1),
        )  # fmt: skip
        self.agent_steps = 0
        self.begun = False
        self.watch = Stopwatch("acting", "environment", "learning")
        self.wall_before = 0.0  # seconds of the run before it was resumed
        self._began = time.perf_counter()
        self.recent: deque[tuple[float, int]] = deque(maxlen=100)
        self.unread: list[Update] = []
        self.stop_requested = False

    @property
    def run_folder(self) -> RunFolder:
        """Where everything is written."""
        assert self._run_folder is not None
        return self._run_folder

    # ------------------------------------------------------------------ the loop

    def run(self, watcher: Watcher) -> bool:
        """Train to the end or until ``stop_requested``; return whether the end was reached."""
        config = self.plan.config
        self._began = logged_at = time.perf_counter()
        logged_steps = self.agent_steps
        if not self.begun:
            self.begin()
        log_every = max(config.total_timesteps // LOGS_PER_RUN, config.num_envs)
        eval_every = config.total_timesteps / self.plan.evaluations
        while self.agent_steps < config.total_timesteps and not self.stop_requested:
            before = self.agent_steps
            self.step()
            now = self.agent_steps
            if now // log_every > before // log_every:
                clock = time.perf_counter()
                sps = (now - logged_steps) / max(clock - logged_at, 1e-9)
                logged_at, logged_steps = clock, now
                self._log(watcher, sps)
            if now // eval_every > before // eval_every and now < config.total_timesteps:
                self._evaluate(watcher, max(self.plan.eval_episodes // 5, 1))
                logged_at, logged_steps = time.perf_counter(), now
        finished = self.agent_steps >= config.total_timesteps
        self._check_losses()
        if finished:
            self._evaluate(watcher, self.plan.eval_episodes)
            shutil.rmtree(self.run_folder.state, ignore_errors=True)  # of an earlier stop; nothing is left to resume
        else:
            self.save_agent()
            self.save_state()
        self.run_folder.close()
        self.episodes.close()
        return finished

    def begin(self) -> None:
        """Start the first episodes."""
        self.experience.reset(self.episodes.begin())
        self.begun = True

    def step(self) -> None:
        """Act once in every environment, learn what is due, remember what came of the actions.

        Environments with threads of their own step while the network learns.
        """
        config, watch = self.plan.config, self.watch
        with watch("acting"):
            q_values = self.learner.explore(self.policy, self.episodes.obs)
            actions = explore(q_values.argmax(1), self.episodes.num_actions, self.epsilon, self.rng["exploration"])
            self.episodes.send(actions)
        with watch("learning"):
            for batch in self.experience.batches(q_values):
                update = self.learner.update(batch, self.learning_rate)
                self.experience.learnt(batch, update.priority)
                self.unread.append(update)
        with watch("environment"):
            step = self.episodes.receive()
            cut = step.terminated | step.life_lost if self.rules.life_loss_cuts else step.terminated
            reward = np.clip(step.reward, -1.0, 1.0) if config.clip_rewards else step.reward
            self.experience.add(actions, reward, config.gamma * (1.0 - cut), step.obs)
            if step.done.any():
                self.recent.extend(step.finished)
                self.experience.reset(self.episodes.obs, step.done)
        self.agent_steps += config.num_envs

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        return self.plan.config.epsilon(self.agent_steps - self.experience.warm_up)

    @property
    def learning_rate(self) -> float:
        """Adam's step size now."""
        config = self.plan.config
        return linear(config.learning_rate, config.final_learning_rate, config.total_timesteps, self.agent_steps)

    @property
    def wall_s(self) -> float:
        """Seconds that the run has taken so far, evaluations included."""
        return self.wall_before + time.perf_counter() - self._began

    @property
    def _frames(self) -> int:
        """Emulator frames so far."""
        return self.agent_steps * self.rules.frames_per_step

    # ------------------------------------------------------------------ what is reported

    def _check_losses(self) -> tuple[float | None, float | None]:
        """Return mean loss and Q value since the last call; raise if one of the losses was not a number.

        Losses are read in one go and seldom, so that a GPU need not wait for each. Nothing is saved
        between two readings, so what is on disk is never poisoned.
        """
        if not self.unread:
            return None, None
        losses = torch.stack([update.loss for update in self.unread]).cpu()
        q_values = torch.stack([update.q_values for update in self.unread]).mean().item()
        broken = torch.nonzero(~torch.isfinite(losses)).flatten()
        if len(broken):
            update = self.learner.updates - len(losses) + int(broken[0]) + 1
            raise UserError(
                f"the loss became {losses[broken[0]].item()} at update {update:,} (agent step {self.agent_steps:,} or"
                f" shortly before); the last sound agent and all metrics are in {self.run_folder.path};"
                " a smaller --learning-rate usually helps"
            )
        self.unread.clear()
        return losses.mean().item(), q_values

    def _log(self, watcher: Watcher, sps: float) -> None:
        loss, q_values = self._check_losses()
        returns = [episode_return for episode_return, _ in self.recent]
        lengths = [length for _, length in self.recent]
        row = {
            "agent_steps": self.agent_steps,
            "frames": self._frames,
            "updates": self.learner.updates,
            "episodes": self.episodes.finished,
            "wall_s": round(self.wall_s, 2),
            "episodic_return": round(float(np.mean(returns)), 4) if returns else None,
            "episodic_length": round(float(np.mean(lengths)), 1) if lengths else None,
            "sps": round(sps, 1),
            "epsilon": round(self.epsilon, 5),
            "learning_rate": self.learning_rate,
            "td_loss": loss,
            "q_values": q_values,
            **{name: round(share, 4) for name, share in self.watch.shares().items()},
        }
        self.run_folder.log(row)
        watcher.progress(row)

    def _evaluate(self, watcher: Watcher, episodes: int) -> None:
        """Judge the present network on environments of its own, then save it."""
        self._check_losses()
        epsilon = self.policy.default_epsilon
        results = evaluate(self.policy, self.plan.env_id, episodes, epsilon, **self.policy.env_options)
        self.run_folder.log_evaluation(results, self.agent_steps, self._frames, epsilon, self.rules.name)
        mean = float(np.mean([result.episode_return for result in results]))
        row = {"agent_steps": self.agent_steps, "frames": self._frames, "wall_s": round(self.wall_s, 2)}
        self.run_folder.log({**row, "eval_return": mean})
        self.save_agent()
        watcher.evaluated(self.agent_steps, results)

    # ------------------------------------------------------------------ what is kept

    def save_agent(self) -> None:
        """Write ``agent/``."""
        checkpoint.save_agent(self.run_folder.agent, self.learner, self.plan.env_id, self.space, self.agent_steps)

    def save_state(self) -> None:
        """Write ``state/``, with which `load_state` goes on exactly where this run is now."""
        folder = self.run_folder.state
        # the counters go first and come last: without them there is no state, so it is never a mixture
        (folder / "counters.json").unlink(missing_ok=True)
        checkpoint.save_learner(folder, self.learner)
        self.experience.save(folder)
        write_json(
            folder / "counters.json",
            {
                "format": checkpoint.FORMAT,
                "agent_steps": self.agent_steps,
                "updates": self.learner.updates,
                "wall_s": self.wall_s,
                "recent": list(self.recent),
                "episodes": self.episodes.state(),
                "generators": {name: rng.bit_generator.state for name, rng in self.rng.items()},
            },
        )

    def load_state(self) -> None:
        """Go on from ``state/``."""
        folder = self.run_folder.state
        if not (folder / "counters.json").exists():
            raise UserError(f"{folder}: no saved state here; only a run stopped by Ctrl-C can be resumed")
        counters = read_json(folder / "counters.json")
        try:
            checkpoint.load_learner(folder, self.learner, counters["updates"])
            self.experience.load(folder)
            self.agent_steps, self.begun = counters["agent_steps"], True
            self.wall_before = counters["wall_s"]
            self.recent.extend((episode_return, length) for episode_return, length in counters["recent"])
            self.episodes.load(counters["episodes"])
            for name, rng in self.rng.items():
                rng.bit_generator.state = counters["generators"][name]
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())
            raise UserError(f"{folder}: damaged, it does not fit the run's config.json ({detail})") from None
