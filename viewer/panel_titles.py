"""What each panel is called: its name in the settings and as an option's value, and its title in the help, in order."""

from __future__ import annotations

PANEL_TITLES = {
    "control": "Who plays",
    "actions": "Expected return of each action",
    "seen": "What the network sees (games)",
    "learning": "Learning",
    "score": "Score",
    "returns": "Returns that may come (distributions)",
    "step": "This step explained",
    "senses": "Inputs and activations",
    "neurons": "What neurons look for",
    "truth": "Truth meter: expected and come",
    "rewards": "Reward per step, smoothed",
}
