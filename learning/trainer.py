"""The trainer: one run, from acting to learning to what is written to disk."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

import envs
from common import memory
from common.commands import command
from common.errors import UserError
from common.text import number_of
from learning import checkpoint, fingerprints
from learning.config import numpy_generator
from learning.episodes import Episodes
from learning.evaluate import Evaluator, Progress, Stopped
from learning.fused import make_learner
from learning.learner import Agent, Learner, UpdateLog
from learning.live import REQUESTS, ControlRequests, Watcher, WeightPublisher, live_session
from learning.logs import PATIENCE, PATIENCE_STOPPED
from learning.plan import Plan
from learning.ranges import RangeWatch
from learning.recipe import Experience
from learning.runfolder import RunFolder
from learning.states import COUNTERS, Saved, States

LOGS_PER_RUN = 200
PULSE_SECONDS = 1.0  # between two reports to the display, however seldom a row is due
KEPT_BYTES = 256_000_000  # of a finished run's experience, at most, unless asked for: an Atari replay takes 7 GB
FIRST_STATE = 60.0  # seconds after which the first state is written, at the latest
NOT_LOGGED = ("left_s", "running_length", "running_return")  # of a row: for the display only


class Trainer:
    """One training run, from its plan or from its saved state to the last evaluation."""

    def __init__(self, plan: Plan, run: RunFolder | None, vec: VectorEnv[Any, Any, Any] | None = None) -> None:
        """Make all that a run needs.

        Args:
            plan: what is to be trained.
            run: where it is written; None: nothing is, and only `begin` and `step` may be called, for timing.
            vec: environments that were already made; None: they are made.
        """
        self.plan, self._run_folder = plan, run
        config = plan.config
        self.rules = plan.protocol
        self.episodes = self._make_episodes(vec)
        self.space = self.episodes.space
        self.learner: Learner = make_learner(
            plan.recipe, config, self.space, self.episodes.num_actions, plan.seed, plan.device, plan.engine
        )
        self.policy = self.learner.policy(plan.env_id)
        self.rng = {name: numpy_generator(plan.seed, name) for name in ("exploration", "replay")}
        self.experience: Experience = plan.recipe.experience(
            config,
            self.space,
            self.episodes.stack,
            self.rng["replay"],
            plan.device,
            plan.storage,
            lambda obs: self.policy.q_values(obs).max(1),
        )
        self.update_log, self.range_watch = UpdateLog(), RangeWatch()
        self.agent = Agent(self.learner, self.experience, self.rules.life_loss_cuts, self.update_log.add)
        self.begun = False
        self.wall_before = 0.0  # seconds of the run before it was resumed
        self._began = time.perf_counter()
        self.recent: deque[tuple[float, int]] = deque(maxlen=100)
        self.stop_requested = False
        self.stop_signal: int | None = None  # that asked for it
        self.saving = False  # while a second Ctrl-C is held back
        self.until: int | None = None  # agent steps at which a repetition ends, unsaved
        self.evaluation_due = False  # one was reached, and is not done: a stop ended it
        self.evaluator = Evaluator(plan.env_id, self.policy.env_options, config.eval_max_steps)
        self.forecast = plan.forecast()  # better with what was measured before the start
        self._marked = (time.perf_counter(), 0)  # when and at which agent step the forecast was last told
        self._said_left_out = False
        self.requests = ControlRequests(config)  # from windows attached to this run
        self.announce: Callable[[str], None] = lambda line: None  # called with the outcome of each request

    def _make_episodes(self, vec: VectorEnv[Any, Any, Any] | None) -> Episodes:
        plan = self.plan
        return Episodes(plan.env_id, plan.config.num_envs, plan.seed, plan.env_options(), vec)

    @property
    def run_folder(self) -> RunFolder:
        """Where everything is written."""
        assert self._run_folder is not None
        return self._run_folder

    @functools.cached_property
    def states(self) -> States:
        """What the run can be resumed from."""
        return States(self.run_folder.state)

    # ------------------------------------------------------------------ the loop

    def run(self, watcher: Watcher) -> bool:
        """Train to the end or until ``stop_requested``; return whether the end was reached.

        Raises:
            UserError: the loss is NaN or infinite, or another process trains this run.
        """
        live = self.run_folder.live
        self.run_folder.faults.say = lambda line: self.announce(line)
        envs.WATCHDOG.give_up = self._save_hung
        with live_session(self.run_folder.claim, lambda folder: self.save_agent(folder, durable=False)) as publisher:
            self._began = time.perf_counter()
            try:
                if not self.begun:
                    self.begin()
                self._train(watcher, publisher)
                self._check_losses()
                finished = self.agent_steps >= self.plan.config.total_timesteps
                if finished:
                    finished = self._evaluate(watcher, publisher, self.plan.schedule.episodes)
            except envs.EnvironmentFault as fault:
                raise self._saved_after(fault) from fault
            except (MemoryError, RuntimeError) as error:
                if not memory.ran_out(error):
                    raise
                raise UserError(self._without_memory(error)) from error
            if finished:
                if "the agent" in self.run_folder.faults.failing:
                    self._insist("the agent", self.save_agent)
                self._insist("the state", self._keep_finished)
                with suppress(OSError):  # being written to, on Windows
                    (live / REQUESTS).unlink(missing_ok=True)  # they were for this run as it was planned
            elif self.until is None:
                self._save_all()
            self.run_folder.close(self._patience)
        self.states.close()
        self.episodes.close()
        self.evaluator.close()
        return finished

    def _without_memory(self, error: BaseException) -> str:
        """Return in one line where memory ran out, and what takes how much of it."""
        plan = self.plan
        experience = plan.recipe.experience
        needed = experience.bytes_needed(plan.config, self.space, self.episodes.stack)
        option = "--capacity" if hasattr(plan.config, "capacity") else "--num-envs"
        network = sum(value.numel() * value.element_size() for value in self.learner.online.state_dict().values())
        return (
            f"out of memory at {number_of(self.agent_steps, 'agent step')}, {memory.where(error)};"
            f" the {experience.label} takes {needed / 1e6:,.0f} MB ({option} makes it smaller),"
            f" a network {network / 1e6:,.0f} MB, {memory.in_use(plan.device)}; what was last saved is kept"
        )

    def _saved_after(self, fault: envs.EnvironmentFault) -> UserError:
        """Save what can be saved after an environment's fault, and return the error for the user."""
        if not self.begun:
            return fault
        self._check_losses()
        self._save_all()
        anew = "; its episodes will begin anew" if self.episodes.abandoned else ""
        resume = command("train.py", "--resume", self.run_folder.path) + anew
        return UserError(f"{fault}; saved at {number_of(self.agent_steps, 'agent step')}, resume with {resume}")

    def _save_hung(self, what: str) -> None:
        """Raise the error for the user, after saving, while the main thread hangs in an environment for good."""
        torch.set_flush_denormal(True)  # each thread has its own
        if not self.evaluation_due:
            self.episodes.abandon()
            self.agent.end_learning()
        raise self._saved_after(envs.EnvironmentFault(f"{self.plan.env_id}: {what}"))

    def _train(self, watcher: Watcher, publisher: WeightPublisher) -> None:
        """Step, log, evaluate and apply requests until the end or ``stop_requested``."""
        total, num_envs, schedule = self.plan.config.total_timesteps, self.plan.config.num_envs, self.plan.schedule
        log_every, eval_every = max(total // LOGS_PER_RUN, num_envs), total / schedule.count
        self._marked = logged = shown = time.perf_counter(), self.agent_steps
        milestones = self.run_folder.milestones_ahead(total, self.agent_steps)
        marks = fingerprints.marks_ahead(self.experience.warm_up, self.agent_steps)
        end = total if self.until is None else min(self.until, total)
        self._keep(milestones)
        next_state = time.perf_counter() + min(FIRST_STATE, self.plan.state_every)
        if self.evaluation_due and self.agent_steps < total:  # a stop ended it
            self._evaluate(watcher, publisher, schedule.interim_episodes)
        while self.agent_steps < end and not self.stop_requested:
            before = self.agent_steps
            self.step()
            now, clock = self.agent_steps, time.perf_counter()
            if milestones and now >= milestones[0][0]:
                self._keep(milestones)
            if marks and now >= marks[0]:
                marks = [mark for mark in marks if mark > now]
                self.run_folder.attempt("a fingerprint", self._take_fingerprint, again=False)
            sps = (now - logged[1]) / max(clock - logged[0], 1e-9)
            if now // log_every > before // log_every:
                self._log(watcher, sps)
                logged = shown = clock, now
            elif clock - shown[0] > PULSE_SECONDS:
                watcher.pulse(self._row(sps))
                shown = clock, now
            if now // eval_every > before // eval_every and now < total:
                self._evaluate(watcher, publisher, schedule.interim_episodes)  # a stop that ends it ends this loop too
                logged = shown = time.perf_counter(), now
            if publisher.due() and publisher.attend():
                self._apply_requests()
            if clock >= next_state and self.until is None:
                self._checkpoint()
                next_state = time.perf_counter() + self.plan.state_every
            elif self.states.begun:
                self.experience.write_ahead(self.states)

    def _keep(self, milestones: list[tuple[float, Path]]) -> None:
        """Write the milestones that are reached, and remove them from the list."""
        while milestones and self.agent_steps >= milestones[0][0]:
            self._check_losses()
            percent = int(milestones.pop(0)[1].name)
            save = functools.partial(self._keep_one, percent)
            self.run_folder.attempt(f"the milestone of {percent} %", save, again=False)

    def _keep_one(self, percent: int, run_folder: Path) -> None:
        self.save_agent(self.run_folder.milestone(percent))

    def _take_fingerprint(self, folder: Path) -> None:
        """Write what a repetition is compared with: checksums of the weights and observations of now."""
        now = {
            "updates": self.learner.updates,
            "weights": fingerprints.weights_checksum(self.learner.online),
            "observations": fingerprints.checksum([self.episodes.obs]),
        }
        fingerprints.write(folder, self.agent_steps, now)

    def _apply_requests(self) -> None:
        """Apply what attached windows request, and log it."""
        for event in self.requests.read(self.run_folder.live / REQUESTS):
            self.run_folder.log_event({**self._so_far, **event.row})
            self.announce(f"{event} at {number_of(self.agent_steps, 'agent step')}")
        self.agent.overrides = self.requests.overrides

    def begin(self) -> None:
        """Start the first episodes."""
        self.experience.reset(self.episodes.begin(self.plan.config.stagger))
        self.begun = True

    def step(self) -> None:
        """Act once in every environment, learn what is due, store what the actions brought.

        Environments with threads of their own step while the network learns.
        """
        agent, episodes = self.agent, self.episodes
        agent.learn_beside()
        with agent.watch("acting"):
            q_values = self.learner.noisy_q_values(episodes.obs)
            actions = agent.act(q_values, self.rng["exploration"])
            episodes.send(actions)
        try:
            step = agent.transition(q_values, actions, episodes.receive)
        except envs.EnvironmentFault:
            episodes.abandon()
            raise
        if step.done.any():
            self.recent.extend(step.finished)
            self.experience.reset(episodes.obs, step.done)

    @property
    def agent_steps(self) -> int:
        """Agent steps so far, over all environments."""
        return self.agent.steps

    @property
    def wall_s(self) -> float:
        """Seconds that the run has taken so far, evaluations included."""
        return self.wall_before + time.perf_counter() - self._began

    @property
    def _so_far(self) -> dict[str, Any]:
        """The run's position, as in every row of its files; frames are the emulator's."""
        frames = self.agent_steps * self.rules.frames_per_step
        return {"agent_steps": self.agent_steps, "frames": frames, "wall_s": round(self.wall_s, 2)}

    # ------------------------------------------------------------------ what is reported

    def _check_losses(self) -> None:
        """Raise if a loss or a weight was NaN or infinite; nothing is saved without this check."""
        found, weights = self.update_log.non_finite(), self.learner.strange_weights()
        if not found and not weights:
            return
        update = self.learner.updates - (found.updates_ago if found else 0)
        what = f"the loss became {found.loss} at" if found else "weights became NaN or infinite by"
        raise UserError(
            f"{what} update {update:,} (agent step {self.agent_steps:,} or shortly before)"
            + (f"; NaN or infinite are now {weights}" if weights else "; the weights are finite")
            + "; the last good agent is kept; a smaller --learning-rate usually helps, or --on-nan skip leaves them out"
        )

    def _say_left_out(self) -> None:
        """Say once that updates are left out."""
        if self.learner.left_out and not self._said_left_out:
            self._said_left_out = True
            self.announce(
                f"note: by agent step {self.agent_steps:,} the loss or gradient of an update was NaN or infinite,"
                " so it was left out (--on-nan skip); further ones are counted"
            )

    def _log(self, watcher: Watcher, sps: float) -> None:
        self._check_losses()
        self._say_left_out()
        row = self._row(sps)
        if note := self.range_watch.note(self.update_log.cut_off, self.plan.config, self.experience):
            self.announce(f"note: {note}")
        row["td_loss"], row["q_values"] = self.update_log.read()
        self.run_folder.log({name: value for name, value in row.items() if name not in NOT_LOGGED})
        watcher.progress(row)

    def _row(self, sps: float) -> dict[str, Any]:
        """Return the row of metrics for now, without those of the updates; and what is not logged.

        That is ``left_s``, the seconds left, and the mean length and return of the running episodes.
        """
        clock, steps = self._marked
        self._marked = time.perf_counter(), self.agent_steps
        if self.learner.updates:  # before the first one steps are quicker than they will be
            self.forecast.trained(self.agent_steps - steps, self._marked[0] - clock)
        returns = [episode_return for episode_return, _ in self.recent]
        lengths = [length for _, length in self.recent]
        return {
            **self._so_far,
            "updates": self.learner.updates,
            "episodes": self.episodes.finished,
            "episodic_return": round(float(np.mean(returns)), 4) if returns else None,
            "episodic_length": round(float(np.mean(lengths)), 1) if lengths else None,
            "sps": round(sps, 1),
            "epsilon": round(self.agent.epsilon, 5),
            "learning_rate": self.agent.learning_rate,
            "td_loss": None,
            "q_values": None,
            **{name: round(share, 4) for name, share in self.agent.watch.shares().items()},
            "left_s": self.forecast.left(self.agent_steps),
            "running_length": float(self.episodes.lengths.mean()),
            "running_return": float(self.episodes.returns.mean()),
        }

    def _evaluate(self, watcher: Watcher, publisher: WeightPublisher, episodes: int) -> bool:
        """Evaluate the present network on environments of its own, then save it; return False if a stop ended that.

        The evaluation is due then, and done again when the run is resumed: it changes nothing but what is written at
        its end, so the run is the same.
        """
        self._check_losses()
        self.update_log.clear()
        self.evaluation_due = True
        epsilon, began = self.policy.default_epsilon, time.perf_counter()

        def watch(progress: Progress) -> None:
            if self.stop_requested:
                raise Stopped
            left = self.forecast.evaluation_left(progress, time.perf_counter() - began)
            watcher.evaluating(progress.finished, progress.episodes, left)
            publisher.evaluating(progress.finished, progress.episodes)

        try:
            watch(Progress(0, episodes, 0, 0))  # environments may take seconds to start
            results = self.evaluator.evaluate(self.policy, episodes, epsilon, watch=watch)
        except Stopped:
            self.announce("the evaluation is left; it is done again when the run is resumed")
            return False
        finally:
            publisher.evaluated()
        self.evaluation_due = False
        self.forecast.evaluated(episodes, time.perf_counter() - began)
        now = self._so_far
        self.run_folder.log_evaluation(results, now["agent_steps"], now["frames"], epsilon, self.plan.eval_protocol)
        self.run_folder.log({**now, "eval_return": float(np.mean([result.episode_return for result in results]))})
        self._marked = time.perf_counter(), self.agent_steps
        self.run_folder.attempt("the agent", lambda folder: self.save_agent())
        watcher.evaluated(self.agent_steps, results)
        return True

    # ------------------------------------------------------------------ what is kept

    def _insist(self, what: str, write: Callable[[], None]) -> None:
        """Write what must not be lost; `UserError` where that is not possible for a while."""
        self.run_folder.insist(what, lambda folder: write(), self._patience)

    @property
    def _patience(self) -> float:
        return PATIENCE_STOPPED if self.stop_requested else PATIENCE

    def _save_all(self) -> None:
        """Write all that a stopped run is resumed from."""
        self.saving = True
        self._insist("the agent", self.save_agent)
        self._insist("the state", self.save_state)

    def save_agent(self, folder: Path | None = None, durable: bool = True) -> None:
        """Write ``agent/``, or the same into another folder."""
        checkpoint.save_agent(
            folder or self.run_folder.agent, self.learner, self.plan.env_id, self.space, self.agent_steps, durable
        )

    def _keep_finished(self) -> None:
        """Write the state of a finished run, to be extended from, without the experience where that is large."""
        plan = self.plan
        needed = plan.recipe.experience.bytes_needed(plan.config, self.space, self.episodes.stack)
        if plan.keep_state == "no":
            self.states.remove()
        else:
            self.save_state(with_experience=plan.keep_state == "yes" or needed <= KEPT_BYTES)
            self.states.remove_older()

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights in both networks, in place of random ones."""
        self.learner.online.load_state_dict(weights)
        self.learner.sync_target()

    def save_state(self, with_experience: bool = True, wait: bool = True) -> None:
        """Write a state, from which `load_state` resumes: exactly, if the experience is with it.

        Nothing in the run changes by it, so a run is the same whenever it happens.

        Args:
            with_experience: else it is all but that, and much smaller.
            wait: until it is on the disk; else a thread writes it.

        Raises:
            OSError: it can't be written; without ``wait`` `states.wait` says so later.
        """
        self.states.folder = self.run_folder.state  # it may have been moved
        into = self.states.begin()
        checkpoint.save_learner(into, self.learner)
        if with_experience:
            self.experience.save(into)
        counters = {
            "agent_steps": self.agent_steps,
            "updates": self.learner.updates,
            "wall_s": self.wall_s,
            "recent": list(self.recent),
            "episodes": self.episodes.state(),
            "generators": {name: rng.bit_generator.state for name, rng in self.rng.items()},
            "requests": self.requests.state(),
            "evaluation_due": self.evaluation_due,
            "experience": with_experience,
            "unread": self.update_log.state(),
            "range_watch": [*self.range_watch.shares, self.range_watch.told],
            "left_out": self.learner.left_out,
            "logs": self.run_folder.positions(),
            "unwritten": self.run_folder.unwritten,
        }
        into.add_json(COUNTERS, counters)
        self.states.save(into, pieces=with_experience)
        if wait:
            self.states.wait()

    def _checkpoint(self) -> None:
        """Begin to write a state if one is due; what was to be written before failed, or is written."""
        if self.states.busy:
            return
        self.run_folder.attempt("the state", lambda folder: self.states.wait())
        self._check_losses()
        self.save_state(wait=False)

    def load_state(self, saved: Saved | None = None) -> None:
        """Resume from the newest state; without the experience of then, new episodes begin and it is filled again."""
        saved = saved or self.states.find(self.announce)
        if saved is None:
            raise UserError(f"{self.run_folder.state}: no saved state here")
        with checkpoint.saved_counters(saved) as counters:
            checkpoint.load_learner(saved, self.learner, counters["updates"])
            if checkpoint.holds_experience(counters):
                self.experience.load(saved, self.states)
                self.episodes.load(counters["episodes"])
                if counters["episodes"].get("abandoned"):
                    self.experience.reset(self.episodes.obs, np.ones(self.episodes.num_envs, np.bool_))
            else:
                self.experience.refill(counters["agent_steps"])
                self.episodes.load_next(counters["episodes"])
                self.experience.reset(self.episodes.obs)
            self.agent.steps, self.begun = counters["agent_steps"], True
            self.wall_before = counters["wall_s"]
            self.evaluation_due = counters.get("evaluation_due", False)
            self.recent.extend((episode_return, length) for episode_return, length in counters["recent"])
            self.learner.left_out = counters.get("left_out", 0)
            for name, rng in self.rng.items():
                rng.bit_generator.state = counters["generators"][name]
            if "requests" in counters:  # the oldest states have none
                self.requests.load(counters["requests"])
                self.agent.overrides = self.requests.overrides
            if "logs" in counters:  # nor these
                self.update_log.load(counters["unread"])
                *self.range_watch.shares, self.range_watch.told = counters["range_watch"]
                self.run_folder.cut(counters["logs"])
            self.run_folder.take_unwritten(counters.get("unwritten", {}))

    def start_over(self) -> None:
        """Begin anew, in the folder of a run that was killed before its first state."""
        self.run_folder.cut({})
