"""A data asset as people write it: a name for a file, a folder or a table."""

from typing import Annotated, Any, Literal

from pydantic import Field

from services.specs.fields import AssetName, Description, Flag, Kept, Local, Spec, Texts, Version

DataAssetType = Literal["uri_file", "uri_folder", "mltable"]
PATH_LIMIT = 8192


class DataAsset(Kept):
    """A named version of data. A local path is uploaded when it is created; any URI is kept as it is, never copied
    and never checked.
    """

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: AssetName | None = None
    version: Version | None = None
    type: DataAssetType = "uri_folder"
    path: Annotated[str, Local()] = Field(min_length=1, max_length=PATH_LIMIT)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    skip_validation: Flag = False


class TablePath(Spec):
    """Where a table's rows lie: a `file`, a `folder` or a `pattern`, relative to the MLTable file, or a URI."""

    file: Annotated[str | None, Local()] = None
    folder: Annotated[str | None, Local()] = None
    pattern: str | None = None


class MLTable(Spec):
    """A table as its MLTable file describes it: where the rows lie, and how they are read."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["mltable"] = "mltable"
    paths: list[TablePath] = Field(min_length=1)
    transformations: list[str | dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    skip_validation: Flag = False
