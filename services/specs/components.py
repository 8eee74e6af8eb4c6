"""A component as people write it: a step with a typed interface, to be used in many jobs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import model_validator

from services.specs.commands import CommandComponent, Interfaced
from services.specs.fields import Local
from services.specs.interfaces import Command
from services.specs.parallel import Function, Parallel
from services.specs.problems import chosen
from services.specs.source import Source
from services.specs.steps import Settings, Steps, check_parallel, check_steps
from services.specs.sweeps import Search, check_trial

__all__ = ["CommandComponent", "Component", "ParallelComponent", "PipelineComponent", "SweepComponent", "component"]


class ParallelComponent(Interfaced, Parallel):
    """One script over many mini-batches of an input."""

    type: Literal["parallel"]
    task: Function

    @model_validator(mode="after")
    def defined(self) -> "ParallelComponent":
        check_parallel(self, self.task, self.inputs, self.outputs)
        return self


class SweepComponent(Interfaced, Search):
    """A search for the best values, to be used in many pipelines."""

    type: Literal["sweep"]
    trial: Annotated[str | Command, Local("yaml", "component")]

    @model_validator(mode="after")
    def defined(self) -> "SweepComponent":
        optional = {name: wanted.optional for name, wanted in self.inputs.items()}
        check_trial(self.trial, optional, self.outputs, self.search_space)
        return self


class PipelineComponent(Interfaced):
    """Steps that are used as one step."""

    type: Literal["pipeline"]
    jobs: Steps
    settings: Settings | None = None

    @model_validator(mode="after")
    def defined(self) -> "PipelineComponent":
        check_steps(self.jobs, self.inputs, self.outputs)
        return self


Component = CommandComponent | ParallelComponent | SweepComponent | PipelineComponent
KINDS: Mapping[str, type[Component]] = {
    "command": CommandComponent,
    "parallel": ParallelComponent,
    "sweep": SweepComponent,
    "pipeline": PipelineComponent,
}


def component(value: Any, source: Source | None = None) -> Component:
    """`value` as the spec that its `type` names; without one it is a command. Raises Invalid."""
    return chosen(KINDS, value, source, what="component", default="command")
