"""Views: how somebody wants to see runs, as it is saved, sent and put into links."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.core.errors import Invalid
from services.specs import filters
from services.specs.run_fields import field

MOST_COLUMNS = 200
Words = Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=MOST_COLUMNS)]


class ViewBody(BaseModel):
    """What the list and the dashboard show. Columns, order and groups are spelled as in filters.

    `hidden` are names of runs whose eye is closed, `only_shown` leaves these out of the list; `board` is the id
    of the tiles, empty for those made from what was logged; `widths` are of columns, in pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    show: Literal["list", "dashboard"] = "list"
    filter: Annotated[str, Field(max_length=10_000)] = ""
    search: Annotated[str, Field(max_length=400)] = ""
    columns: Words = []
    order_by: Words = []
    group_by: Words = []
    page_size: Annotated[int, Field(ge=1, le=200)] = 50
    board: Annotated[str, Field(max_length=64)] = ""
    hidden: Words = []
    pinned: Words = []
    pinned_columns: Words = []
    widths: Annotated[dict[str, Annotated[int, Field(ge=40, le=1200)]], Field(max_length=MOST_COLUMNS)] = {}
    baseline: Annotated[str, Field(max_length=400)] = ""
    only_shown: bool = False

    @field_validator("filter")
    @classmethod
    def _readable(cls, given: str) -> str:
        return _checked(given, lambda text: filters.parse(text) if text.strip() else None)

    @field_validator("columns", "group_by", "pinned_columns")
    @classmethod
    def _fields(cls, given: list[str]) -> list[str]:
        return [_checked(each, field) for each in given]

    @field_validator("order_by")
    @classmethod
    def _order(cls, given: list[str]) -> list[str]:
        return [_checked(each, lambda text: field(text.removeprefix("-"))) for each in given]


def _checked(text: str, read: object) -> str:
    """Pydantic wants a ValueError to say where in the whole it was."""
    try:
        read(text)  # type: ignore[operator]
    except Invalid as cause:
        raise ValueError(str(cause)) from cause
    return text
