"""What learns and what plays: one short file an algorithm, and a registry."""

from agents.loading import load_policy
from agents.registry import AGENTS, preset_for, recipe

__all__ = ["AGENTS", "load_policy", "preset_for", "recipe"]
