"""Protocols: the rules under which an episode is played and evaluated. A score without one is not a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError, unknown

DEFAULT = "default"
MINUTE = 60 * 60  # emulator frames; the Atari 2600 draws 60 a second
FRAME_SKIP = 4  # emulator frames that an action lasts, in all three Atari protocols


@dataclass(frozen=True)
class Protocol:
    """The rules of an episode, in training and in evaluation."""

    name: str
    source: str
    eval_epsilon: float = 0.0
    """Share of random actions in evaluation."""
    frames_per_step: int = 1
    """Emulator frames that an agent step takes."""
    life_loss_cuts: bool = False
    """In training the loss of a life ends the bootstrapping, never the episode."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environments that the agent learns in."""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environments for evaluation."""


def _atari(
    name: str,
    source: str,
    eval_epsilon: float,
    sticky: float,
    noops: int,
    minutes: int,
    lives: bool,
    fire: bool = False,
) -> Protocol:
    rules = {"sticky": sticky, "noops": noops, **({"fire": True} if fire else {})}
    return Protocol(
        name,
        source,
        eval_epsilon,
        FRAME_SKIP,
        lives,
        training={**rules, "frame_cap": 30 * MINUTE},
        evaluation={**rules, "frame_cap": minutes * MINUTE},
    )


# The first is the default. All: four frames an action, the last two pooled, minimal action set. "Up to 30" idle frames
# are 0 to 29 here, as ale-py draws them; DQN Zoo, Gymnasium and envpool draw 1 to 30.
ATARI = {
    protocol.name: protocol
    for protocol in (
        # Repeats the last action with chance 0.25 each frame, tells nothing of lives. Its evaluation
        # epsilon is the training's final one: the paper scores the training episodes themselves.
        _atari("machado2018", "Machado et al. 2018, arXiv:1709.06009", 0.01, 0.25, 0, 30, False),
        # Up to 30 idle steps at the start; 5-minute games in evaluation; epsilon as in "Methods".
        _atari("mnih2015", "Mnih et al. 2015, doi:10.1038/nature14236", 0.05, 0.0, 30, 5, True),
        # As mnih2015 with 30-minute games. Epsilon differs from agent to agent there (DQN 0.05, later ones 0.01 or
        # less), so presets name theirs; 0.01 for those that do not.
        _atari("dqn_zoo", "github.com/google-deepmind/dqn_zoo (processors.py, run_atari.py)", 0.01, 0.0, 30, 30, True),
        # As dqn_zoo with FIRE pressed in the first frame of games that know it (envpool's default, as in PQN's runs;
        # there after the no-ops), and no random actions in evaluation.
        _atari("gallici2024", "Gallici et al. 2024, arXiv:2407.04811 (envpool)", 0.0, 0.0, 30, 30, True, fire=True),
        # As machado2018 with no-ops (those of Gymnasium's AtariPreprocessing), and no random actions in evaluation.
        _atari("clark2024", "Clark et al. 2024, arXiv:2411.03820 (Gymnasium)", 0.0, 0.25, 30, 30, False),
    )
}


def atari(name: str) -> Protocol:
    """Return the Atari protocol of that name, "default" among them; `UserError` names the nearest."""
    if name == DEFAULT:
        return next(iter(ATARI.values()))
    if name not in ATARI:
        raise unknown("protocol", name, ATARI)
    return ATARI[name]


def only_default(name: str, env_id: str, protocol: Protocol) -> Protocol:
    """Return the only protocol of an environment without a choice, or reject another name."""
    if name not in (DEFAULT, protocol.name):
        raise UserError(f"--protocol {name}: {env_id} has one protocol only, {protocol.name}")
    return protocol
