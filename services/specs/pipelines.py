"""A pipeline job as people write it: steps that pass data to each other."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from services.specs.fields import AssetName, Description, Local, Spec, Texts
from services.specs.interfaces import nothing_is_empty
from services.specs.jobs import JobInputs, JobOutputs
from services.specs.steps import Settings, Steps, check_steps


class PipelineJob(Spec):
    """Steps with the data that flows between them, or a pipeline `component` with its inputs and outputs."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["pipeline"] = "pipeline"
    name: AssetName | None = None
    display_name: str | None = Field(default=None, max_length=255)
    experiment_name: str | None = Field(default=None, max_length=255)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    inputs: JobInputs = {}
    outputs: JobOutputs = {}
    settings: Annotated[Settings, BeforeValidator(nothing_is_empty, json_schema_input_type=Settings | None)] = (
        Settings()
    )
    jobs: Steps | None = None
    component: Annotated[str | None, Local("yaml", "component")] = None
    compute: str | None = None
    services: dict[str, Any] = {}
    identity: dict[str, Any] | None = None

    @model_validator(mode="after")
    def sound(self) -> "PipelineJob":
        if (self.jobs is None) == (self.component is None):
            raise ValueError("a pipeline has 'jobs' or a 'component'")
        if self.jobs is not None:
            check_steps(self.jobs, self.inputs, self.outputs)
        return self

    def warnings(self) -> list[str]:
        """What was accepted and will not do what its writer may hope."""
        if self.settings.default_datestore is None:
            return []
        return ["settings.default_datestore is accepted and does nothing; 'default_datastore' was surely meant."]
