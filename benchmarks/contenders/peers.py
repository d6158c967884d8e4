"""Peers: what a user would pick instead, with the same settings; in processes of their own, see benchmarks/turns.py.

CleanRL's agents are single files, and not to be imported: they are rebuilt here, in our own words, from what they publish
(github.com/vwxyzjn/cleanrl: pqn_atari_envpool.py, dqn_atari.py), with their libraries, data types and settings.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contenders import Counts, Run, repeat, repeat_counted

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
    """
    import stable_baselines3

    import envs  # noqa: F401, registers the worlds

    if library == "sbx":
        from sbx import DQN
    else:
        import torch
        from stable_baselines3 import DQN

        torch.set_flush_denormal(True)
    _ = stable_baselines3
    model: Any = DQN(
        "MlpPolicy" if hidden else "CnnPolicy",
        _their_envs(env_id, num_envs),
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
    return _learning(model, train_freq)


def _their_envs(env_id: str, num_envs: int) -> Any:
    """Return environments as stable-baselines3's users make them."""
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if "NoFrameskip" not in env_id:
        return make_vec_env(env_id, n_envs=num_envs, seed=1)
    return VecFrameStack(make_atari_env(env_id, n_envs=num_envs, seed=1), n_stack=4)


def _learning(model: Any, train_freq: int) -> Run:
    """Return what continues a model's ``learn`` and counts optimiser steps and sampled transitions where they are made."""
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

    class Stop(BaseCallback):
        """Stops when the time is over, right after a phase of learning."""

        end = 0.0
        steps = 0

        def _on_step(self) -> bool:
            self.steps += 1
            return time.perf_counter() < self.end or self.steps % train_freq != 1 % train_freq

    def counts() -> Counts:
        # SBX's optimiser counts its own steps
        made = int(model.policy.qf_state.step) if in_jax else updates
        return {"agent_steps": model.num_timesteps, "updates": made, "samples": samples}

    def run(seconds: float) -> Counts:
        before, stop = counts(), Stop()
        stop.end = time.perf_counter() + seconds
        model.learn(10**9, callback=stop, reset_num_timesteps=False)
        return {key: value - before[key] for key, value in counts().items()}

    while counts()["updates"] < 100:  # compiled, and past the random steps at its start
        run(0.5)
    return run


def stable_baselines_act(kind: str, size: int = 32, hidden: Sequence[int] = ()) -> Run:
    """Return what asks stable-baselines3's DQN for the actions of some observations at once."""
    from stable_baselines3 import DQN

    obs = _random_observations(kind, size)
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
    obs = _random_observations(kind, num_envs)
    action, reward = np.zeros((num_envs, 1), np.int64), np.zeros(num_envs)
    done, infos = np.zeros(num_envs, bool), [{} for _ in range(num_envs)]

    def add() -> None:
        buffer.add(obs, obs, action, reward, done, infos)

    for _ in range(capacity // num_envs + 1):
        add()
    if operation == "add":
        return repeat_counted(add, transitions=num_envs)
    return repeat_counted(lambda: buffer.sample(size), transitions=size)


def _random_observations(kind: str, size: int) -> np.ndarray:
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


def _envpool(game: str, num_envs: int, num_threads: int, **options: Any) -> Any:
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
    vec = _envpool(game, num_envs, num_threads, episodic_life=False, reward_clip=False)
    vec.reset()
    actions = np.random.default_rng(0).integers(0, vec.action_space.n, (1000, num_envs))
    done = 0

    def unit() -> None:
        nonlocal done
        vec.step(actions[done % 1000])
        done += 1

    return repeat_counted(unit, agent_steps=num_envs, frames=4 * num_envs)


# ------------------------------------------------------------------ bare PyTorch, and CleanRL rebuilt


def _mlp(sizes: Sequence[int]) -> Any:
    from torch import nn

    layers: list[Any] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _dueling(sizes: Sequence[int]) -> Any:
    from torch import nn

    class Dueling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(_mlp(sizes[:-1]), nn.ReLU())
            self.value, self.advantage = nn.Linear(sizes[-2], 1), nn.Linear(sizes[-2], sizes[-1])

        def forward(self, obs: Any) -> Any:
            features = self.body(obs)
            advantage = self.advantage(features)
            return self.value(features) + advantage - advantage.mean(1, keepdim=True)

    return Dueling()


# (filters, kernel, stride) of each convolution, units of the hidden layer
CONVOLUTIONS = {"nature": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512), "mnih2013": (((16, 8, 4), (32, 4, 2)), 256)}


def _frames_network(encoder: str, num_actions: int, layer_norm: bool) -> Any:
    """Return a network for frames 0 to 255 as CleanRL has it: layer norm with a scale and shift for every number."""
    import torch
    from torch import nn

    convolutions, hidden = CONVOLUTIONS[encoder]
    layers: list[Any] = []
    channels, side = 4, 84

    def add(layer: Any, shape: Any) -> None:
        if layer_norm:
            torch.nn.init.orthogonal_(layer.weight, 2**0.5)
        layers.extend([layer, *([nn.LayerNorm(shape)] if layer_norm else []), nn.ReLU()])

    for filters, kernel, stride in convolutions:
        side = (side - kernel) // stride + 1
        add(nn.Conv2d(channels, filters, kernel, stride), [filters, side, side])
        channels = filters
    layers.append(nn.Flatten())
    add(nn.Linear(channels * side * side, hidden), hidden)
    network = nn.Sequential(*layers, nn.Linear(hidden, num_actions))

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, frames: Any) -> Any:
            return self.network(frames / 255.0)

    return Scaled()


def torch_update(
    sizes: Sequence[int] = (),
    encoder: str = "",
    size: int = 128,
    double: bool = False,
    dueling: bool = False,
    bootstraps: bool = True,
    layer_norm: bool = False,
) -> Run:
    """Return a DQN update written in bare PyTorch, on the same batch again and again: fused Adam, clipping at 10.

    Args:
        sizes: units of a fully connected network, inputs and outputs included.
        encoder: of a network for frames, in place of ``sizes``.
        size: transitions in the batch.
        double: the online network chooses the next action.
        dueling: two streams.
        bootstraps: whether a target network values the next observations; PQN's targets are given.
        layer_norm: as in PQN.
    """
    import torch
    from torch.nn import functional

    torch.set_flush_denormal(True)

    def network() -> Any:
        if encoder:
            return _frames_network(encoder, 6, layer_norm)
        return _dueling(sizes) if dueling else _mlp(sizes)

    kind = "frames" if encoder else "waterworld"
    online, target = network(), network()
    optimizer = torch.optim.Adam(online.parameters(), 1e-4, fused=True)
    obs, next_obs = (torch.from_numpy(_random_observations(kind, size)) for _ in range(2))
    action = torch.randint(0, 6 if encoder else sizes[-1], (size, 1))
    reward, discount = torch.rand(size), torch.full((size,), 0.98)

    def unit() -> None:
        with torch.no_grad():
            goal = reward
            if bootstraps:
                following = target(next_obs)
                best = online(next_obs).argmax(1, keepdim=True) if double else following.argmax(1, keepdim=True)
                goal = reward + discount * following.gather(1, best)[:, 0]
        q = online(obs).gather(1, action)[:, 0]
        loss = functional.smooth_l1_loss(q, goal) if bootstraps else functional.mse_loss(q, goal)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(online.parameters(), 10.0)
        optimizer.step()

    return repeat_counted(unit, updates=1, samples=size)


def cleanrl_pqn(
    game: str, num_envs: int, num_steps: int, minibatches: int, epochs: int, encoder: str, num_threads: int
) -> Run:
    """Return CleanRL's PQN on envpool: float32 rollouts, RAdam, squared errors, clipping at 10; whole rollouts only."""
    import torch
    from torch.nn import functional

    torch.set_flush_denormal(True)
    vec = _envpool(game, num_envs, num_threads, episodic_life=True, reward_clip=True)
    num_actions = int(vec.action_space.n)
    network = _frames_network(encoder, num_actions, layer_norm=True)
    optimizer = torch.optim.RAdam(network.parameters(), 2.5e-4)
    obs = torch.zeros((num_steps, num_envs, 4, 84, 84))
    actions = torch.zeros((num_steps, num_envs), dtype=torch.long)
    rewards, dones, values = (torch.zeros((num_steps, num_envs)) for _ in range(3))
    present, ended = torch.from_numpy(vec.reset()[0]).float(), torch.zeros(num_envs)
    steps = updates = samples = 0

    def play() -> None:
        nonlocal present, ended, steps
        for t in range(num_steps):
            obs[t], dones[t] = present, ended
            with torch.no_grad():
                values[t], best = network(present).max(1)
            explores = torch.rand(num_envs) < EPSILON
            actions[t] = torch.where(explores, torch.randint(0, num_actions, (num_envs,)), best)
            seen, reward, terminated, truncated, _ = vec.step(actions[t].numpy())
            rewards[t] = torch.from_numpy(reward)
            present, ended = torch.from_numpy(seen).float(), torch.from_numpy(terminated | truncated).float()
            steps += num_envs

    @torch.no_grad()
    def returns(gamma: float = 0.99, lam: float = 0.65) -> Any:
        found = torch.zeros_like(rewards)
        following = network(present).max(1).values
        found[-1] = rewards[-1] + gamma * following * (1 - ended)
        for t in range(num_steps - 2, -1, -1):
            ahead = lam * found[t + 1] + (1 - lam) * values[t + 1]
            found[t] = rewards[t] + gamma * ahead * (1 - dones[t + 1])
        return found.flatten()

    def unit() -> None:
        nonlocal updates, samples
        play()
        goals, frames, taken = returns(), obs.flatten(0, 1), actions.flatten()
        for _ in range(epochs):
            for chosen in torch.randperm(num_steps * num_envs).chunk(minibatches):
                q = network(frames[chosen]).gather(1, taken[chosen, None])[:, 0]
                loss = functional.mse_loss(q, goals[chosen])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
                optimizer.step()
                updates, samples = updates + 1, samples + len(chosen)

    unit()
    return repeat(unit, lambda: {"agent_steps": steps, "updates": updates, "samples": samples})


def cleanrl_dqn(env_id: str, batch_size: int, train_freq: int, capacity: int, learning_starts: int) -> Run:
    """Return CleanRL's DQN for Atari: one game, stable-baselines3's wrappers and replay, Adam 1e-4, squared errors."""
    import torch
    from stable_baselines3.common.buffers import ReplayBuffer
    from torch.nn import functional

    torch.set_flush_denormal(True)
    env = _cleanrl_game(env_id)
    num_actions = int(env.action_space.n)
    online, target = (_frames_network("nature", num_actions, layer_norm=False) for _ in range(2))
    optimizer = torch.optim.Adam(online.parameters(), 1e-4)
    buffer = ReplayBuffer(
        capacity, env.observation_space, env.action_space, "cpu", 1, optimize_memory_usage=True,
        handle_timeout_termination=False,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    obs, steps, updates, samples = env.reset(seed=1)[0], 0, 0, 0

    def play() -> None:
        nonlocal obs, steps
        action = int(rng.integers(num_actions))
        if rng.random() >= EPSILON and steps > learning_starts:
            with torch.no_grad():
                action = int(online(torch.from_numpy(np.asarray(obs)[None]).float()).argmax())
        following, reward, terminated, truncated, _ = env.step(action)
        buffer.add(
            np.asarray(obs), np.asarray(following), np.array([[action]]), np.array([reward]), np.array([terminated]),
            [{}],
        )  # fmt: skip
        obs = env.reset()[0] if terminated or truncated else following
        steps += 1

    def learn() -> None:
        nonlocal updates, samples
        batch = buffer.sample(batch_size)
        with torch.no_grad():
            value = target(batch.next_observations).max(1).values
            goal = batch.rewards[:, 0] + 0.99 * value * (1 - batch.dones[:, 0])
        loss = functional.mse_loss(online(batch.observations).gather(1, batch.actions)[:, 0], goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates, samples = updates + 1, samples + len(batch.actions)
        if steps % 1000 == 0:
            target.load_state_dict(online.state_dict())

    def unit() -> None:
        for _ in range(train_freq):
            play()
        if steps > learning_starts:
            learn()

    while updates < 20:
        unit()
    return repeat(unit, lambda: {"agent_steps": steps, "updates": updates, "samples": samples})


def _cleanrl_game(env_id: str) -> Any:
    """Return one game in stable-baselines3's wrappers and Gymnasium's, in CleanRL's order."""
    import gymnasium
    from gymnasium import wrappers
    from stable_baselines3.common import atari_wrappers

    import envs  # noqa: F401, registers the games

    env: Any = wrappers.RecordEpisodeStatistics(gymnasium.make(env_id))
    env = atari_wrappers.MaxAndSkipEnv(atari_wrappers.NoopResetEnv(env, 30), 4)
    env = atari_wrappers.FireResetEnv(atari_wrappers.EpisodicLifeEnv(env))
    env = wrappers.ResizeObservation(atari_wrappers.ClipRewardEnv(env), (84, 84))
    return wrappers.FrameStackObservation(wrappers.GrayscaleObservation(env), 4)
