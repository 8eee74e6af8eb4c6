"""`${{ }}` and `$[[ ]]`: plain text, before any shell, looked at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.core.errors import Invalid
from services.specs import expressions

TEXT = some.text(some.characters(blacklist_categories=("Cs",)), max_size=60)


def test_values_take_the_place_of_references() -> None:
    command = "train ${{inputs.rate}} ${{ inputs.data }}/iris.csv > ${{outputs.model}} $HOME"
    made = expressions.render(command, inputs={"rate": "0.1", "data": "/in"}, outputs={"model": "/out"})
    assert made == "train 0.1 /in/iris.csv > /out $HOME"


def test_a_segment_goes_with_its_optional_input() -> None:
    command = "train $[[--epochs ${{inputs.epochs}}]] $[[--seed ${{inputs.seed}}]]"
    made = expressions.render(command, inputs={"epochs": None, "seed": "7"}, outputs={})
    assert made == "train  --seed 7"


def test_only_optional_inputs_stand_in_a_segment() -> None:
    with pytest.raises(Invalid, match="not optional"):
        expressions.check("x $[[${{inputs.a}}]]", inputs={"a": False}, outputs={})


@given(TEXT)
def test_a_value_is_never_looked_at_again(value: str) -> None:
    assert expressions.render("<${{inputs.a}}>", inputs={"a": value, "b": "secret"}, outputs={}) == f"<{value}>"


@given(TEXT)
def test_text_without_references_stays_as_it_is(text: str) -> None:
    if "${{" not in text and "$[[" not in text:
        assert expressions.render(text, inputs={}, outputs={}) == text
