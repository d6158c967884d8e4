"""How good it is: reference scores, runs on disk, statistics, tables and charts.

Knows nothing of agents, learning or torch; `train.py` and `compare.py` print what this package gathers.
"""

from scores.atari.compare import AtariComparison, Wanted
from scores.atari.compare import compare as atari_comparison
from scores.collect import comparison, comparisons, read, worlds
from scores.rows import Comparison, Row
from scores.table import as_csv, as_json, as_markdown, as_text

__all__ = [
    "AtariComparison",
    "Comparison",
    "Row",
    "Wanted",
    "as_csv",
    "as_json",
    "as_markdown",
    "as_text",
    "atari_comparison",
    "comparison",
    "comparisons",
    "read",
    "worlds",
]
