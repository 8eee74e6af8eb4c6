"""Workspaces: create, list, show, update, delete, recover, purge. The worker makes purges true."""

from datetime import timedelta

from sqlmodel import col, func, select

from services import access, datastores
from services.core import names, times
from services.core.errors import Conflict, NotFound
from services.core.states import ACTIVE, ProvisioningState
from services.core.times import now
from services.events import emit
from services.specs.workspaces import Workspace as Spec
from services.specs.workspaces import WorkspaceUpdate
from services.store.rows import Job, RoleAssignment, Workspace
from services.studio import Scope

KEPT = timedelta(days=14)


def create(scope: Scope, spec: Spec) -> Workspace:
    """A workspace with its four datastores, open at once; MLflow's half follows by the worker."""
    access.require(scope, "workspaces/write")
    name = names.checked_workspace(spec.name)
    taken = scope.session.exec(select(Workspace).where(Workspace.folded == names.folded(name))).one_or_none()
    if taken is not None:
        raise _taken(taken)
    row = Workspace(
        name=name,
        folded=names.folded(name),
        display_name=names.checked_display_name(spec.display_name or name),
        description=spec.description,
        resource_group=spec.resource_group,
        tags=dict(spec.tags),
        created_by=scope.principal.name,
    )
    scope.session.add(row)
    scope.session.flush()
    scope.session.add_all(datastores.rows_for(row))
    if "Owner" not in scope.roles:
        scope.session.add(RoleAssignment(principal_id=scope.principal.id, role="Owner", scope=row.id))
    for store in datastores.BUILT_IN:
        scope.studio.folders.datastore(row.id, store).mkdir(parents=True, exist_ok=True)
    scope.workspace = row
    emit(scope, "workspace", row.name, f"Workspace '{row.name}' was created")
    return row


def listed(scope: Scope, *, deleted: bool = False) -> list[Workspace]:
    """Those the principal has a role in, by name; with `deleted` those that can still be recovered."""
    access.require(scope, "workspaces/read")
    wanted = col(Workspace.deleted_at).is_not(None) if deleted else col(Workspace.deleted_at).is_(None)
    query = select(Workspace).where(wanted, col(Workspace.purge_at).is_(None)).order_by(col(Workspace.folded))
    if not _everywhere(scope):
        mine = select(RoleAssignment.scope).where(RoleAssignment.principal_id == scope.principal.id)
        query = query.where(col(Workspace.id).in_(mine))
    return list(scope.session.exec(query))


def get(scope: Scope) -> Workspace:
    """The scope's own workspace."""
    access.require(scope, "workspaces/read")
    if scope.workspace is None:
        raise NotFound("No workspace was named.")
    return scope.workspace


def counts(scope: Scope) -> dict[str, dict[str, int]]:
    """Jobs by workspace id: `active`, `failed`, `total` of those not archived."""
    access.require(scope, "workspaces/read")
    query = (
        select(Job.workspace_id, Job.status, func.count())
        .where(col(Job.archived_at).is_(None), col(Job.deleted_at).is_(None))
        .group_by(col(Job.workspace_id), col(Job.status))
    )
    if scope.workspace is not None:
        query = query.where(Job.workspace_id == scope.workspace.id)
    elif not _everywhere(scope):
        query = query.where(col(Job.workspace_id).in_([row.id for row in listed(scope)]))
    rows = scope.session.exec(query)
    found: dict[str, dict[str, int]] = {}
    for workspace_id, status, count in rows:
        of = found.setdefault(workspace_id, {"active": 0, "failed": 0, "total": 0})
        of["total"] += count
        of["active"] += count if status in ACTIVE else 0
        of["failed"] += count if status == "Failed" else 0
    return found


def update(scope: Scope, change: WorkspaceUpdate) -> Workspace:
    """Changes what was given; the name stays."""
    access.require(scope, "workspaces/write")
    row = get(scope)
    for field, value in change.model_dump(exclude_none=True).items():
        setattr(row, field, value)
    names.checked_display_name(row.display_name)
    row.updated_at = now()
    row.revision += 1
    scope.session.add(row)
    emit(scope, "workspace", row.name, f"Workspace '{row.name}' was changed")
    return row


def delete(scope: Scope) -> Workspace:
    """Softly: jobs are cancelled, everything else is kept for 14 days and can be recovered."""
    access.require(scope, "workspaces/delete")
    row = get(scope)
    row.deleted_at = now()
    row.provisioning_state = ProvisioningState.Deleting
    row.revision += 1
    for job in scope.session.exec(
        select(Job).where(Job.workspace_id == row.id, col(Job.status).in_([str(status) for status in ACTIVE]))
    ):
        job.desired, job.cancel_requested_at, job.canceled_by = "cancel", row.deleted_at, scope.principal.name
        scope.session.add(job)
    scope.session.add(row)
    emit(scope, "workspace", row.name, f"Workspace '{row.name}' was deleted")
    return row


def recover(scope: Scope) -> Workspace:
    """Brings a deleted one back, with all it held; cancelled jobs stay cancelled."""
    access.require(scope, "workspaces/write")
    row = get(scope)
    if row.deleted_at is None:
        raise Conflict(f"Workspace '{row.name}' is not deleted.")
    if row.purge_at is not None:
        raise Conflict(f"Workspace '{row.name}' is being purged and cannot be recovered.")
    row.deleted_at = None
    row.provisioning_state = ProvisioningState.Succeeded
    row.revision += 1
    scope.session.add(row)
    emit(scope, "workspace", row.name, f"Workspace '{row.name}' was recovered")
    return row


def purge(scope: Scope) -> Workspace:
    """Asks the worker to remove it for good: engine, disk, MLflow and rows."""
    access.require(scope, "workspaces/delete")
    row = get(scope)
    if row.deleted_at is None:
        raise Conflict(f"Workspace '{row.name}' must be deleted before it is purged.")
    row.purge_at = now()
    row.revision += 1
    scope.session.add(row)
    emit(scope, "workspace", row.name, f"Workspace '{row.name}' was given up for purging")
    return row


def as_json(row: Workspace) -> dict[str, object]:
    """As the cloud's CLI prints one."""
    return {
        "name": row.name,
        "display_name": row.display_name,
        "description": row.description,
        "resource_group": row.resource_group,
        "tags": row.tags,
        "provisioning_state": str(row.provisioning_state),
        "created_by": row.created_by,
        "revision": row.revision,
        "id": row.id,
        "created_at": times.iso(row.created_at),
        "deleted_at": times.iso(row.deleted_at),
    }


def _everywhere(scope: Scope) -> bool:
    if scope.principal.kind == "system":
        return True
    found = scope.session.exec(
        select(RoleAssignment.id).where(RoleAssignment.principal_id == scope.principal.id, RoleAssignment.scope == "/")
    ).first()
    return found is not None


def _taken(row: Workspace) -> Conflict:
    if row.purge_at is not None:
        return Conflict(f"A workspace named '{row.name}' is being purged.", hint="Try again in a moment.")
    if row.deleted_at is not None:
        return Conflict(
            f"A deleted workspace named '{row.name}' can still be recovered.",
            hint=f"'atelier workspace recover --name {row.name}' brings it back; purging it frees the name.",
        )
    return Conflict(f"A workspace named '{row.name}' exists already.", hint="Choose another name.")
