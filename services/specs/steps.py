"""The steps of a pipeline as people write them, and whether they can be put in an order."""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from services.core.errors import Invalid
from services.specs import expressions
from services.specs.commands import CommandComponent
from services.specs.environments import Environment
from services.specs.fields import Description, Flag, Local, Spec, Texts, known_type, tagged
from services.specs.interfaces import Command, Distribution, NodeResources, Variables, named, nothing_is_empty
from services.specs.jobs import COMMAND_LIMIT, Data, DataType, Input, Limits, OutputMode
from services.specs.parallel import Function, Parallel
from services.specs.sweeps import Search, check_trial

STEPS = 10_000
REFUSED = (
    "spark",
    "automl",
    "import",
    "data_transfer",
    "if_else",
    "do_while",
    "parallel_for",
    "finetuning",
    "distillation",
)
_PARENT = re.compile(r"\$\{\{\s*parent\.(?P<rest>[^}]{0,300}?)\s*\}\}")
_OWN = re.compile(r"\A(?P<group>inputs|outputs)\.(?P<name>[A-Za-z0-9_-]+)\Z", re.ASCII)
_OTHER = re.compile(
    r"\Ajobs\.(?P<step>[A-Za-z0-9_-]+)\.(?P<group>inputs|outputs)\.(?P<name>[A-Za-z0-9_-]+)\Z", re.ASCII
)


class Bound(Spec):
    """Where a step's output goes: a datastore's URI, or the pipeline's own output."""

    type: DataType | None = None
    mode: OutputMode | None = None
    path: str | None = Field(default=None, max_length=8192)
    name: str | None = None
    version: str | None = None
    description: Description | None = None

    @field_validator("path")
    @classmethod
    def in_a_datastore(cls, path: str | None) -> str | None:
        if path is not None and not path.startswith(("azureml://", "${{")):
            raise ValueError("an output's path is a datastore URI: azureml://datastores/<name>/paths/<path>")
        return path


def _empty(value: Any) -> Any:
    return (
        {key: Bound() if inner is None else inner for key, inner in value.items()} if isinstance(value, dict) else value
    )


StepInputs = Annotated[
    dict[str, Input],
    BeforeValidator(named),
    BeforeValidator(nothing_is_empty, json_schema_input_type=dict[str, Input] | None),
]
StepOutputs = Annotated[
    dict[str, str | Bound],
    BeforeValidator(named),
    BeforeValidator(_empty),
    BeforeValidator(nothing_is_empty, json_schema_input_type=dict[str, str | Bound | None] | None),
]


class _Step(Spec):
    name: str | None = None
    display_name: str | None = Field(default=None, max_length=255)
    experiment_name: str | None = Field(default=None, max_length=255)
    description: Description | None = None
    comment: str | None = None
    tags: Texts = {}
    properties: Texts = {}
    inputs: StepInputs = {}
    outputs: StepOutputs = {}
    compute: str | None = None
    identity: dict[str, Any] | None = None


class CommandStep(_Step):
    """A command in a pipeline: a `component`, or a `command` with its environment."""

    type: Literal["command"] = "command"
    component: Annotated[str | CommandComponent | None, Local("yaml", "component")] = None
    command: str | None = Field(default=None, min_length=1, max_length=COMMAND_LIMIT)
    code: Annotated[str | None, Local()] = None
    environment: Annotated[str | Environment | None, Local("yaml", "environment")] = None
    environment_variables: Variables = {}
    resources: NodeResources | None = None
    distribution: Distribution | None = None
    limits: Limits | None = None
    services: dict[str, Any] = {}
    queue_settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def sound(self) -> "CommandStep":
        if (self.command is None) == (self.component is None):
            raise ValueError("a step has a 'component' or a 'command' of its own")
        if self.command is not None:
            if self.environment is None:
                raise ValueError("a step with a 'command' of its own needs an 'environment'")
            try:
                expressions.check(self.command, inputs=dict.fromkeys(self.inputs, True), outputs=self.outputs)
            except Invalid as cause:
                raise ValueError(str(cause)) from cause
        return self


class ParallelStep(_Step, Parallel):
    """One script over many mini-batches: a `component`, or a `task` written here."""

    type: Literal["parallel"]
    component: Annotated[str | None, Local("yaml", "component")] = None
    task: Function | None = None

    @model_validator(mode="after")
    def sound(self) -> "ParallelStep":
        if (self.task is None) == (self.component is None):
            raise ValueError("a parallel step has a 'component' or a 'task' of its own")
        if self.task is not None:
            if self.input_data is None:
                raise ValueError("a parallel step with a 'task' needs 'input_data', such as ${{inputs.data}}")
            check_parallel(self, self.task, self.inputs, self.outputs)
        return self


class SweepStep(_Step, Search):
    """A search in a pipeline; a component as `trial` gets what is searched as its inputs of the same name."""

    type: Literal["sweep"]
    trial: Annotated[str | Command, Local("yaml", "component")]
    resources: NodeResources | None = None
    queue_settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def defined(self) -> "SweepStep":
        check_trial(self.trial, dict.fromkeys(self.inputs, True), self.outputs, self.search_space)
        return self


class PipelineStep(_Step):
    """A pipeline in a pipeline: a `component`, or its `jobs` written here."""

    type: Literal["pipeline"]
    component: Annotated[str | None, Local("yaml", "component")] = None
    jobs: "Steps | None" = None
    settings: "Settings | None" = None

    @model_validator(mode="after")
    def sound(self) -> "PipelineStep":
        if (self.jobs is None) == (self.component is None):
            raise ValueError("a pipeline step has a 'component' or 'jobs' of its own")
        if self.jobs is not None:
            check_steps(self.jobs, self.inputs, self.outputs)
        return self


class Settings(Spec):
    """Of all steps that say nothing else. `default_datestore` is a misspelling that files in the wild hold."""

    default_compute: str | None = None
    default_datastore: str | None = None
    default_datestore: str | None = None
    continue_on_step_failure: Flag | None = None
    force_rerun: Flag | None = None
    on_init: str | None = None
    on_finalize: str | None = None


_TAGS = {kind: f"[{kind}]" for kind in ("command", "parallel", "sweep", "pipeline")}
Step = Annotated[
    Annotated[CommandStep, Tag("[command]")]
    | Annotated[ParallelStep, Tag("[parallel]")]
    | Annotated[SweepStep, Tag("[sweep]")]
    | Annotated[PipelineStep, Tag("[pipeline]")],
    Discriminator(tagged(_TAGS, "command")),
    BeforeValidator(known_type(_TAGS, what="a step", default="command", refused=REFUSED)),
]
Steps = Annotated[dict[str, Step], BeforeValidator(named), Field(min_length=1, max_length=STEPS)]


def check_parallel(cut: Parallel, task: Function, inputs: Mapping[str, object], outputs: Mapping[str, object]) -> None:
    """What a parallel task names must be there. Raises ValueError."""
    for field, text in (
        ("input_data", cut.input_data),
        ("task.program_arguments", task.program_arguments),
        ("task.append_row_to", task.append_row_to),
    ):
        try:
            expressions.check(text or "", inputs=dict.fromkeys(inputs, True), outputs=outputs, field=field)
        except Invalid as cause:
            raise ValueError(str(cause)) from cause


def check_steps(steps: Mapping[str, Step], inputs: Mapping[str, object], outputs: Mapping[str, object]) -> None:
    """Whatever a step names of the pipeline or of another step must be there, and no step may wait for itself.

    Raises ValueError with the step's name, or with the whole circle.
    """
    for name, step in steps.items():
        for text in _texts_of(step):
            for rest in _parents(text):
                _check_named(name, rest, steps, {"inputs": inputs, "outputs": outputs})
    try:
        order(steps)
    except CycleError as cause:
        circle = " → ".join(reversed(cause.args[1]))
        raise ValueError(f"jobs: the steps wait for each other: {circle}") from cause


def order(steps: Mapping[str, Step]) -> list[str]:
    """The steps' names, each after those that it waits for. Raises graphlib.CycleError."""
    return list(TopologicalSorter({name: waits_for(step) for name, step in steps.items()}).static_order())


def waits_for(step: Step) -> set[str]:
    """The steps whose outputs it reads: only data puts steps in an order."""
    found = (_OTHER.match(rest) for text in _texts_of(step) for rest in _parents(text))
    return {match["step"] for match in found if match is not None}


def _check_named(name: str, rest: str, steps: Mapping[str, Step], own: Mapping[str, Mapping[str, object]]) -> None:
    if found := _OWN.match(rest):
        known = own[found["group"]]
        if found["name"] not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(
                f"jobs.{name}: the pipeline has no {found['group'].rstrip('s')} '{found['name']}'. Defined: {listed}"
            )
        return
    if found := _OTHER.match(rest):
        if found["step"] not in steps:
            raise ValueError(f"jobs.{name}: there is no step '{found['step']}'. Defined: {', '.join(steps)}")
        other = steps[found["step"]]
        is_whole = isinstance(other, CommandStep) and other.command is not None
        if is_whole and found["group"] == "outputs" and found["name"] not in other.outputs:
            listed = ", ".join(other.outputs) or "none"
            raise ValueError(f"jobs.{name}: step '{found['step']}' has no output '{found['name']}'. Defined: {listed}")
        return
    raise ValueError(
        f"jobs.{name}: '${{{{parent.{rest[:60]}}}}}' is not understood; write ${{{{parent.inputs.<name>}}}}, "
        "${{parent.outputs.<name>}} or ${{parent.jobs.<step>.outputs.<name>}}"
    )


def _parents(text: str) -> list[str]:
    return [found["rest"].strip() for found in _PARENT.finditer(text)]


def _texts_of(step: Step) -> Iterator[str]:
    """All that a step says in its pipeline's words."""
    for value in step.inputs.values():
        yield value.path if isinstance(value, Data) else str(value)
    for bound in step.outputs.values():
        yield bound if isinstance(bound, str) else bound.path or ""
    yield step.compute or ""
