"""A parallel step as people write it: one script over many mini-batches, on many processes."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from services.specs.environments import Environment
from services.specs.fields import Flag, Local, Spec, Whole
from services.specs.interfaces import NodeResources, Variables, nothing_is_empty
from services.specs.jobs import LONGEST

_BATCH = re.compile(r"\A[0-9]{1,12} ?(?:[kmg]?b)?\Z", re.ASCII | re.IGNORECASE)


def _batch(value: Any) -> Any:
    if isinstance(value, bool | float) or not _BATCH.match(str(value).strip()) or str(value).strip("0kmgbKMGB ") == "":
        raise ValueError(f"{str(value)[:40]!r} is not a mini-batch: a number of files, or a size such as '10kb'")
    return str(value).strip()


BatchSize = Annotated[str, BeforeValidator(_batch, json_schema_input_type=str | int)]


class Retry(Spec):
    """`max_retries` of a mini-batch, `timeout` of one `run()` in seconds."""

    max_retries: Whole | None = Field(default=None, ge=0, le=1000)
    timeout: Whole | None = Field(default=None, ge=1, le=LONGEST)


class Function(Spec):
    """The script: `init()` once a process, `run(mini_batch)` for each. What it returns goes to `append_row_to`."""

    type: Literal["run_function", "function", "model"] = "run_function"
    code: Annotated[str | None, Local()] = None
    entry_script: Annotated[str, Local("script")]
    environment: Annotated[str | Environment, Local("yaml", "environment")]
    program_arguments: str | None = Field(default=None, max_length=128 << 10)
    append_row_to: str | None = Field(default=None, max_length=8192)
    model: str | dict[str, Any] | None = None


class Parallel(Spec):
    """How the input is cut, spread, tried again and given up: the same in a step and in a component."""

    input_data: str | None = Field(default=None, max_length=8192)
    mini_batch_size: BatchSize | None = None
    partition_keys: list[str] | None = None
    mini_batch_error_threshold: Whole | None = Field(default=None, ge=-1)
    error_threshold: Whole | None = Field(default=None, ge=-1)
    max_concurrency_per_instance: Whole | None = Field(default=None, ge=1, le=1024)
    logging_level: str | None = None
    retry_settings: Annotated[Retry, BeforeValidator(nothing_is_empty, json_schema_input_type=Retry | None)] = Retry()
    resources: NodeResources | None = None
    environment_variables: Variables = {}
    is_deterministic: Flag = True
