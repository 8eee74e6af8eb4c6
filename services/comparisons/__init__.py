"""Comparisons: runs beside each other, what differs between two of them, and whether that is more than luck."""

from services.comparisons.pairs import Change, Comparison, compare
from services.comparisons.sections import SECTIONS, Difference, Part, Section, diff
from services.comparisons.seeds import Group, Significance, Tested, significance
from services.comparisons.sides import Side, sides
from services.comparisons.since import Changed, What, changed
from services.comparisons.tables import (
    AGGREGATES,
    MOST_ROWS,
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
    "MOST_ROWS",
    "MOST_RUNS",
    "POINTS",
    "SECTIONS",
    "Cell",
    "Change",
    "Changed",
    "Comparison",
    "Difference",
    "Group",
    "MetricRow",
    "Part",
    "RunComparison",
    "RunHead",
    "Section",
    "Side",
    "Significance",
    "Tested",
    "TextRow",
    "What",
    "candidates",
    "changed",
    "compare",
    "compare_runs",
    "diff",
    "sides",
    "significance",
    "sparks",
]
