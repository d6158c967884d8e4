"""DQN, all of it on one page: `python examples/dqn.py` learns to swim in Waterworld within a minute or two.

Many networks answer with a probability for each choice. This one answers with an expectation: the discounted return of
each action, which is all the reward still to come, counted less the later it comes. Nobody tells it these numbers: it
learns each from the reward that came and its own expectation one step later. Mnih et al. 2015, doi:10.1038/nature14236.
`train.py --agent dqn --engine torch` is the same in exchangeable parts: equal settings, equal weights, bit for bit.
"""

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from numpy.random import SeedSequence
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Adam

import envs  # the world; all that learns is below

# One seed makes a run, but each user of chance has a stream of its own: changing one leaves the others as they were.
NETWORK, EXPLORATION, REPLAY, EPISODES = range(4)


@dataclass(frozen=True)
class Settings:
    """What can be set; the defaults are those of train.py."""

    total_timesteps: int = 800_000  # agent steps, over all environments
    seed: int = 1  # of everything that is random
    num_envs: int = 32  # environments stepped side by side
    gamma: float = 0.98  # discount per agent step: a reward 50 steps away counts about a third
    learning_rate: float = 1e-3  # the optimiser's step size at the start
    final_learning_rate: float = 5e-5  # and at the end: small steps average out the noise
    max_grad_norm: float = 10.0  # longer gradients are cut to this length
    epsilon_final: float = 0.03  # share of random actions in the end; at first all are
    epsilon_steps: int = 60_000  # agent steps from the one to the other, counted from the first update
    learning_starts: int = 1_000  # agent steps before the first update
    capacity: int = 200_000  # observations that the replay holds
    batch_size: int = 128  # transitions that an update learns from
    replay_ratio: float = 8.0  # transitions learnt from for each new one
    target_period: int = 500  # updates between two copies to the target network
    save: str = ""  # file for the weights, safetensors; none by default


class QNetwork(nn.Module):
    """Observations (B, D) -> the expected discounted return of each action, (B, A)."""

    def __init__(self, bound: np.ndarray, num_actions: int, hidden: int = 128) -> None:
        super().__init__()
        self.scale = nn.Buffer(torch.from_numpy(1 / bound))  # brings observations to [-1, 1]
        self.layers = nn.ModuleList([nn.Linear(len(bound), hidden), nn.Linear(hidden, hidden)])
        self.output = nn.Linear(hidden, num_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Return the q_values, (B, A)."""
        features = obs * self.scale
        for layer in self.layers:
            features = torch.relu(layer(features))
        # Output an expectation instead of a probability: no softmax, so each number may be any return, also below 0.
        q_values: Tensor = self.output(features)
        return q_values


class Replay:
    """Past transitions. Steps in a row are alike, a batch drawn from all of them is not; and each is used many times.

    Each environment has a ring of slots: an observation and what was done then; the next slot has what came of it. An
    episode's last observation and the present one have no action (yet), so a draw that hits one is drawn again.
    """

    def __init__(self, capacity: int, num_envs: int, obs_size: int) -> None:
        self.rings, self.slots = np.arange(num_envs), -(-capacity // num_envs)
        shape = (num_envs, self.slots)
        self.obs = np.zeros((*shape, obs_size), np.float32)
        self.action, self.acted = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)  # acted: is there an action?
        self.reward, self.discount = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.now, self.filled = np.full(num_envs, -1), 0  # slot of each present observation; slots in use

    def observe(self, obs: np.ndarray, ring: np.ndarray) -> None:
        """Take the present observations (N, D) of some environments; a full ring forgets its oldest."""
        self.now[ring] = slot = (self.now[ring] + 1) % self.slots
        self.obs[ring, slot], self.acted[ring, slot] = obs[ring], False
        self.filled = max(self.filled, int(slot.max()) + 1)

    def add(self, action: np.ndarray, reward: np.ndarray, discount: np.ndarray, next_obs: np.ndarray) -> None:
        """Take one step of all environments, (N, ...) each."""
        here = self.rings, self.now
        self.action[here], self.reward[here], self.discount[here], self.acted[here] = action, reward, discount, True
        self.observe(next_obs, self.rings)

    def sample(self, batch_size: int, rng: np.random.Generator) -> list[Tensor]:
        """Return obs (B, D), action, reward, discount (B,) and next_obs (B, D), drawn uniformly with replacement."""
        draw = rng.integers(0, len(self.rings) * self.filled, batch_size)
        while len(again := np.flatnonzero(~self.acted[np.divmod(draw, self.filled)])):
            draw[again] = rng.integers(0, len(self.rings) * self.filled, len(again))
        ring, slot = here = np.divmod(draw, self.filled)
        past = self.obs[here], self.action[here], self.reward[here], self.discount[here]
        return [torch.from_numpy(array) for array in (*past, self.obs[ring, (slot + 1) % self.slots])]


def learn(network: QNetwork, target_network: QNetwork, optimizer: Adam, batch: list[Tensor], max_norm: float) -> Tensor:
    """Move the network's expectations a little towards what came of the actions; return the mean loss."""
    obs, action, reward, discount, next_obs = batch
    q_values = network(obs).gather(1, action[:, None]).squeeze(1)  # (B,) of the actions taken
    with torch.no_grad():  # the expectation moves towards its target, never the target towards it
        # A copy that stands still for a while evaluates the next observation: chasing one's own guess diverges.
        td_target = reward + discount * target_network(next_obs).max(1).values  # (B,) if the best comes next
    td_error = td_target - q_values
    # Least squares lead to the mean of the targets, an expectation; beyond 1 Huber's loss is linear, so none rules.
    loss = nn.functional.huber_loss(td_error, torch.zeros_like(td_error))
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), max_norm)  # one odd batch must not undo what was learnt
    optimizer.step()
    return loss.detach()


def train(s: Settings) -> QNetwork:
    """Return a trained network, telling on the way how it goes."""
    # Swimmers with 30 eyes, 152 numbers, and 4 directions; an apple is worth 1, poison -1.
    vec: Any = envs.make_vec(envs.DEFAULT_ENV, s.num_envs)
    bound, num_actions = vec.single_observation_space.high, int(vec.single_action_space.n)
    torch.manual_seed(int(SeedSequence([s.seed, NETWORK]).generate_state(1, np.uint64)[0]) >> 1)  # 63 bits
    network = QNetwork(bound, num_actions)
    optimizer = Adam(network.parameters(), fused=True)  # fused: one kernel, not a dozen
    replay = Replay(s.capacity, s.num_envs, len(bound))
    chance, draws = (np.random.default_rng([s.seed, stream]) for stream in (EXPLORATION, REPLAY))
    done, episode, returns = np.ones(s.num_envs, np.bool_), np.full(s.num_envs, -1), np.zeros(s.num_envs)
    updates, updates_due, loss, began = 0, 0.0, torch.tensor(np.nan), time.perf_counter()
    for steps in range(0, s.total_timesteps, s.num_envs):
        if done.any():  # begin new episodes, at first everywhere, each with a seed of its own
            episode, returns = episode + done, np.where(done, 0.0, returns)
            seeds = [int(SeedSequence([s.seed, EPISODES, *pair]).generate_state(1)[0]) for pair in enumerate(episode)]
            obs, _ = vec.reset(seed=seeds, options={"reset_mask": done})
            replay.observe(obs, np.flatnonzero(done))
        # Act: take the highest expectation, or with chance epsilon any action; what is never tried is never learnt.
        epsilon = 1 + (s.epsilon_final - 1) * min(max((steps - s.learning_starts) / s.epsilon_steps, 0.0), 1.0)
        greedy = network(torch.from_numpy(obs)).detach().numpy().argmax(1)
        action = np.where(chance.random(s.num_envs) < epsilon, chance.integers(0, num_actions, s.num_envs), greedy)
        # Learn from the past; this step joins it below, since train.py learns while the environments still step.
        learning_rate = s.learning_rate + (s.final_learning_rate - s.learning_rate) * (steps / s.total_timesteps)
        updates_due += (steps > s.learning_starts) * s.num_envs * s.replay_ratio / s.batch_size
        while updates_due >= 1:
            if updates % s.target_period == 0:
                target_network = copy.deepcopy(network)
            optimizer.param_groups[0]["lr"] = learning_rate
            loss = learn(network, target_network, optimizer, replay.sample(s.batch_size, draws), s.max_grad_norm)
            updates, updates_due = updates + 1, updates_due - 1
        obs, reward, terminated, truncated, _ = vec.step(action)
        # Only a terminated episode has nothing to come; a truncated one would have gone on, so its discount stays.
        replay.add(action, reward, s.gamma * (1.0 - terminated), obs)
        returns, done = returns + reward, terminated | truncated
        if done.any():
            now, speed = steps + s.num_envs, (steps + s.num_envs) / (time.perf_counter() - began)
            print(f"{now:9,} steps | return {returns[done].mean():6.2f} | loss {loss:.4f} | {speed:,.0f} steps/s")
    return network


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a network gains nothing from more
    torch.set_flush_denormal(True)  # vanishing moments of Adam cost time and mean nothing
    settings = tyro.cli(Settings, description=__doc__)
    weights = train(settings).state_dict()
    if settings.save:  # under the names that train.py gives them, so that files can be compared
        names = [name.replace("scale", "scale.factor").replace("output", "output.linear") for name in weights]
        save_file(dict(zip(names, weights.values(), strict=True)), settings.save)
