"""How good it is: reference scores, runs on disk, statistics, tables and charts.

Knows nothing of agents, learning or torch; `train.py` and `compare.py` print what this package gathers.
"""

from scores.gather import Comparison, Row, comparison, comparisons
from scores.table import as_json, as_markdown, as_text

__all__ = ["Comparison", "Row", "as_json", "as_markdown", "as_text", "comparison", "comparisons"]
