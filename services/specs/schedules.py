"""A schedule as people write it: when, and which job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from services.specs import cron, timezones
from services.specs.fields import AssetName, Description, Flag, Local, Spec, Texts, Whole, caseless, known_type, tagged
from services.specs.jobs import CommandJob, JobInputs, JobOutputs
from services.specs.pipelines import PipelineJob
from services.specs.steps import Settings


class _Trigger(Spec):
    start_time: str | None = None
    end_time: str | None = None
    time_zone: str = "UTC"

    @field_validator("start_time", "end_time")
    @classmethod
    def a_time(cls, text: str | None) -> str | None:
        if text is not None:
            moment(text)
        return text

    @field_validator("time_zone")
    @classmethod
    def known(cls, name: str) -> str:
        timezones.zone(name)
        return name

    @model_validator(mode="after")
    def forwards(self) -> "_Trigger":
        if self.start_time is not None and self.end_time is not None:
            zone = timezones.zone(self.time_zone)
            start, end = (
                each if each.tzinfo else each.replace(tzinfo=zone)
                for each in (moment(self.start_time), moment(self.end_time))
            )
            if start >= end:
                raise ValueError(f"start_time {self.start_time} is not before end_time {self.end_time}")
        return self


class CronTrigger(_Trigger):
    """When five fields of cron say so: minute, hour, day, month, weekday."""

    type: Literal["cron"]
    expression: str = Field(min_length=1, max_length=255)

    @field_validator("expression")
    @classmethod
    def five_fields(cls, expression: str) -> str:
        cron.parse(expression)
        return expression


def _listed(value: Any) -> Any:
    """`hours: 3` means `[3]`."""
    return value if (isinstance(value, Sequence) and not isinstance(value, str)) or value is None else [value]


Frequency = Annotated[
    Literal["minute", "hour", "day", "week", "month"], caseless("minute", "hour", "day", "week", "month")
]
Hour = Annotated[Whole, Field(ge=0, le=23)]
Minute = Annotated[Whole, Field(ge=0, le=59)]
MonthDay = Annotated[Whole, Field(ge=1, le=31)]
WeekDay = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    caseless("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
]


class Pattern(Spec):
    """At which times of a period: every hour with every minute."""

    hours: Annotated[list[Hour], BeforeValidator(_listed, json_schema_input_type=Hour | list[Hour])] = []
    minutes: Annotated[list[Minute], BeforeValidator(_listed, json_schema_input_type=Minute | list[Minute])] = []
    week_days: Annotated[
        list[WeekDay] | None, BeforeValidator(_listed, json_schema_input_type=WeekDay | list[WeekDay] | None)
    ] = None
    month_days: Annotated[
        list[MonthDay] | None, BeforeValidator(_listed, json_schema_input_type=MonthDay | list[MonthDay] | None)
    ] = None


class RecurrenceTrigger(_Trigger):
    """Every so many minutes, hours, days, weeks or months."""

    type: Literal["recurrence"]
    frequency: Annotated[
        Literal["minute", "hour", "day", "week", "month"], caseless("minute", "hour", "day", "week", "month")
    ]
    interval: Whole = Field(ge=1, le=1000)
    schedule: Pattern | None = None
    pattern: Pattern | None = None

    @model_validator(mode="after")
    def said_once(self) -> "RecurrenceTrigger":
        if self.schedule is not None and self.pattern is not None:
            raise ValueError("'schedule' and 'pattern' mean the same: write one")
        return self


_TRIGGERS = {"cron": "[cron]", "recurrence": "[recurrence]"}
Trigger = Annotated[
    Annotated[CronTrigger, Tag("[cron]")] | Annotated[RecurrenceTrigger, Tag("[recurrence]")],
    Discriminator(tagged(_TRIGGERS)),
    BeforeValidator(known_type(_TRIGGERS, what="a trigger")),
]


class ScheduledJob(Spec):
    """A job file or a job that ran, with what is different each time."""

    type: Literal["command", "pipeline", "sweep"] | None = None
    job: Annotated[str, Local("yaml", "job")]
    inputs: JobInputs = {}
    outputs: JobOutputs = {}
    settings: Settings | None = None
    tags: Texts = {}
    properties: Texts = {}
    compute: str | None = None
    display_name: str | None = Field(default=None, max_length=255)
    experiment_name: str | None = Field(default=None, max_length=255)
    description: Description | None = None


def _which(value: Any) -> str | None:
    if isinstance(value, str):
        return "[text]"
    if not isinstance(value, dict):
        return (
            "[job]"
            if isinstance(value, ScheduledJob)
            else "[pipeline]"
            if isinstance(value, PipelineJob)
            else "[command]"
        )
    return "[job]" if "job" in value else "[pipeline]" if value.get("type") == "pipeline" else "[command]"


class Schedule(Spec):
    """A trigger, and `create_job`: a job's file, a job that ran, or one of them with changes."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: AssetName | None = None
    display_name: str | None = Field(default=None, max_length=255)
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    is_enabled: Flag = True
    trigger: Trigger
    create_job: Annotated[
        Annotated[str, Tag("[text]")]
        | Annotated[ScheduledJob, Tag("[job]")]
        | Annotated[PipelineJob, Tag("[pipeline]")]
        | Annotated[CommandJob, Tag("[command]")],
        Discriminator(_which),
        Local("yaml", "job"),
    ]


def moment(text: str) -> datetime:
    """An ISO time, with or without its zone. Raises ValueError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as cause:
        raise ValueError(f"{text[:40]!r} is no time, such as '2026-07-10T10:00:00'") from cause
