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
