"""What learns and what plays: one short file an algorithm, and a registry."""

from agents.loading import load_policy
from agents.registry import AGENTS, choose, recipe

__all__ = ["AGENTS", "choose", "load_policy", "recipe"]
