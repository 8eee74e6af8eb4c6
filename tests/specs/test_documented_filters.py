"""The filters and columns that the documents show are understood."""

import re
from pathlib import Path

import pytest

from services.specs import filters
from services.specs.run_fields import field

TEXT = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
[EXAMPLES] = re.findall(r"```filter\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES.splitlines())
def test_a_documented_filter_is_understood(text: str):
    assert filters.parse(str(filters.parse(text))) == filters.parse(text)


@pytest.mark.parametrize("text", re.findall(r"--filter '([^']+)'", TEXT))
def test_a_filter_of_a_documented_command_is_understood(text: str):
    assert filters.parse(text)


def test_every_documented_column_is_one():
    [table] = re.findall(r"## Columns\n.*?\n\n(\|.*?)\n\n", TEXT, re.DOTALL)
    named = [each for line in table.splitlines()[2:] for each in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert {str(field(each)) for each in named} >= {"min(metrics.loss)", "at(metrics.loss, 100)", "starred"}
