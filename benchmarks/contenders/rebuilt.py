"""Peers that are written here: a DQN update in bare PyTorch, and CleanRL's agents.

CleanRL's are single files, not to be imported: they are rebuilt in our own words from what they publish
(github.com/vwxyzjn/cleanrl: pqn_atari_envpool.py, dqn_atari.py), with their libraries, data types and structure.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contenders import Run, repeat, repeat_counted
from benchmarks.contenders.peers import EPSILON, envpool_games, random_observations


def _mlp(sizes: Sequence[int]) -> Any:
    from torch import nn

    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(sizes):
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
    obs, next_obs = (torch.from_numpy(random_observations(kind, size)) for _ in range(2))
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
        loss.backward()  # type: ignore[no-untyped-call]
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
    vec = envpool_games(game, num_envs, num_threads, episodic_life=True, reward_clip=True)
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
                loss.backward()  # type: ignore[no-untyped-call]
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
        loss.backward()  # type: ignore[no-untyped-call]
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
