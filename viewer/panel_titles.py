"""The name of each panel in settings and options, and its title in the help, in the order of their keys."""

from __future__ import annotations

PANEL_TITLES = {
    "control": "Who plays",
    "actions": "Expected return of each action",
    "seen": "What the network sees (games)",
    "learning": "Learning",
    "score": "Score",
    "returns": "Distributions of the return",
    "step": "This step explained",
    "senses": "Inputs and activations",
    "neurons": "What neurons respond to",
    "truth": "Truth meter: expected and actual",
    "rewards": "Reward per step, smoothed",
    "curve": "Learning curve of the run",
}

WITHOUT_CONTENT = {
    "actions": "this player expects nothing",
    "seen": "it is for games, whose network sees frames",
    "learning": "no agent is loaded",
    "returns": "it is for agents that predict distributions, as rainbow does",
    "step": "this player expects nothing",
    "senses": "this player has no network that can be looked into",
    "neurons": "this player has no network that can be looked into",
    "truth": "this player expects nothing",
    "curve": "it is for runs in training, with --attach or train.py --watch",
}
"""Why a panel may have nothing to show."""
