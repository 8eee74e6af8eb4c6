"""Which runs are listed: words, quick choices, text and rows; the last three write the same expression."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app import context
from app.ui import address, runs_state
from app.ui.runs_state import Shown
from app.ui.text import join, plain, tag
from services import access, runs
from services.core.errors import AtelierError, Invalid
from services.core.states import JobStatus
from services.runs import RunsQuery
from services.specs import filters
from services.specs.filters import And, Compare, Expression, In, Row, Rows
from services.specs.run_fields import ATTRIBUTES, Field
from services.specs.run_fields import field as read_field
from services.studio import Scope

STATUS, CREATOR, STARRED = (Field("attribute", name) for name in ("status", "creator", "starred"))
STATUSES = [str(each) for each in JobStatus]
KNOWN = 200
PEOPLE = 100
KEPT_SECONDS = 60.0
BOX = "runs_filter"
EXAMPLES = (
    ("metrics.loss < 0.2 and params.lr = 0.1", "numbers; the latest value of a metric"),
    ('(tags.team ~ "vision" or params.model in ("svc", "forest")) and not status = Failed', "text, or, not, brackets"),
    ("max(metrics.accuracy) >= 0.9", "also min, first, last, count, min_step, max_step"),
    ("created > -7d and duration > 60", "times: -7d, -12h, 2026-01-31; durations in seconds"),
    ("metrics.`val loss` is null", "odd names in backticks; what was never logged"),
    ('name like "train%" and starred = true', "% any text, _ one character"),
)


@dataclass(frozen=True)
class Asked:
    """`text` is what the list can be asked; `problem` says why what stands in the box cannot be."""

    text: str
    problem: Invalid | None = None


def quick(experiments: Sequence[str], shown: Shown) -> None:
    """Words of a name, and choices that stand in the expression as one more condition."""
    expression, problem = read(shown.filter)
    why = "The text of the filter cannot be read." if problem else None
    address.search(placeholder="Search name", width=172)
    _several("Status", STATUS, STATUSES, expression, why, 124)
    _several("Created by", CREATOR, people(experiments), expression, why, 136)
    starred = any(each == Compare(STARRED, "=", True) for each in _parts(expression))
    if st.session_state.get("runs_starred") != starred:
        st.session_state["runs_starred"] = starred
    st.toggle("Starred", key="runs_starred", on_change=_star, disabled=problem is not None)


def bar(experiments: Sequence[str], shown: Shown) -> Asked:
    """The expression as text and as rows; what is wrong stands below."""
    expression, problem = read(shown.filter)
    with st.container(horizontal=True, vertical_alignment="center", key="runs_bar", gap="small"):
        _text(shown)
        _builder(experiments, shown, expression, blocked=problem is not None)
        _help()
        if st.button("", icon=":material/refresh:", key="runs_refresh", help="Refresh"):
            context.remember("runs_version", (context.recall("runs_version") or 0) + 1)
    kept = f"runs_filter:{context.workspace_name()}:{','.join(experiments)}"
    if problem is None:
        context.remember(kept, shown.filter)
        return Asked(shown.filter)
    before = context.recall(kept)
    _told(problem, before)
    return Asked(before or "", problem)


def read(text: str) -> tuple[Expression | None, Invalid | None]:
    """The expression, or why there is none."""
    if not text.strip():
        return None, None
    try:
        return filters.parse(text), None
    except Invalid as cause:
        return None, cause


def _text(shown: Shown) -> None:
    if st.session_state.get(BOX) != shown.filter:
        st.session_state[BOX] = shown.filter
    st.text_input(
        "Filter", key=BOX, placeholder='Filter: metrics.loss < 0.2 and (params.lr = "0.1" or tags.team ~ "vision")',
        label_visibility="collapsed", on_change=lambda: runs_state.put(filter=st.session_state[BOX].strip()),
        autocomplete="off", width="stretch", icon=":material/filter_list:",
    )  # fmt: skip


def _told(problem: Invalid, before: str | None) -> None:
    shown, caret = [*problem.details, "", ""][:2]
    kept = (
        f"The list still shows: {before}"
        if before
        else "The list waits until it can be read."
        if before is None
        else "The list shows all runs until it can be read."
    )
    st.html(
        tag(
            "div",
            tag("b", problem.message),
            tag("pre", plain(shown), "\n", caret, cls="at-caret") if caret else None,
            tag("span", problem.hint) if problem.hint else None,
            tag("span", kept, cls="at-faint"),
            cls="at-notice",
            data_tone="red",
            role="alert",
        )
    )


def _several(
    label: str, field: Field, options: Sequence[str], expression: Expression | None, why: str | None, width: int
) -> None:
    key, values = f"runs_quick_{field.name}", _values(expression, field)
    if st.session_state.get(key) != values:
        st.session_state[key] = values
    st.multiselect(
        label, [*options, *(each for each in values if each not in options)], key=key, placeholder=label,
        label_visibility="collapsed", on_change=_choose, args=(field, key), disabled=why is not None, help=why,
        width=width,
    )  # fmt: skip


def _choose(field: Field, key: str) -> None:
    values = tuple(st.session_state[key])
    part = In(field, values) if len(values) > 1 else Compare(field, "=", values[0]) if values else None
    _replace(field, part)


def _star() -> None:
    _replace(STARRED, Compare(STARRED, "=", True) if st.session_state["runs_starred"] else None)


def _replace(field: Field, part: Expression | None) -> None:
    expression, problem = read(address.text("filter"))
    if problem is None:
        kept = [each for each in _parts(expression) if not _is_choice(each, field)]
        whole = filters.all_of(*kept, part)
        runs_state.put(filter=str(whole) if whole else "")


def _parts(expression: Expression | None) -> list[Expression]:
    """What must all be true."""
    if expression is None:
        return []
    return list(expression.parts) if isinstance(expression, And) else [expression]


def _values(expression: Expression | None, field: Field) -> list[str]:
    for each in _parts(expression):
        if _is_choice(each, field):
            return [str(value) for value in (each.values if isinstance(each, In) else [each.value])]  # type: ignore[union-attr]
    return []


def _is_choice(part: Expression, field: Field) -> bool:
    if isinstance(part, In):
        return part.field == field and not part.negated
    return isinstance(part, Compare) and part.field == field and part.op == "="


def people(experiments: Sequence[str]) -> list[str]:
    """Who made runs here, looked up once a minute."""
    with context.scope() as s:
        access.require(s, "experiments/runs/read")
        return _people(s.workspace_id, tuple(experiments), s)


@st.cache_data(ttl=KEPT_SECONDS, max_entries=500, show_spinner=False)
def _people(workspace_id: str, experiments: tuple[str, ...], _scope: Scope) -> list[str]:
    lines = runs.grouped(_scope, RunsQuery(experiments=experiments), ["creator"], limit=PEOPLE)
    return sorted({str(each) for line in lines for each in line.values.values() if each}, key=str.casefold)


def _help() -> None:
    with st.popover("", icon=":material/help:", help="How filters are written"):
        lines = [tag("tr", tag("td", tag("code", text)), tag("td", note)) for text, note in EXAMPLES]
        st.html(tag("table", tag("tbody", *lines), cls="at-table at-syntax"))
        st.html(
            tag(
                "p",
                "Fields: metrics.NAME, params.NAME, tags.NAME, ",
                join((tag("code", name) for name in ATTRIBUTES), ", "),
                ". Operators: = != < <= > >= ~ (contains) like ilike in not in is null, joined by and, or, not, ( ).",
                cls="at-muted at-syntax",
            )
        )


@st.fragment
def _builder(experiments: Sequence[str], shown: Shown, expression: Expression | None, *, blocked: bool) -> None:
    """The same expression by clicking."""
    with st.popover("Conditions", icon=":material/rule:", key="runs_builder", on_change="rerun") as opened:
        if not opened.open:
            return
        if blocked:
            st.html(tag("p", "The text of the filter cannot be read. Correct it there first.", cls="at-muted"))
            return
        rows = filters.as_rows(expression)
        if rows is None:
            st.html(
                tag(
                    "p",
                    "The text says more than rows can: it mixes and, or, not. Change it there, or begin anew.",
                    cls="at-muted",
                )
            )
            if st.button("Remove the filter", key="runs_builder_clear"):
                runs_state.put(filter="")
                st.rerun()
            return
        _rows(experiments, shown.filter, rows)


def _rows(experiments: Sequence[str], text: str, rows: Rows) -> None:
    draft = context.recall("runs_draft")
    if draft is None or draft[0] != text:
        draft = (text, 0 if draft is None else draft[1] + 1, list(rows.rows) or [Row("status", "=", ())])
        context.remember("runs_draft", draft)
    _, turn, drawn = draft
    word = st.segmented_control(
        "Join", ["All of", "Any of"], default="Any of" if rows.join == "or" else "All of", key=f"runs_join:{turn}",
        label_visibility="collapsed", required=True,
    )  # fmt: skip
    options = known(experiments)
    made = []
    for place, row in enumerate(drawn):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            made.append(_row(options, row, f"{turn}:{place}"))
            if st.button(
                "", icon=":material/close:", key=f"runs_row_less:{turn}:{place}", help="Remove this condition"
            ):
                context.remember("runs_draft", (text, turn + 1, [*made[:-1], *drawn[place + 1 :]]))
                st.rerun(scope="fragment")
    with st.container(horizontal=True, gap="small"):
        if st.button("Add condition", icon=":material/add:", key="runs_row_more"):
            context.remember("runs_draft", (text, turn, [*made, Row("status", "=", ())]))
            st.rerun(scope="fragment")
        if st.button("Apply", type="primary", key="runs_rows_apply"):
            _apply(Rows("or" if word == "Any of" else "and", tuple(made)))


def _row(options: Sequence[str], row: Row, key: str) -> Row:
    names = [*options, *([row.field] if row.field not in options else [])]
    field = st.selectbox(
        "Field", names, index=names.index(row.field), key=f"runs_row_field:{key}", label_visibility="collapsed",
        accept_new_options=True, width=230,
    )  # fmt: skip
    read = _field(field)
    operators = filters.operators(read) if read else ("=",)
    op = st.selectbox(
        "Operator", operators, index=operators.index(row.op) if row.op in operators else 0,
        key=f"runs_row_op:{key}:{field}", label_visibility="collapsed", width=96,
    )  # fmt: skip
    return Row(field, op, _values_of(read, op, row, f"runs_row_value:{key}:{field}:{op}"))


def _values_of(field: Field | None, op: str, row: Row, key: str) -> tuple[str, ...]:
    if op in {"is null", "is not null"}:
        return ()
    is_same = field is not None and str(field) == row.field
    given = row.values if is_same else ()
    options = STATUSES if field == STATUS else ["true", "false"] if field == STARRED else None
    if op in {"in", "not in"}:
        found = st.multiselect(
            "Values", [*(options or []), *(each for each in given if each not in (options or []))], default=list(given),
            key=key, label_visibility="collapsed", accept_new_options=options is None, placeholder="Values", width=220,
        )  # fmt: skip
        return tuple(str(each) for each in found)
    if options:
        place = options.index(given[0]) if given and given[0] in options else None
        word = st.selectbox(
            "Value", options, index=place, key=key, label_visibility="collapsed", placeholder="Value", width=220
        )
        return (word,) if word else ()
    value = st.text_input(
        "Value", given[0] if given else "", key=key, label_visibility="collapsed", placeholder="Value", width=220
    )
    return (value,) if value else ()


def _apply(rows: Rows) -> None:
    try:
        expression = filters.from_rows(rows)
    except Invalid as cause:
        line = (cause.where or "").removeprefix("rows:")
        st.html(
            tag("div", tag("b", f"Condition {line}: {cause.message}"), tag("span", cause.hint) if cause.hint else None,
                cls="at-notice", data_tone="red", role="alert")
        )  # fmt: skip
        return
    runs_state.put(filter=str(expression) if expression else "")
    st.rerun()


def known(experiments: Sequence[str]) -> list[str]:
    """What can be asked, the first of each kind; others can be typed."""
    found = list(ATTRIBUTES)
    with context.scope() as s:
        for kind in ("metrics", "params", "tags"):
            keys = runs.keys(s, experiments=tuple(experiments), kind=kind, limit=KNOWN)
            found += [str(Field(kind, name)) for name in keys.names]
    return found


def _field(text: str) -> Field | None:
    try:
        return read_field(text)
    except AtelierError:
        return None
