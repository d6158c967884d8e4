"""How good an agent is: reference scores, runs on disk, statistics, tables and charts.

Does not import agents, learning or torch; `train.py` and `compare.py` print what this package returns.
"""

from scores.atari.compare import AtariComparison, AtariSelection
from scores.atari.compare import compare as atari_comparison
from scores.collect import comparison, comparisons, environment_comparisons, read
from scores.rows import Comparison, Row
from scores.table import as_csv, as_json, as_markdown, as_text

__all__ = [
    "AtariComparison",
    "AtariSelection",
    "Comparison",
    "Row",
    "as_csv",
    "as_json",
    "as_markdown",
    "as_text",
    "atari_comparison",
    "comparison",
    "comparisons",
    "environment_comparisons",
    "read",
]
