"""What a run of the driver is told: JSON from the studio, and a few switches that people put among the arguments."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field, fields
from typing import Any, Mapping, Sequence  # noqa: UP035 (Python 3.8 subscripts no other)

VARIABLE = "ATELIER_BATCH_SETTINGS"
IGNORED = -1


class Wrong(Exception):
    """A sentence to the person who started the job; ends it."""


@dataclass(frozen=True)
class Settings:
    """`inputs`, `output` and `model` are names of variables that hold a path; `types` are of the inputs.

    `timeout` is of one `run()` in seconds, `init_timeout` of `init()`. `error_threshold` counts items,
    `mini_batch_error_threshold` mini-batches; -1 ignores failures. `flavor` mlflow: no script, the model predicts.
    """

    inputs: Sequence[str]
    output: str
    types: Mapping[str, str] = field(default_factory=dict)
    entry_script: str = ""
    model: str = ""
    flavor: str = ""
    mini_batch_size: int = 10
    workers: int = 1
    max_retries: int = 3
    timeout: float = 30.0
    init_timeout: float = 1200.0
    error_threshold: int = IGNORED
    mini_batch_error_threshold: int = IGNORED
    output_action: str = "append_row"
    output_file_name: str = "predictions.csv"
    separator: str = " "
    logging_level: str = "info"
    arguments: Sequence[str] = ()

    @property
    def is_mlflow(self) -> bool:
        return self.flavor == "mlflow"

    @property
    def appends(self) -> bool:
        return self.output_action == "append_row"

    def path(self, variable: str) -> str:
        """Raises Wrong when the variable is not there."""
        found = os.environ.get(variable)
        if not found:
            raise Wrong(f"The variable {variable} is not set: it must hold a path.")
        return found

    def argv(self) -> list[str]:
        """What a script finds after its name: the cloud's own switches, then what its author wrote."""
        platform: list[object] = [
            "--mini_batch_size", self.mini_batch_size,
            "--process_count_per_node", self.workers,
            "--run_invocation_timeout", f"{self.timeout:g}",
            "--run_max_try", self.max_retries + 1,
            "--error_threshold", self.error_threshold,
            "--output_action", self.output_action,
            "--append_row_file_name", self.output_file_name,
            "--logging_level", self.logging_level,
        ]  # fmt: skip
        return [*map(str, platform), *self.arguments]


def read(arguments: Sequence[str]) -> Settings:
    """From the environment; `arguments` are the script's, and some of them count here too. Raises Wrong."""
    try:
        said: dict[str, Any] = json.loads(os.environ[VARIABLE])
    except (KeyError, ValueError) as cause:
        raise Wrong(f"The variable {VARIABLE} must hold the settings as JSON.") from cause
    unknown = said.keys() - {each.name for each in fields(Settings)}
    if unknown or not said.get("inputs"):
        raise Wrong(f"The settings are not understood: {', '.join(sorted(unknown)) or 'there are no inputs'}.")
    said["arguments"] = [*said.get("arguments", ()), *arguments]
    made = Settings(**{**said, **_switches(said["arguments"])})
    if bool(made.entry_script) == made.is_mlflow:
        raise Wrong("Either a script or an MLflow model works on the files, and not both.")
    return made


def _switches(arguments: Sequence[str]) -> dict[str, int]:
    """Thresholds that stand among a script's arguments, as in the cloud; what is misspelt is the script's affair."""
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    known.add_argument("--error_threshold", "--error-threshold", dest="error_threshold")
    known.add_argument("--allowed_failed_count", dest="mini_batch_error_threshold")
    try:
        found, _ = known.parse_known_args(list(arguments))
    except SystemExit:  # a switch without its value
        return {}
    return {name: int(value) for name, value in vars(found).items() if value is not None and _is_whole(value)}


def _is_whole(text: str) -> bool:
    return text.lstrip("-").isdigit()
