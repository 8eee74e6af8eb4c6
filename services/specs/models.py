"""A registered model as people write it: a name for what a training job left behind."""

from typing import Annotated, Any, Literal

from pydantic import Field

from services.specs.data import PATH_LIMIT
from services.specs.fields import AssetName, Description, Kept, Local, Texts, Version

ModelType = Literal["custom_model", "mlflow_model", "triton_model"]


class Model(Kept):
    """A named version of a model: a local path, a datastore's or a job output's URI, or `runs:/<id>/<path>`."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: AssetName | None = None
    version: Version | None = None
    type: ModelType = "custom_model"
    path: Annotated[str, Local()] = Field(min_length=1, max_length=PATH_LIMIT)
    flavors: dict[str, Any] | None = None
    stage: str | None = Field(default=None, max_length=255)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    job_name: str | None = None
