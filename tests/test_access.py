"""Permission: the built-in roles as Azure defines them, and every public service function asks first."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import access
from services.access import BUILT_IN, PREFIX

SERVICES = Path(access.__file__).parent
# They take the scope but belong to a change or a question that has asked already.
EXEMPT = {
    ("access", "require"): "it is the question itself",
    ("events", "emit"): "part of the change that it tells",
    ("jobs", "advance"): "the worker's move of a job that somebody was allowed to submit",
    ("jobs", "emit_for"): "part of the worker's move",
    ("jobs", "explain"): "part of the worker's move",
    ("assets", "hold"): "part of what is done with it",
    ("lineage", "record"): "part of the change that makes it true",
    ("lineage", "forget_sources"): "part of the change that tells it anew",
    ("endpoints", "shift"): "part of the change of traffic that somebody, or the worker, has decided",
    ("artifacts", "roots"): "a path, used after jobs.get has asked",
}


def nouns() -> list[Path]:
    """Modules, and those of the nouns that are packages."""
    found = [*SERVICES.glob("*.py"), *SERVICES.glob("comparisons/*.py")]
    return [path for path in sorted(found) if path.name != "__init__.py"]


def asks_first(function: ast.FunctionDef) -> bool:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    first = body[0] if body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Call)
        and ast.unparse(first.value.func) == "access.require"
        and ast.unparse(first.value.args[0]) == "scope"
    )


def public_functions() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for path in nouns():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.args.args:
                annotation = node.args.args[0].annotation
                if annotation is not None and ast.unparse(annotation).strip("'\"") == "Scope":
                    found.append((path.stem, node))
    return found


@pytest.mark.parametrize(("noun", "function"), public_functions(), ids=lambda part: getattr(part, "name", part))
def test_every_public_service_function_asks_permission_first(noun: str, function: ast.FunctionDef):
    if (noun, function.name) in EXEMPT:
        assert not asks_first(function), "it asks: take it off the list of exemptions"
    else:
        assert asks_first(function), f"services/{noun}.py: {function.name}() must start with access.require(scope, …)"


def test_the_exemptions_exist():
    known = {(noun, function.name) for noun, function in public_functions()}
    assert set(EXEMPT) <= known


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("Owner", "Microsoft.Authorization/roleAssignments/write", True),
        ("Contributor", "Microsoft.Authorization/roleAssignments/write", False),
        ("Contributor", "workspaces/delete", True),
        ("Reader", "jobs/read", True),
        ("Reader", "jobs/write", False),
        ("Reader", "connections/listsecrets/action", False),
        ("AzureML Data Scientist", "jobs/write", True),
        ("AzureML Data Scientist", "jobs/cancel/action", True),
        ("AzureML Data Scientist", "workspaces/write", False),
        ("AzureML Data Scientist", "workspaces/delete", False),
        ("AzureML Data Scientist", "computes/local/write", False),
        ("AzureML Compute Operator", "computes/start/action", True),
        ("AzureML Compute Operator", "jobs/read", False),
        ("AzureML Compute Operator", "workspaces/read", True),
    ],
)
def test_the_built_in_roles(role: str, action: str, allowed: bool):
    assert access.allowed({role}, action) is allowed


def test_not_actions_are_no_deny():
    assert access.allowed({"AzureML Data Scientist", "AzureML Compute Operator"}, "computes/local/write")


def test_nobody_may_do_anything():
    assert not access.allowed(set(), "workspaces/read")
    assert not access.allowed({"No such role"}, "jobs/read")


actions = st.from_regex(r"\A[a-z]{1,8}(/[a-z]{1,8}){0,3}/(read|write|delete|action)\Z")


@given(roles=st.sets(st.sampled_from(sorted(BUILT_IN))), action=actions)
def test_the_evaluator_agrees_with_a_plain_reading_of_the_tables(roles: set[str], action: str):
    full = f"{PREFIX}workspaces/{action}" if not action.startswith("workspaces/") else PREFIX + action
    if full == f"{PREFIX}workspaces/read":
        return
    expected = any(
        any(fnmatchcase(full.lower(), pattern.lower()) for pattern in BUILT_IN[role].actions)
        and not any(fnmatchcase(full.lower(), pattern.lower()) for pattern in BUILT_IN[role].not_actions)
        for role in roles
    )
    assert access.allowed(roles, action) is expected
