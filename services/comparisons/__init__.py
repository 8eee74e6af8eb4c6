"""Comparisons: runs beside each other, what differs between two of them, and whether that is more than luck."""

from services.comparisons.pairs import Change, Comparison, compare
from services.comparisons.sides import Side, sides
from services.comparisons.tables import (
    AGGREGATES,
    MOST_RUNS,
    POINTS,
    Cell,
    MetricRow,
    RunComparison,
    RunHead,
    TextRow,
    candidates,
    compare_runs,
    sparks,
)

__all__ = [
    "AGGREGATES",
    "MOST_RUNS",
    "POINTS",
    "Cell",
    "Change",
    "Comparison",
    "MetricRow",
    "RunComparison",
    "RunHead",
    "Side",
    "TextRow",
    "candidates",
    "compare",
    "compare_runs",
    "sides",
    "sparks",
]
