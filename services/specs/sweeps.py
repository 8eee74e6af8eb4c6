"""A sweep as people write it: one trial, the space to search, and when to stop."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from services.core.errors import Invalid
from services.specs import expressions
from services.specs.fields import (
    AssetName,
    Description,
    Flag,
    Local,
    Number,
    Spec,
    Texts,
    Whole,
    caseless,
    known_type,
    tagged,
)
from services.specs.interfaces import Command, NodeResources, nothing_is_empty
from services.specs.jobs import LONGEST, JobInputs, JobOutputs, LiteralInput, Scalar

TRIALS = 1000
LARGEST_EXPONENT = 700


class Choice(Spec):
    """One of the `values`."""

    type: Literal["choice"]
    values: list[Scalar] = Field(min_length=1)


class RandomInteger(Spec):
    """A whole number from 0 to below `upper`."""

    type: Literal["randint"]
    upper: Whole = Field(ge=1)


class Between(Spec):
    """From `min_value` to `max_value`; in the `log` forms both are exponents, in the `q` forms `q` is the step."""

    type: Literal["uniform", "loguniform", "quniform", "qloguniform"]
    min_value: Number
    max_value: Number
    q: Number | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def sound(self) -> "Between":
        if self.min_value >= self.max_value:
            raise ValueError(f"min_value {self.min_value:g} must be less than max_value {self.max_value:g}")
        if self.type.endswith("loguniform") and self.max_value > LARGEST_EXPONENT:
            raise ValueError(f"{self.type} takes exponents: exp({self.max_value:g}) is too large a number")
        _check_step(self.type, self.q)
        return self


class Around(Spec):
    """Around `mu`, as far as `sigma` says; in the `q` forms `q` is the step."""

    type: Literal["normal", "lognormal", "qnormal", "qlognormal"]
    mu: Number
    sigma: Number = Field(gt=0)
    q: Number | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def sound(self) -> "Around":
        _check_step(self.type, self.q)
        return self


def _check_step(kind: str, q: float | None) -> None:
    if kind.startswith("q") != (q is not None):
        raise ValueError(f"{kind} {'needs' if q is None else 'takes no'} 'q'")


_DRAWN: dict[str, str] = {
    "choice": "[choice]",
    "randint": "[randint]",
    **dict.fromkeys(("uniform", "loguniform", "quniform", "qloguniform"), "[between]"),
    **dict.fromkeys(("normal", "lognormal", "qnormal", "qlognormal"), "[around]"),
}
Drawn = Annotated[
    Annotated[Choice, Tag("[choice]")]
    | Annotated[RandomInteger, Tag("[randint]")]
    | Annotated[Between, Tag("[between]")]
    | Annotated[Around, Tag("[around]")],
    Discriminator(tagged(_DRAWN)),
    BeforeValidator(known_type(_DRAWN, what="a distribution")),
]


_ALGORITHM = caseless("random", "grid", "bayesian")


class Objective(Spec):
    """`primary_metric` is the name exactly as a trial logs it."""

    goal: Annotated[Literal["minimize", "maximize"], caseless("minimize", "maximize")]
    primary_metric: str = Field(min_length=1, max_length=250)


class Sampling(Spec):
    """How values are drawn; `rule: sobol` and `seed` are for random."""

    type: Annotated[Literal["random", "grid", "bayesian"], _ALGORITHM]
    seed: Whole | None = None
    rule: Literal["random", "sobol"] | None = None
    logbase: Number | str | None = None


def _sampling(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class EarlyTermination(Spec):
    """When a trial is given up. `evaluation_interval` counts reports of the metric, `delay_evaluation` comes first."""

    type: Literal["bandit", "median_stopping", "truncation_selection"]
    evaluation_interval: Whole = Field(default=1, ge=1)
    delay_evaluation: Whole = Field(default=0, ge=0)
    slack_factor: Number | None = Field(default=None, ge=0)
    slack_amount: Number | None = Field(default=None, ge=0)
    truncation_percentage: Whole | None = Field(default=None, ge=1, le=99)
    exclude_finished_jobs: Flag | None = None

    @model_validator(mode="after")
    def sound(self) -> "EarlyTermination":
        slack = (self.slack_factor is not None) + (self.slack_amount is not None)
        if self.type == "bandit" and slack != 1:
            raise ValueError("bandit needs a 'slack_factor' or a 'slack_amount', not both")
        if self.type != "bandit" and slack:
            raise ValueError(f"slack is for bandit, not for {self.type}")
        if (self.type == "truncation_selection") != (self.truncation_percentage is not None):
            needs = "needs" if self.truncation_percentage is None else "takes no"
            raise ValueError(f"{self.type} {needs} 'truncation_percentage'")
        return self


class SweepLimits(Spec):
    """Trials in all and at once; seconds for the sweep and for each trial."""

    max_total_trials: Whole = Field(default=TRIALS, ge=1, le=10_000)
    max_concurrent_trials: Whole | None = Field(default=None, ge=1, le=1000)
    timeout: Whole = Field(default=5_184_000, ge=1, le=LONGEST)
    trial_timeout: Whole | None = Field(default=None, ge=1, le=LONGEST)

    @model_validator(mode="after")
    def sound(self) -> "SweepLimits":
        if self.max_concurrent_trials is not None and self.max_concurrent_trials > self.max_total_trials:
            raise ValueError(
                f"max_concurrent_trials {self.max_concurrent_trials} is more than "
                f"max_total_trials {self.max_total_trials}"
            )
        return self


class Search(Spec):
    """What a sweep is beside its trial: the same in a job, in a pipeline's step and in a component."""

    search_space: dict[str, Drawn] = Field(min_length=1)
    objective: Objective
    sampling_algorithm: Annotated[
        Sampling,
        BeforeValidator(_sampling, json_schema_input_type=Annotated[str, _ALGORITHM] | Sampling),
    ] = Sampling(type="random")
    early_termination: EarlyTermination | None = None
    limits: Annotated[SweepLimits, BeforeValidator(nothing_is_empty, json_schema_input_type=SweepLimits | None)] = (
        SweepLimits()
    )

    @model_validator(mode="after")
    def drawable(self) -> "Search":
        if self.sampling_algorithm.type == "grid":
            for name, drawn in self.search_space.items():
                if not isinstance(drawn, Choice):
                    raise ValueError(f"search_space: grid takes only choices, and '{name}' is {drawn.type}")
        return self

    def warnings(self) -> list[str]:
        """What was accepted and may not be what its writer meant."""
        return [
            f"'{name}': {drawn.type} takes exponents, so {drawn.min_value:g} and {drawn.max_value:g} mean "
            f"{math.exp(drawn.min_value):.4g} to {math.exp(drawn.max_value):.4g}."
            for name, drawn in self.search_space.items()
            if isinstance(drawn, Between) and drawn.type.endswith("loguniform") and drawn.min_value >= 0
        ]


class SweepJob(Search):
    """A search for the best values. `trial` is a command written here, or names a component."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    type: Literal["sweep"] = "sweep"
    name: AssetName | None = None
    display_name: str | None = Field(default=None, max_length=255)
    experiment_name: str | None = Field(default=None, max_length=255)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    trial: Annotated[str | Command, Local("yaml", "component")]
    inputs: JobInputs = {}
    outputs: JobOutputs = {}
    compute: str | None = None
    resources: NodeResources | None = None
    services: dict[str, Any] = {}
    identity: dict[str, Any] | None = None
    queue_settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def defined(self) -> "SweepJob":
        optional = {name: isinstance(each, LiteralInput) and each.optional for name, each in self.inputs.items()}
        check_trial(self.trial, optional, self.outputs, self.search_space)
        return self


def check_trial(trial: str | Command, inputs: dict[str, bool], outputs: Any, space: dict[str, Drawn]) -> None:
    """What a trial's command names must be there. Raises ValueError."""
    if isinstance(trial, str):
        return
    try:
        expressions.check(trial.command, inputs=inputs, outputs=outputs, space=space, field="trial.command")
    except Invalid as cause:
        raise ValueError(str(cause)) from cause
