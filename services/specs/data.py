"""A data asset as people write it: a name for a file, a folder or a table."""

from typing import Literal

from pydantic import Field

from services.specs.fields import AssetName, Description, Flag, Spec, Texts, Version

DataAssetType = Literal["uri_file", "uri_folder", "mltable"]
PATH_LIMIT = 8192


class DataAsset(Spec):
    """A named version of data. A local path is uploaded when it is created; any URI is kept as it is, never copied
    and never checked.
    """

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: AssetName | None = None
    version: Version | None = None
    type: DataAssetType = "uri_folder"
    path: str = Field(min_length=1, max_length=PATH_LIMIT)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    skip_validation: Flag = False
