"""What random play tells about the size of returns: the scale of rewards, and the range of a categorical head."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import envs
from common.text import significant
from learning.config import FamilyConfig, LearnerConfig, numpy_generator
from learning.episodes import Episodes
from learning.evaluate import step_limit
from learning.networks import random_actions
from learning.policy import env_options, protocol
from learning.recipe import Experience
from learning.replay import ReplayExperience

STEPS = 4_000  # agent steps of random play; a fixed number, so that one seed gives one range on every machine
STEPS_OF_FRAMES = 2_000  # the same where observations are images, which take longer
LANES = 4
HELD = 0.9  # chance that an action is repeated in every second lane: it gets farther, or stuck, as a policy does
SCALED = 10.0  # about the size of the returns that scaled rewards add up to
MARGIN = 0.1  # of the width, on both sides: a Gaussian around a value needs its neighbours
CLIPPED_ATARI = (-10.0, 10.0)  # for rewards of -1, 0 and 1. Bellemare et al. 2017, arXiv:1707.06887


class Rewards(NamedTuple):
    """Rewards as they are learnt from, and which of them ended an episode (or cut it off), (M,) each."""

    reward: NDArray[np.float64]
    ends: NDArray[np.bool_]


def measured(config: LearnerConfig, env_id: str, seed: int) -> tuple[LearnerConfig, list[str]]:
    """Return the settings with all that random play has to tell, where they leave it open, and notes on it."""
    config, scale = with_scale(config, env_id, seed)
    if isinstance(config, FamilyConfig):
        config, span = with_range(config, env_id, seed)
    else:
        span = None
    return config, [note for note in (scale, span) if note is not None]


def with_range(config: FamilyConfig, env_id: str, seed: int) -> tuple[FamilyConfig, str | None]:
    """Return the settings with a range of returns, unless they have one or need none, and a note on what was chosen.

    The range is what is known of the environment, else what random play suggests.

    Args:
        config: of the run.
        env_id: a resolved id.
        seed: of the run; the same one gives the same range.
    """
    config = config.with_range(envs.returns(env_id))
    if not config.has_range or config.v_max is not None:
        return config, None
    if envs.is_atari(env_id) and config.clip_rewards:
        (low, high), why = CLIPPED_ATARI, "as published for clipped rewards"
    else:
        rewards = measure(env_id, config, seed)
        seen = " to ".join(significant(end, 4) for end in (rewards.reward.min(), rewards.reward.max()))
        why = f"{len(rewards.reward):,} steps of random play brought rewards from {seen}"
        if rewards.reward.any():
            low, high = suggest(rewards, config, _limit(env_id, config))
        else:
            (low, high), why = config.support, f"{why}, so this is for rewards of at most 1"
    low = low if config.v_min is None else config.v_min
    note = f"returns are expected from {low:g} to {high:g}: {why}; --v-min and --v-max set others"
    return replace(config, v_min=low, v_max=high), note


def with_scale(config: LearnerConfig, env_id: str, seed: int) -> tuple[LearnerConfig, str | None]:
    """Return the settings with a number for --reward-scale where it is left open, and a note on it.

    Scaled rewards have returns of about `SCALED`: Huber's loss, step sizes and first weights are made for such numbers.
    """
    if config.reward_scale is not None:
        return config, None
    rewards = measure(env_id, config, seed)
    scale = float(f"{SCALED / typical(rewards, config, _limit(env_id, config)):.2g}")
    steps = f"{len(rewards.reward):,} steps of random play"
    note = f"rewards are multiplied by {scale:g}, as {steps} suggest; --reward-scale sets another"
    return replace(config, reward_scale=scale), note


def _limit(env_id: str, config: LearnerConfig) -> int | None:
    return step_limit(env_id, env_options(env_id, config, evaluation=False))


def _ahead(config: LearnerConfig, limit: int | None) -> float:
    """Return how many agent steps gamma looks ahead."""
    return 1 / (1 - config.gamma) if config.gamma < 1 else float(limit or 10_000)


def measure(env_id: str, config: LearnerConfig, seed: int) -> Rewards:
    """Return the rewards of random play in the training's environments, as they would be learnt from."""
    cuts = protocol(env_id, config).life_loss_cuts
    episodes = Episodes(env_id, LANES, seed, env_options(env_id, config, evaluation=False))
    rng = numpy_generator(seed, "range")
    steps = (STEPS if len(episodes.space.shape) == 1 else STEPS_OF_FRAMES) // LANES
    reward, ends = np.zeros((steps, LANES)), np.zeros((steps, LANES), np.bool_)
    actions = np.zeros(LANES, np.int64)
    try:
        episodes.begin()
        for t in range(steps):
            held = (rng.random(LANES) < HELD) & (np.arange(LANES) % 2 == 1) & (t > 0)
            allowed = envs.allowed(episodes.space, episodes.obs)
            if allowed is not None:
                held &= allowed[np.arange(LANES), actions]
            actions = np.where(held, actions, random_actions(LANES, episodes.num_actions, rng, allowed))
            step = episodes.step(actions)
            reward[t] = config.learnt_rewards(step.reward)
            ends[t] = step.terminated | (step.life_lost & cuts)
    finally:
        episodes.close()
    return Rewards(reward.ravel(), ends.ravel())


def typical(rewards: Rewards, config: LearnerConfig, limit: int | None = None) -> float:
    """Return the size of returns, at least 1, as the usual rewards make it: rare large ones say nothing here.

    A range must hold CliffWalking's falls of -100; a scale must not be made for them, or a step of -1 counts for
    nothing once nobody falls. So, where `suggest` takes the largest reward and the root mean square, this takes the
    median of those that are not 0, and that times the root of their share: the same where all are of one size.
    Of the two signs the larger one counts. Below 1 is taken to be 1: by chance a goal is reached late, or never.

    Args:
        rewards: as they are learnt from.
        config: its gamma.
        limit: agent steps of an episode; it counts where gamma is 1.
    """
    sizes = [1.0]
    for sign in (-1.0, 1.0):
        size = np.maximum(sign * rewards.reward, 0.0)
        inside, end = size[~rewards.ends], size[rewards.ends]
        share = float(np.mean(inside > 0)) if len(inside) else 0.0
        sizes.append(_median(inside) * math.sqrt(share) * _ahead(config, limit) + _median(end))
    return max(sizes)


def _median(sizes: NDArray[np.float64]) -> float:
    """Return the median of those above 0, else 0."""
    above = sizes[sizes > 0]
    return float(np.median(above)) if len(above) else 0.0


def suggest(rewards: Rewards, config: LearnerConfig, limit: int | None = None) -> tuple[float, float]:
    """Return a range that holds the returns of much better policies than the one that got these rewards.

    Of each sign: the largest reward, and the root mean square of the others times the steps that gamma looks ahead.
    That is exact for rewards that are always the same, and leaves rare ones room to become more frequent: what came at
    one step in a hundred may come at one in ten. A reward that ends an episode comes once. Where only punishments were
    seen, a reward of the same size is allowed for: a goal is seldom reached by chance.

    Args:
        rewards: as they are learnt from, and not all 0.
        config: gamma and Munchausen's bonus count.
        limit: agent steps of an episode; it counts where gamma is 1. Elsewhere a truncated episode is bootstrapped
            from, so that returns reach beyond.
    """
    ahead = _ahead(config, limit)
    ends: list[float] = []
    for sign in (-1.0, 1.0):
        size = np.maximum(sign * rewards.reward, 0.0)
        inside = size[~rewards.ends]
        rms = float(np.sqrt(np.mean(inside**2))) if len(inside) else 0.0
        ends.append(sign * (rms * ahead + float(size.max())))
    low, high = ends
    high = high or float(np.abs(rewards.reward).max())
    if isinstance(config, FamilyConfig) and config.munchausen:
        # the action's own log-probability once; the entropy of the soft policy, never negative, at every step
        low -= config.munchausen_alpha * -config.munchausen_floor
        high += config.munchausen_temperature * ahead
    margin = MARGIN * (high - low)
    return _outward(low - margin), _outward(high + margin)


def _outward(value: float) -> float:
    """Return the value rounded away from 0, to two digits: sums may differ in the last bits between machines."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return math.copysign(float(f"{math.ceil(abs(value) / unit - 1e-6) * unit:.6g}"), value)


class RangeWatch:
    """Notices, while a run trains, that targets lie beyond the range and go on doing so; again when it is twice as bad.

    At first a network expects anything, and each tail of a distribution counts: such a share falls by itself.
    """

    SHARE = 0.02  # of the targets between two rows of metrics
    ROWS = 10  # of metrics, each with more than that: a twentieth of a run
    FALLING = 0.9  # newer half of them by the older one

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.told = 0.0  # the share that was said

    def note(self, share: float, config: LearnerConfig, experience: Experience) -> str | None:
        """Return what to tell the user, if there is something; ``share`` is of the targets since the last call."""
        self.shares = [*self.shares, share][-self.ROWS :] if share > self.SHARE else []
        half = self.ROWS // 2
        falls = sum(self.shares[half:]) < self.FALLING * sum(self.shares[:half])
        if len(self.shares) < self.ROWS or falls or share < 2 * self.told or not isinstance(config, FamilyConfig):
            return None
        assert isinstance(experience, ReplayExperience)
        self.told, (low, high) = share, config.support
        wider = _wider(experience, config)
        return (
            f"{share:.0%} of the targets lie beyond the range of returns, {low:g} to {high:g}, and are cut off: what is"
            f" expected there is wrong; start again with --v-min {wider[0]:g} --v-max {wider[1]:g}"
        )


def _wider(experience: ReplayExperience, config: FamilyConfig) -> tuple[float, float]:
    """Return a wider range: what the rewards so far suggest, and twice as far at the end they tend to."""
    replay, (low, high) = experience.replay, config.support
    rewards = Rewards(replay.reward[replay.acted].astype(np.float64), replay.discount[replay.acted] == 0)
    if not rewards.reward.any():
        return 2 * min(low, 0.0), 2 * max(high, 0.0)
    suggested = suggest(rewards, config)
    low, high = min(low, suggested[0]), max(high, suggested[1])
    if rewards.reward.mean() > 0:
        return low, max(high, 2 * config.support[1])
    return min(low, 2 * config.support[0]), high
