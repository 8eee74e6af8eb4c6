"""What is done to runs from their list: marks, pins, columns by their heads; compare, tag and star the ticked ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address, parts, runs_state
from app.ui.runs_table import WRITE
from app.ui.text import markdown
from services import run_marks, runs
from services.core.errors import AtelierError
from services.runs import RunLine
from services.specs.run_fields import field as read_field
from services.studio import Scope

RESET = "runs_reset"
MOST_COMPARED = 200


def on_run_or_column(columns: Sequence[str], names: Sequence[str]) -> Callable[[dict[str, Any]], None]:
    """What the table tells when somebody clicks in it; `columns` and `names` are those that it shows."""

    def acted(what: Mapping[str, Any]) -> None:
        name, column, on = str(what.get("id", "")), str(what.get("column", "")), bool(what.get("on"))
        match what.get("do"):
            case "star":
                _written(lambda s: run_marks.change(s, name, is_starred=on))
            case "color":
                _written(lambda s: run_marks.change(s, name, color=str(what.get("color", ""))))
            case "direction":
                metric = read_field(column).name
                _written(lambda s: runs.set_direction(s, metric, bool(what.get("higher"))))
            case "eye":
                drawn = set(runs_state.eyes(names, runs_state.shown().hidden))
                drawn = drawn | {name} if on else drawn - {name}
                runs_state.put(hidden=runs_state.closed(names, [each for each in names if each in drawn]))
            case "eyes":
                runs_state.put(hidden=(runs_state.NONE,) if on else (runs_state.ALL,))
            case "pin":
                pinned = runs_state.shown().pinned
                runs_state.put(pinned=(*pinned, name) if on else tuple(each for each in pinned if each != name))
            case "baseline":
                runs_state.put(baseline=name if on else "")
            case "width":
                key = "run" if column == "name" else column
                runs_state.put(widths={**runs_state.shown().widths, key: int(what.get("width", 0))})
            case "left":
                left = [each for each in runs_state.shown().pinned_columns if each in columns and each != column]
                runs_state.put(columns=columns, pinned_columns=[*left, column] if on else left)
            case "move" | "hide" as verb:
                runs_state.put(columns=_moved(columns, column, int(what.get("by", 0)) if verb == "move" else None))
            case "group":
                runs_state.put(group_by=(column,))
        if what.get("do") in {"pin", "baseline", "left", "move", "hide", "group"}:
            context.remember("runs_again", True)

    return acted


def _moved(columns: Sequence[str], column: str, by: int | None) -> list[str]:
    """Without it, or some places on."""
    kept = [each for each in columns if each != column]
    if by is not None and column in columns:
        kept.insert(min(max(list(columns).index(column) + by, 0), len(kept)), column)
    return kept


def _written(do: Callable[[Scope], object]) -> None:
    try:
        with context.scope(write=True) as s:
            do(s)
    except AtelierError as error:
        st.toast(markdown(error.message), icon=":material/error:")


def bulk(lines: Sequence[RunLine]) -> None:
    """For the ticked ones."""
    parts.section(f"{len(lines)} selected")
    names = [line.id for line in lines]
    few = "" if len(names) > 1 else "Tick two runs or more."
    many = f"At most {MOST_COMPARED} runs are compared." if len(names) > MOST_COMPARED else ""
    st.html(parts.button("Compare", compare_link(names), glyph="compare_arrows", reason=few or many))
    refused = context.may(WRITE)
    with st.popover("Add tag", icon=":material/sell:", disabled=bool(refused), help=refused or None, key="runs_tag"):
        key = st.text_input("Name", key="runs_tag_key", autocomplete="off")
        value = st.text_input("Value", key="runs_tag_value", autocomplete="off")
        if st.button("Add", type="primary", key="runs_tag_add", disabled=not key.strip()):
            _each(names, lambda s, name: run_marks.change(s, name, tags={key.strip(): value.strip()}), "tagged")
    is_all = all(line.is_starred for line in lines)
    if parts.act("Unstar" if is_all else "Star", WRITE, glyph="star", key="runs_star_all"):
        _each(
            names,
            lambda s, name: run_marks.change(s, name, is_starred=not is_all),
            "unstarred" if is_all else "starred",
        )


def compare_link(names: Sequence[str]) -> str:
    baseline = address.text("baseline")
    return context.link("compare", runs=",".join(names), baseline=baseline if baseline in names else "")


def _each(names: Sequence[str], do: Callable[[Scope, str], object], past: str) -> None:
    """One transaction for each, so that one refusal does not undo the others."""
    refused: list[str] = []
    for name in names:
        try:
            with context.scope(write=True) as s:
                do(s, name)
        except AtelierError as error:
            refused.append(error.message)
    done = len(names) - len(refused)
    if done:
        context.done(f"{done} {'run was' if done == 1 else 'runs were'} {past}.")
    if refused:
        context.done(f"{len(refused)} refused: {refused[0]}", icon=":material/error:")
    else:
        context.remember(RESET, (context.recall(RESET) or 0) + 1)
    st.rerun()
