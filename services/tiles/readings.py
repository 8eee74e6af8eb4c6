"""What is read for tiles: arrays and records, one kind for each way of drawing them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.runs import RunLine
from services.tiles.columns import Column

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Nothing:
    """Why nothing is drawn, and what to do."""

    note: str


@dataclass(frozen=True)
class Curve:
    """One line: equally long `x` and `y`; `run` is empty for a group's mean, which may have a band.

    `raw` is the line before it was smoothed.
    """

    name: str
    metric: str
    color: str
    x: Values
    y: Values
    run: str = ""
    raw: tuple[Values, Values] | None = None
    low: Values | None = None
    high: Values | None = None


@dataclass(frozen=True)
class Mark:
    """The best point of a metric."""

    curve: Curve
    x: float
    y: float


@dataclass(frozen=True)
class Curves:
    """Lines over one x axis: step, time (milliseconds), relative (seconds) or the name of a metric."""

    lines: Sequence[Curve]
    x: str
    y: str = ""
    marks: Sequence[Mark] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Bar:
    """A run's value, or the mean of `count` runs with their standard deviation."""

    name: str
    color: str
    value: float
    text: str
    run: str = ""
    spread: float | None = None
    count: int = 1


@dataclass(frozen=True)
class Bars:
    label: str
    bars: Sequence[Bar]
    note: str = ""


@dataclass(frozen=True)
class Fit:
    """A straight line through points as they lie on their axes, from one end to the other."""

    x: tuple[float, float]
    y: tuple[float, float]
    r2: float


@dataclass(frozen=True)
class Points:
    """A point a run; `fit` is None where there is no line through them."""

    runs: Sequence[RunLine]
    x: Column
    y: Column
    color: Column | None = None
    size: Column | None = None
    fit: Fit | None = None
    note: str = ""


@dataclass(frozen=True)
class Axes:
    """A line a run across columns."""

    runs: Sequence[RunLine]
    columns: Sequence[Column]
    color: Column | None = None
    note: str = ""


@dataclass(frozen=True)
class Box:
    """The values of one group, with the runs that have them."""

    name: str
    color: str
    values: Values
    runs: Sequence[RunLine]


@dataclass(frozen=True)
class Boxes:
    label: str
    boxes: Sequence[Box]
    note: str = ""


@dataclass(frozen=True)
class Surface:
    """`values[row, column]` over y and x as they lie on their axes, NaN where nothing is known.

    With `x_names` (and y's) the places 0, 1, … are these; `is_map` says that every cell stands for itself.
    """

    runs: Sequence[RunLine]
    x: Column
    y: Column
    z: Column
    at_x: Values
    at_y: Values
    values: Values
    x_names: Sequence[str] = ()
    y_names: Sequence[str] = ()
    is_map: bool = False
    note: str = ""


@dataclass(frozen=True)
class Density:
    """How many points of a metric fell into each cell: `counts[row, column]` between edges of values and steps."""

    metric: str
    steps: Values
    edges: Values
    counts: Values
    note: str = ""


@dataclass(frozen=True)
class Share:
    """How much of what is known of the target is lost when this parameter is shuffled."""

    name: str
    mean: float
    spread: float


@dataclass(frozen=True)
class Shares:
    """By importance; `r2` is of runs that a tree was not grown with."""

    target: str
    count: int
    r2: float
    shares: Sequence[Share]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """An image of a run, `path` among its files."""

    key: str
    step: int
    path: str


@dataclass(frozen=True)
class Pictures:
    keys: Sequence[str]
    steps: Sequence[int]
    runs: Sequence[tuple[RunLine, Sequence[Picture]]]
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """`delta` is the difference from the baseline's value, `tone` good, bad or nothing."""

    value: float | str | None
    text: str
    delta: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Grid:
    """A table; `runs` are those of its columns, where columns are runs."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    runs: Mapping[int, RunLine] = field(default_factory=dict)
    row_runs: Sequence[RunLine | None] = ()
    note: str = ""


@dataclass(frozen=True)
class Scalars:
    items: Sequence[tuple[RunLine, float | None, str]]
    note: str = ""


@dataclass(frozen=True)
class Text:
    text: str


Reading = (
    Nothing | Curves | Bars | Points | Axes | Boxes | Surface | Density | Shares | Pictures | Grid | Scalars | Text
)
