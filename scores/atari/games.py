"""Sets of Atari games that papers report."""

from __future__ import annotations

from scores.atari import atari5
from scores.atari.published import load

# Kaiser et al. 2019, arXiv:1903.00374: the games of Atari 100k
ATARI26 = (
    *("Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout", "ChopperCommand"),
    *("CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero", "Jamesbond", "Kangaroo", "Krull"),
    *("KungFuMaster", "MsPacman", "Pong", "PrivateEye", "Qbert", "RoadRunner", "Seaquest", "UpNDown"),
)
SETS = {"atari5": atari5.GAMES, "atari26": ATARI26, "atari57": tuple(sorted(load().scores["human"]))}
"""The five of Aitchison et al. 2023, arXiv:2210.02019; the 26; and the 57 that have a human score."""
