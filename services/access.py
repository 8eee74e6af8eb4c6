"""Who may do what: Azure's action names, the built-in roles as data, one question."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from services.core.errors import Denied
from services.studio import MEMBER, Scope

PREFIX = "Microsoft.MachineLearningServices/"


@dataclass(frozen=True)
class Role:
    """Actions minus NotActions; the union over roles counts, so NotActions is not a deny."""

    name: str
    id: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()

    def allows(self, action: str) -> bool:
        return _matches(self.actions, action) and not _matches(self.not_actions, action)


def _ml(*actions: str) -> tuple[str, ...]:
    return tuple(PREFIX + action for action in actions)


# Source: Azure's built-in role definitions. Reader differs on purpose: secrets are `…/action`, never `read`.
BUILT_IN = {
    role.name: role
    for role in (
        Role("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", ("*",)),
        Role(
            "Contributor",
            "b24988ac-6180-42a0-ab88-20f7382dd24c",
            ("*",),
            (
                "Microsoft.Authorization/*/write",
                "Microsoft.Authorization/*/delete",
                "Microsoft.Authorization/elevateAccess/action",
            ),
        ),
        Role("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7", ("*/read",)),
        Role(
            "AzureML Data Scientist",
            "f6c7c914-8db3-469d-8ca1-694a8f32e121",
            _ml("workspaces/*/read", "workspaces/*/action", "workspaces/*/delete", "workspaces/*/write"),
            _ml(
                "workspaces/delete",
                "workspaces/write",
                "workspaces/computes/*/write",
                "workspaces/computes/*/delete",
                "workspaces/computes/listKeys/action",
                "workspaces/listKeys/action",
                "workspaces/hubs/write",
                "workspaces/hubs/delete",
                "workspaces/featurestores/write",
                "workspaces/featurestores/delete",
            ),
        ),
        Role(
            "AzureML Compute Operator",
            "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815",
            _ml("workspaces/computes/*", "workspaces/notebooks/vm/*"),
        ),
    )
}


def require(scope: Scope, action: str) -> None:
    """Raises Denied unless the scope's principal may do `action`, e.g. `jobs/write`.

    Short names stand below `Microsoft.MachineLearningServices/workspaces/`; `workspaces/write` is the
    workspace itself. Every public service function asks this first.
    """
    if not allowed(scope.roles, action):
        where = f"workspace '{scope.workspace.name}'" if scope.workspace else "this install"
        raise Denied(
            f"Your role in {where} does not allow '{action}'.", hint="An Owner of it can grant you a role that does."
        )


def allowed(roles: Iterable[str], action: str) -> bool:
    full = _full(action)
    # Whether Azure's `workspaces/*/read` covers the workspace itself is unclear: every member may see it.
    if full == PREFIX + "workspaces/read":
        return bool(set(roles) & {*BUILT_IN, MEMBER})
    return any(BUILT_IN[role].allows(full) for role in roles if role in BUILT_IN)


def _full(action: str) -> str:
    if action.startswith("Microsoft."):
        return action
    return PREFIX + (action if action.startswith("workspaces/") else f"workspaces/{action}")


def _matches(patterns: tuple[str, ...], action: str) -> bool:
    return any(_match(pattern.casefold(), action.casefold()) for pattern in patterns)


@lru_cache(maxsize=4096)
def _match(pattern: str, action: str) -> bool:
    return fnmatchcase(action, pattern)
