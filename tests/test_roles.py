"""Roles: the evaluator against an independent reading, over random roles and those that others have written."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services import access
from services.access import BUILT_IN, PREFIX, Role

WORKSPACE = f"{PREFIX}workspaces/"
# As the cloud's documents show them: people keep such files, and they must mean the same here.
RESTRICTED = """{
  "Name": "Data Scientist Restricted", "IsCustom": true, "Description": "Can run experiment but can't create compute.",
  "Actions": ["Microsoft.MachineLearningServices/workspaces/*/read",
              "Microsoft.MachineLearningServices/workspaces/*/action",
              "Microsoft.MachineLearningServices/workspaces/*/delete",
              "Microsoft.MachineLearningServices/workspaces/*/write"],
  "NotActions": ["Microsoft.MachineLearningServices/workspaces/delete",
                 "Microsoft.MachineLearningServices/workspaces/write",
                 "Microsoft.MachineLearningServices/workspaces/computes/*/write",
                 "Microsoft.MachineLearningServices/workspaces/computes/*/delete",
                 "Microsoft.Authorization/*",
                 "Microsoft.MachineLearningServices/workspaces/computes/listKeys/action",
                 "Microsoft.MachineLearningServices/workspaces/listKeys/action",
                 "Microsoft.MachineLearningServices/workspaces/datastores/write"],
  "AssignableScopes": ["/subscriptions/<subscription_id>"]}"""
MLFLOW = """{
  "Name": "MLflow Data Scientist", "IsCustom": true, "Description": "Can perform MLflow related operations.",
  "Actions": ["Microsoft.MachineLearningServices/workspaces/experiments/read",
              "Microsoft.MachineLearningServices/workspaces/experiments/write",
              "Microsoft.MachineLearningServices/workspaces/experiments/delete",
              "Microsoft.MachineLearningServices/workspaces/experiments/runs/*",
              "Microsoft.MachineLearningServices/workspaces/models/*"],
  "NotActions": ["Microsoft.MachineLearningServices/workspaces/delete",
                 "Microsoft.MachineLearningServices/workspaces/models/delete"],
  "AssignableScopes": ["/subscriptions/<subscription_id>"]}"""
NOUNS = ("jobs", "experiments", "models", "datastores", "environments", "computes", "connections", "metadata/snapshots")
VERBS = ("read", "write", "delete", "action", "cancel/action", "listKeys/action", "build/action")
ACTIONS = [
    *(f"{WORKSPACE}{noun}/{verb}" for noun in NOUNS for verb in VERBS),
    *(f"{PREFIX}workspaces/{verb}" for verb in ("write", "delete", "listKeys/action", "hubs/write", "resync/action")),
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/elevateAccess/action",
    f"{PREFIX}registries/read",
]


def custom(text: str) -> Role:
    """A role as the cloud's JSON says it."""
    said: dict[str, Any] = json.loads(text)
    return Role(said["Name"], "", tuple(said["Actions"]), tuple(said["NotActions"]))


def reads(pattern: str, action: str) -> bool:
    """`*` is anything, also with slashes in it; everything else is itself, in whatever case."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) is not None


def may(roles: list[Role], action: str) -> bool:
    return any(
        any(reads(each, action) for each in role.actions) and not any(reads(each, action) for each in role.not_actions)
        for role in roles
    )


segments = st.sampled_from(
    ["workspaces", "jobs", "computes", "models", "read", "write", "delete", "action", "*", "j*", "*s"]
)
patterns = st.one_of(
    st.just("*"),
    st.just("*/read"),
    st.sampled_from(ACTIONS),
    st.lists(segments, min_size=1, max_size=4).map(lambda parts: PREFIX + "/".join(parts)),
    st.lists(segments, min_size=1, max_size=3).map("/".join),
)
roles = st.builds(
    Role,
    name=st.just("custom"),
    id=st.just(""),
    actions=st.lists(patterns, max_size=5).map(tuple),
    not_actions=st.lists(patterns, max_size=5).map(tuple),
)


@settings(max_examples=1000, deadline=None)
@given(mine=st.lists(roles, max_size=4), change=st.sampled_from([str, str.upper, str.lower]))
def test_random_roles_mean_what_a_plain_reading_says(mine: list[Role], change: Any):
    for action in ACTIONS:
        found = any(role.allows(change(action)) for role in mine)
        assert found is may(mine, action), action


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_roles_mean_what_a_plain_reading_says(name: str):
    for action in ACTIONS:
        short = action.removeprefix(WORKSPACE)
        assert access.allowed({name}, action) is may([BUILT_IN[name]], action), action
        if not short.startswith("Microsoft."):
            assert access.allowed({name}, short) is may([BUILT_IN[name]], action), short


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        (RESTRICTED, "jobs/write", True),
        (RESTRICTED, "jobs/cancel/action", True),
        (RESTRICTED, "computes/local/write", False),
        (RESTRICTED, "datastores/write", False),
        (RESTRICTED, "datastores/read", True),
        (RESTRICTED, "computes/listKeys/action", False),
        (MLFLOW, "experiments/write", True),
        (MLFLOW, "experiments/runs/write", True),
        (MLFLOW, "models/write", True),
        (MLFLOW, "models/delete", False),
        (MLFLOW, "jobs/write", False),
        (MLFLOW, "jobs/read", False),
    ],
)
def test_roles_of_the_cloud_mean_the_same_here(role: str, action: str, allowed: bool):
    assert custom(role).allows(WORKSPACE + action) is allowed


def test_what_one_role_leaves_out_another_may_give():
    assert not custom(RESTRICTED).allows(WORKSPACE + "datastores/write")
    assert may([custom(RESTRICTED), BUILT_IN["Contributor"]], WORKSPACE + "datastores/write")
    assert access.allowed({"Contributor", "AzureML Data Scientist"}, "computes/local/write")


@pytest.mark.parametrize("name", ["Owner ", "owner", "OWNER", "", "*", "Member", "../Owner", "Reader\n"])
def test_a_role_of_an_unknown_name_allows_nothing(name: str):
    assert not any(access.allowed({name}, action) for action in ACTIONS)


@pytest.mark.parametrize("action", ["", "*", "jobs", "jobs/", "jobs/readx", "jobs/read\n", "jobs/*", "jobs/read/write"])
def test_readers_may_read_and_nothing_that_only_looks_like_it(action: str):
    assert not access.allowed({"Reader"}, action)
