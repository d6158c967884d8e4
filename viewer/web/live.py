"""The page of an agent that plays, and learns on, in the browser: in our worlds."""

from __future__ import annotations

import statistics
from datetime import date
from pathlib import Path
from typing import Any

import envs
from common.errors import UserError
from common.text import number_of
from learning.policy import Policy, Training
from scores import references
from scores.runs import read_run
from viewer.playing.clock import TICK_SECONDS
from viewer.playing.keys import keys_for
from viewer.playing.players import Rules
from viewer.web import page
from viewer.web.weights import network_of

MOST_BYTES = 3_000_000
# Of a network that starts anew in the page: small enough for a phone.
FRESH = {
    "Waterworld": {
        "hidden": [100],
        "gamma": 0.95,
        "epsilonSteps": 12_000,
        "learner": {"learningRate": 5e-4, "every": 2, "starts": 200, "targetPeriod": 500, "nStep": 3},
        "about": "From nothing this takes tens of thousands of steps: set the speed to max.",
    },
    "RLDemo": {
        "hidden": [50, 50],
        "gamma": 0.7,
        "epsilonSteps": 3_000,
        "learner": {"learningRate": 1e-3, "every": 2, "starts": 200, "targetPeriod": 250},
        "about": "From nothing this takes a few thousand steps: set the speed to max.",
    },
}
# Of one that was trained: small steps, which keep what it knows.
TRAINED = {"learningRate": 5e-5, "every": 4, "starts": 1000, "targetPeriod": 500}


def make(policy: Policy, rules: Rules, *, seed: int, epsilon: float, source: Path | None = None) -> str:
    """Return the page.

    Args:
        policy: the player, with a network that `network_of` can take.
        rules: its environment, which is one of our worlds.
        seed: of the first episode.
        epsilon: share of random actions, 0 to 1.
        source: the folder of the run, for its score.

    Raises:
        UserError: the network can't be computed by a page, or makes it too large.
    """
    network = network_of(policy)
    name = rules.env_id.split("/")[-1]
    with envs.make(rules.env_id, **rules.env_options) as env:
        assert env.spec is not None
        horizon, actions = env.spec.max_episode_steps, envs.action_names(env)
    training: Training = getattr(policy, "training", None) or Training(0.9)
    title = f"{policy.name} in {name}"
    data: dict[str, Any] = {
        "title": title,
        "about": about(policy, rules, source),
        "foot": foot(
            f"{name} after Andrej Karpathy's {'ConvNetJS' if 'RLDemo' in name else 'REINFORCEjs'} demo (MIT)."
        ),
        "world": name,
        "options": {"temporal_window": rules.env_options.get("temporal_window", 0)},
        "horizon": horizon or 1000,
        "tick": TICK_SECONDS,
        "actions": list(actions),
        "keys": [[list(keys), action] for keys, action in getattr(keys_for(actions), "rules", ())],
        "seed": seed,
        "epsilon": epsilon,
        "gamma": training.gamma,
        "clipped": training.clip_rewards,
        "rewardScale": training.reward_scale,
        "levels": _levels(rules.env_id, horizon or 1000, source),
        "learner": {**TRAINED, "nStep": training.n_step},
        "fresh": FRESH[name.split("-")[0]],
        "network": network.as_json(),
    }
    text = page.assemble("live", title, data)
    if len(text.encode()) > MOST_BYTES:
        count, mega = len(network.weights), len(text.encode()) / 1e6
        raise UserError(
            f"{policy.name}: {count:,} weights make a page of {mega:.1f} MB, {MOST_BYTES / 1e6:g} MB are allowed;"
            " --recorded shows episodes of it instead"
        )
    return text


def about(policy: Policy, rules: Rules, source: Path | None) -> str:
    """Return how the agent was trained and what it scored, as far as it is known, in one line."""
    words = [rules.env_id]
    run = read_run(source)[0] if source is not None and source.is_dir() else None
    if run is not None and run.env_id == rules.env_id:
        mean = statistics.fmean(one.episode_return for one in run.episodes)
        words.append(f"trained for {number_of(run.agent_steps, 'step')}")
        words.append(
            f"evaluation {mean:.1f} over {number_of(len(run.episodes), 'episode')} ({run.episodes[0].protocol})"
        )
    elif rules.label:
        words.append(rules.label)
    return " · ".join(words)


def foot(more: str = "") -> str:
    """Return the line at the end of a page."""
    made = f"Made by Tidepool (python play.py RUN --export-html FILE) on {date.today():%Y-%m-%d}."
    return f"{made} Nothing on this page leaves it. {more}".strip()


def _levels(env_id: str, horizon: int, source: Path | None) -> list[dict[str, Any]]:
    """Return scores that an episode's can be compared with: random play, and the agent's own evaluation."""
    found = []
    for one in references.of_env(env_id) or references.of_env(env_id.replace("v1", "v0")):
        if one.agent == "random":
            found.append({"name": "random play", "value": one.mean * (horizon if "per step" in one.metric else 1)})
    if env_id.endswith("Waterworld-v1") and not found:  # the same game, seen with other eyes
        found = _levels(env_id.replace("v1", "v0"), horizon, None)
    run = read_run(source)[0] if source is not None and source.is_dir() else None
    if run is not None and run.env_id == env_id:
        mean = statistics.fmean(one.episode_return for one in run.episodes)
        found.append({"name": "the trained agent's evaluation", "value": mean})
    return found
