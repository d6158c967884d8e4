"""What an agent file hands over: a recipe. The registry of them is in `agents`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from gymnasium import spaces
from torch import nn

from learning.config import LearnerConfig
from learning.experience import Kind, Replayed
from learning.losses import Loss, Network
from learning.replay import Batch

if TYPE_CHECKING:
    from learning.learner import Learner


@dataclass(frozen=True)
class Preset:
    """Named values for an agent's settings; those it does not name keep their defaults."""

    about: str
    suits: Literal["atari", "worlds", "control"]
    """Made for Atari's frames, for this project's worlds, or for other environments with vectors."""
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """An agent: its settings, its network and its loss."""

    name: str
    paper: str
    config: type[LearnerConfig]
    presets: Mapping[str, Preset]
    network: Callable[[spaces.Box, int, Any, torch.Generator], nn.Module]
    loss: Callable[[Network, Network, Batch, Any], Loss]
    experience: Kind = Replayed
    """What is learnt from: a replay, or rollouts."""
    switches: Mapping[str, Any] = field(default_factory=dict)
    """What it has that its ancestor lacks, in every preset."""
    learner: type[Learner] | None = None
    """What turns losses into steps; None: the ordinary learner."""
    target_network: bool = True
    """A slower copy of the network judges what comes next; without one the loss gets the network itself."""
