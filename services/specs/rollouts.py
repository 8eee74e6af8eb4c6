"""A rollout as people write it: how traffic moves to a deployment, what stops it, and who is told."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from services.specs.fields import Spec, Whole

Percent = Annotated[Whole, Field(ge=1, le=100)]


class Alarms(Spec):
    """What turns a rollout back: of the last `window` seconds of a step, once `min_requests` were answered.

    `error_rate_percent` counts answers of 5xx, 408, 424 and 429; `p95_ms` is the latency. None: not watched.
    """

    error_rate_percent: float | None = Field(default=5.0, ge=0, le=100)
    p95_ms: float | None = Field(default=None, gt=0)
    min_requests: Whole = Field(default=10, ge=1, le=1_000_000)
    window: Whole = Field(default=30, ge=1, le=3600)


class Rollout(Spec):
    """`canary`: `percent` of the traffic for `bake_seconds`, then all. `linear`: `percent` more with each step.

    `steps` says the percents themselves, rising; the last is 100.
    """

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    deployment: str
    type: Literal["canary", "linear"] = "canary"
    percent: Percent = 10
    steps: list[Percent] = Field(default=[], max_length=100)
    bake_seconds: Whole = Field(default=300, ge=1, le=7 * 86_400)
    alarms: Alarms = Alarms()

    @model_validator(mode="after")
    def rising(self) -> "Rollout":
        if self.steps and (sorted(set(self.steps)) != self.steps or self.steps[-1] != 100):
            raise ValueError("steps: rising percents, of which the last is 100")
        return self

    @property
    def percents(self) -> list[int]:
        """Of each step; the last is 100."""
        if self.steps:
            return list(self.steps)
        if self.type == "canary":
            return sorted({self.percent, 100})
        return [*range(self.percent, 100, self.percent), 100]


class Alert(Spec):
    """Who is told when something happens to an endpoint: a webhook, mail addresses, or both.

    `on` is a deployment that failed, the error rate in percent, or the p95 in milliseconds over `window` seconds
    above `threshold`.
    """

    name: str = Field(min_length=1, max_length=64)
    on: Literal["failed", "error_rate", "p95"]
    threshold: float | None = Field(default=None, ge=0)
    window: Whole = Field(default=60, ge=5, le=3600)
    webhook: str | None = Field(default=None, max_length=2000, pattern="^https?://")
    mail: list[str] = Field(default=[], max_length=20)

    @model_validator(mode="after")
    def sound(self) -> "Alert":
        if self.on != "failed" and self.threshold is None:
            raise ValueError(f"threshold: an alert on {self.on} needs one")
        if not self.webhook and not self.mail:
            raise ValueError("webhook or mail: nobody would be told")
        return self


def alert(value: dict[str, Any]) -> Alert:
    return Alert.model_validate(value)
