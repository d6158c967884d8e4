"""Peers that are installed: stable-baselines3, SBX, which is the same in JAX, and envpool."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contenders import Counts, Run, repeat_counted

EPSILON = 0.03  # most of a training is played with its last share of random actions, by all of them


# ------------------------------------------------------------------ stable-baselines3 and SBX


def stable_baselines(
    env_id: str,
    num_envs: int,
    batch_size: int,
    train_freq: int,
    gradient_steps: int,
    hidden: Sequence[int] = (),
    n_steps: int = 1,
    capacity: int = 200_000,
    learning_starts: int = 1000,
    learning_rate: float = 1e-3,
    target_period: int = 8000,
    library: str = "stable_baselines3",
    batched: bool = False,
) -> Run:
    """Return what trains stable-baselines3's DQN, or SBX's (``library`` "sbx"), by one long call of its ``learn``.

    Args:
        env_id: Atari games by their old ids, with stable-baselines3's own wrappers.
        num_envs: environments, one after the other in this process, as its ``make_vec_env`` does.
        batch_size: transitions in an update.
        train_freq: steps of all environments between two phases of learning.
        gradient_steps: updates in such a phase.
        hidden: units; none: the Nature network.
        n_steps: rewards summed.
        capacity: transitions in the replay.
        learning_starts: agent steps.
        learning_rate: of Adam.
        target_period: agent steps.
        library: whose DQN.
        batched: give it our vector environment, which it does not come with: what is left is the learning.
    """
    import envs  # noqa: F401, registers the worlds

    if library == "sbx":
        from sbx import DQN
    else:
        import torch
        from stable_baselines3 import DQN

        torch.set_flush_denormal(True)
    model: Any = DQN(
        "MlpPolicy" if hidden else "CnnPolicy",
        batch_for_stable_baselines(env_id, num_envs) if batched else _their_envs(env_id, num_envs),
        policy_kwargs={"net_arch": list(hidden)} if hidden else None,
        learning_rate=learning_rate,
        buffer_size=capacity,
        learning_starts=learning_starts,
        batch_size=batch_size,
        train_freq=train_freq,
        gradient_steps=gradient_steps,
        n_steps=n_steps,
        target_update_interval=target_period,
        exploration_initial_eps=EPSILON,
        exploration_final_eps=EPSILON,
        gamma=0.98,
        seed=1,
        device="cpu",
    )
    return _learning(model)


def _their_envs(env_id: str, num_envs: int) -> Any:
    """Return environments as stable-baselines3's users make them."""
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if "NoFrameskip" not in env_id:
        return make_vec_env(env_id, n_envs=num_envs, seed=1)
    return VecFrameStack(make_atari_env(env_id, n_envs=num_envs, seed=1), n_stack=4)


def batch_for_stable_baselines(env_id: str, num_envs: int) -> Any:
    """Return our vector environment as stable-baselines3 wants one: it resets by itself."""
    from stable_baselines3.common.vec_env import VecEnv

    import envs

    vec: Any = envs.make_vec(env_id, num_envs, seed=1)

    class Batch(VecEnv):
        def __init__(self) -> None:
            super().__init__(num_envs, vec.single_observation_space, vec.single_action_space)

        def reset(self) -> Any:
            return vec.reset(seed=1)[0].copy()

        def step_async(self, actions: Any) -> None:
            self.actions = actions

        def step_wait(self) -> Any:
            obs, reward, terminated, truncated, _ = vec.step(self.actions)
            done = terminated | truncated
            infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
            obs = obs.copy()
            if done.any():
                for k in np.flatnonzero(done):
                    infos[k] = {"terminal_observation": obs[k].copy(), "TimeLimit.truncated": bool(truncated[k])}
                obs[done] = vec.reset(options={"reset_mask": done})[0][done]
            return obs, reward.astype(np.float32), done, infos

        def close(self) -> None:
            vec.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise NotImplementedError

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            raise NotImplementedError

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * num_envs

    return Batch()


def _learning(model: Any) -> Run:
    """Return what continues a model's ``learn`` and counts updates and samples where they are made."""
    from stable_baselines3.common.callbacks import BaseCallback

    updates = samples = 0
    sample, in_jax = model.replay_buffer.sample, hasattr(model.policy, "qf_state")

    def counted_sample(*arguments: Any, **keywords: Any) -> Any:
        nonlocal samples
        batch = sample(*arguments, **keywords)
        samples += len(batch.actions)
        return batch

    def count(*_: Any) -> None:
        nonlocal updates
        updates += 1

    model.replay_buffer.sample = counted_sample
    if not in_jax:
        model.policy.optimizer.register_step_post_hook(count)

    class Over(Exception):
        pass

    class Stop(BaseCallback):
        """Leaves when the time is over, after a phase of learning: a False from ``_on_step`` would waste a step."""

        end = 0.0

        def _on_rollout_start(self) -> None:
            if time.perf_counter() >= self.end:
                raise Over

        def _on_step(self) -> bool:
            return True

    def counts() -> Counts:
        # SBX's optimiser counts its own steps
        made = int(model.policy.qf_state.step) if in_jax else updates
        return {"agent_steps": model.num_timesteps, "updates": made, "samples": samples}

    def run(seconds: float) -> Counts:
        before, stop = counts(), Stop()
        stop.end = time.perf_counter() + seconds
        with contextlib.suppress(Over):
            model.learn(10**9, callback=stop, reset_num_timesteps=False)
        return {key: value - before[key] for key, value in counts().items()}

    while counts()["updates"] < 100:  # compiled, and past the random steps at its start
        run(0.5)
    return run


def stable_baselines_act(kind: str, size: int = 32, hidden: Sequence[int] = ()) -> Run:
    """Return what asks stable-baselines3's DQN for the actions of some observations at once."""
    from stable_baselines3 import DQN

    obs = random_observations(kind, size)
    model = DQN(
        "MlpPolicy" if hidden else "CnnPolicy",
        _still(kind),
        policy_kwargs={"net_arch": list(hidden)} if hidden else None,
        buffer_size=100,
        device="cpu",
    )
    model.exploration_rate = 0.0  # else it often does not look at the observations
    return repeat_counted(lambda: model.predict(obs), calls=1)


def stable_baselines_replay(kind: str, operation: str, capacity: int, num_envs: int, size: int = 128) -> Run:
    """Return what adds to a full replay of stable-baselines3, or samples from it."""
    from stable_baselines3.common.buffers import ReplayBuffer

    env = _still(kind)
    buffer = ReplayBuffer(
        capacity,
        env.observation_space,
        env.action_space,
        "cpu",
        num_envs,
        optimize_memory_usage=kind == "frames",  # else each stack is there twice
        handle_timeout_termination=kind != "frames",  # it takes one or the other
    )
    obs = random_observations(kind, num_envs)
    action, reward = np.zeros((num_envs, 1), np.int64), np.zeros(num_envs)
    done = np.zeros(num_envs, bool)
    infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]

    def add() -> None:
        buffer.add(obs, obs, action, reward, done, infos)

    for _ in range(capacity // num_envs + 1):
        add()
    if operation == "add":
        return repeat_counted(add, transitions=num_envs)
    return repeat_counted(lambda: buffer.sample(size), transitions=size)


def random_observations(kind: str, size: int) -> np.ndarray:
    """Return random observations of a kind, (size, ...)."""
    rng, space = np.random.default_rng(1), _still(kind).observation_space
    if kind == "frames":
        return rng.integers(0, 256, (size, *space.shape), np.uint8)
    return rng.random((size, *space.shape), np.float32)


def _still(kind: str) -> Any:
    """Return an environment that has spaces and does nothing."""
    import gymnasium
    from gymnasium import spaces

    class Still(gymnasium.Env[Any, Any]):
        observation_space: Any = (
            spaces.Box(0, 255, (4, 84, 84), np.uint8) if kind == "frames" else spaces.Box(-1.0, 1.0, (152,), np.float32)
        )
        action_space: Any = spaces.Discrete(6 if kind == "frames" else 4)

    return Still()


# ------------------------------------------------------------------ envpool


def envpool_games(game: str, num_envs: int, num_threads: int, **options: Any) -> Any:
    """Return envpool's games, by the same rules as ours: no-op starts, no sticky actions, four frames an action."""
    import envpool

    return envpool.make(
        f"{game}-v5",
        env_type="gymnasium",
        num_envs=num_envs,
        num_threads=num_threads,
        seed=1,
        noop_max=30,
        repeat_action_probability=0.0,
        max_episode_steps=27_000,
        **options,
    )


def envpool_environment(game: str, num_envs: int, num_threads: int) -> Run:
    """Return what steps envpool's games with random actions."""
    vec = envpool_games(game, num_envs, num_threads, episodic_life=False, reward_clip=False)
    vec.reset()
    actions = np.random.default_rng(0).integers(0, vec.action_space.n, (1000, num_envs))
    done = 0

    def unit() -> None:
        nonlocal done
        vec.step(actions[done % 1000])
        done += 1

    return repeat_counted(unit, agent_steps=num_envs, frames=4 * num_envs)
