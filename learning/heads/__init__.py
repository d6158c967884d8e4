"""What the network's numbers mean: one expectation an action, or a distribution of returns in one of four forms.

Every head does three things, in a page: `forward` turns the network's numbers into expectations (and the
distribution they are the mean of), `backup` says what the network should have said, from the reward and the
next observation, and `regress` measures how far from that it was.
"""

from learning.heads.base import Head, NextPolicy, QOutput, greedy, select, soft
from learning.heads.categorical import Categorical
from learning.heads.expected import Expected
from learning.heads.histogram import Histogram
from learning.heads.quantile import ImplicitQuantile, Quantile

HEADS: dict[str, type[Head]] = {
    "expected": Expected,
    "categorical": Categorical,
    "quantile": Quantile,
    "implicit_quantile": ImplicitQuantile,
    "histogram": Histogram,
}

__all__ = ["HEADS", "Head", "NextPolicy", "QOutput", "greedy", "select", "soft"]
