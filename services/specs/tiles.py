"""Tiles: the charts, tables and notes of a dashboard of runs, as they are written, saved and put into links."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from services.core.errors import Invalid
from services.specs.run_fields import field

MOST_TILES = 500
MOST_METRICS = 20
MOST_AXES = 12


def _canonical(text: str) -> str:
    """Pydantic wants a ValueError to say where in the whole it was."""
    try:
        return str(field(text))
    except Invalid as cause:
        raise ValueError(str(cause)) from cause


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Words = Annotated[str, Field(max_length=200)]
Key = Annotated[str, Field(min_length=1, max_length=250)]
# What a run can be asked for: `metrics.loss`, `params.lr`, `created` (services.specs.run_fields).
Asked = Annotated[str, Field(max_length=400), AfterValidator(_canonical)]
Groups = Annotated[list[Asked], Field(max_length=4)]
Fields = Annotated[list[Asked], Field(max_length=200)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Tile(_Spec):
    """What all tiles have: `width` in twelfths of the board, `height` in pixels."""

    id: Id
    title: Words = ""
    width: Literal[3, 4, 6, 8, 12] = 6
    height: Annotated[int, Field(ge=160, le=900)] = 300
    hidden: bool = False

    @model_serializer(mode="wrap")
    def _typed(self, kept: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type is said even where defaults are left out: it tells how the rest is read."""
        return {"type": getattr(self, "type", ""), **kept(self)}


class Line(_Tile):
    """Metrics over the course of runs, a line each, or a mean with a band for each group of runs."""

    type: Literal["line"] = "line"
    metrics: Annotated[list[Key], Field(min_length=1, max_length=MOST_METRICS)]
    x: Literal["step", "time", "relative", "metric"] = "step"
    x_metric: Annotated[str, Field(max_length=250)] = ""
    smoothing: Literal["none", "ema", "gaussian"] = "none"
    weight: Annotated[float, Field(ge=0, le=0.99)] = 0.6
    log_x: bool = False
    log_y: bool = False
    ignore_outliers: bool = False
    group_by: Groups = []
    band: Literal["none", "std", "range"] = "std"
    mark_best: bool = False

    @model_validator(mode="after")
    def _has_x(self) -> "Line":
        if self.x == "metric" and not self.x_metric:
            raise ValueError("x_metric: name the metric that is to be the x axis.")
        return self


class Bar(_Tile):
    """One bar a run, or a mean with its spread for each group."""

    type: Literal["bar"] = "bar"
    value: Asked
    group_by: Groups = []


class Scatter(_Tile):
    """One point a run; colour and size may say two things more."""

    type: Literal["scatter"] = "scatter"
    x: Asked
    y: Asked
    color: Asked | None = None
    size: Asked | None = None
    regression: bool = False


class Parallel(_Tile):
    """One line a run across axes, to see which values lead where."""

    type: Literal["parallel"] = "parallel"
    width: Literal[3, 4, 6, 8, 12] = 12
    height: Annotated[int, Field(ge=160, le=900)] = 360
    fields: Annotated[list[Asked], Field(min_length=2, max_length=MOST_AXES)]
    color: Asked | None = None


class Importance(_Tile):
    """Which parameters the target depends on, over the shown runs."""

    type: Literal["importance"] = "importance"
    target: Asked


class Contour(_Tile):
    """A third value over two others, as a map."""

    type: Literal["contour"] = "contour"
    x: Asked
    y: Asked
    z: Asked


class Box(_Tile):
    """How a value is spread in each group."""

    type: Literal["box"] = "box"
    value: Asked
    group_by: Groups = []


class Histogram(_Tile):
    """How a metric is spread over the shown runs, as it goes."""

    type: Literal["histogram"] = "histogram"
    metric: Key


class Images(_Tile):
    """Images that runs logged, side by side; `pattern` is how their key or path begins."""

    type: Literal["images"] = "images"
    width: Literal[3, 4, 6, 8, 12] = 12
    pattern: Words = ""


class Table(_Tile):
    """A table that runs logged at `path`, or `fields` of the runs."""

    type: Literal["table"] = "table"
    width: Literal[3, 4, 6, 8, 12] = 12
    path: Annotated[str, Field(max_length=500)] = ""
    fields: Fields = []

    @model_validator(mode="after")
    def _has_one(self) -> "Table":
        if bool(self.path) == bool(self.fields):
            raise ValueError("path: give the path of a logged table, or fields of the runs, and not both.")
        return self


class Markdown(_Tile):
    """A note."""

    type: Literal["markdown"] = "markdown"
    text: Annotated[str, Field(max_length=20_000)] = ""


class Scalar(_Tile):
    """One number a run: the latest, or the best by the metric's direction."""

    type: Literal["scalar"] = "scalar"
    width: Literal[3, 4, 6, 8, 12] = 3
    height: Annotated[int, Field(ge=160, le=900)] = 160
    value: Asked
    pick: Literal["best", "last"] = "last"


class Resource(_Tile):
    """What the machine was busy with while the runs ran, from their first second."""

    type: Literal["resource"] = "resource"
    name: Literal["cpu", "memory", "gpu", "disk", "network"]


class Compare(_Tile):
    """Fields of the runs beside a baseline, with what differs from it; all that was logged when none are named."""

    type: Literal["compare"] = "compare"
    width: Literal[3, 4, 6, 8, 12] = 12
    fields: Fields = []
    baseline: Annotated[str, Field(max_length=400)] = ""


Tile = Annotated[
    Line
    | Bar
    | Scatter
    | Parallel
    | Importance
    | Contour
    | Box
    | Histogram
    | Images
    | Table
    | Markdown
    | Scalar
    | Resource
    | Compare,
    Field(discriminator="type"),
]


class Section(_Spec):
    """Tiles below one heading."""

    title: Words
    collapsed: bool = False
    tiles: Annotated[list[Tile], Field(max_length=MOST_TILES)] = []


class Board(_Spec):
    """What a dashboard shows, from top to bottom. Ids of tiles are unique in it."""

    sections: Annotated[list[Section], Field(max_length=100)] = []

    @field_validator("sections")
    @classmethod
    def _unique(cls, given: list[Section]) -> list[Section]:
        ids = [tile.id for section in given for tile in section.tiles]
        if len(ids) > MOST_TILES:
            raise ValueError(f"a dashboard has at most {MOST_TILES} tiles, not {len(ids)}.")
        if twice := next((each for place, each in enumerate(ids) if each in ids[:place]), None):
            raise ValueError(f"the id '{twice}' is given to two tiles.")
        return given


class Drawing(_Spec):
    """One tile to be drawn for these runs, each by its job's name or its own id."""

    tile: Tile
    runs: Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=200)] = []
