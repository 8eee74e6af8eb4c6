"""Environments: named definitions of what a job runs in; the worker builds them when first needed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from sqlmodel import col, select

from services import access, uploads
from services.core import names, refs, times
from services.core.errors import Conflict, Invalid, NotFound
from services.engines import dockerfiles, files
from services.engines.containers import BuildFailed, BuildWish
from services.events import emit
from services.specs import environments as specs
from services.specs.environments import Environment as Spec
from services.specs.maps import Maps
from services.store.rows import Build, Environment
from services.studio import Scope, Studio

ANONYMOUS = "CliV2AnonymousEnvironment"
DOCKERFILE_LIMIT = 1 << 20


def create(scope: Scope, spec: Spec, *, context: str | None = None) -> Environment:
    """A new version; automatic integers when none is given. The same content again is a no-op.

    Raises Conflict when the version exists with another content.
    """
    access.require(scope, "environments/write")
    if not spec.name:
        raise Invalid("An environment needs a name.", where="name")
    name = names.checked(spec.name)
    definition = _definition(scope, spec, context)
    version = spec.version or _next_version(scope, name)
    existing = _found(scope, name, version)
    if existing is not None:
        if existing.hash != definition["hash"]:
            raise Conflict(
                f"Environment '{name}:{version}' exists with another content.",
                hint="Leave the version out for a new one.",
            )
        return existing
    row = Environment(
        workspace_id=scope.workspace_id,
        name=name,
        version=version,
        hash=definition["hash"],
        spec=definition,
        description=spec.description or "",
        tags=dict(spec.tags),
        created_by=scope.principal.name,
    )
    scope.session.add(row)
    emit(scope, "environment", name, f"Environment '{name}:{version}' was created")
    scope.session.flush()
    return row


def listed(scope: Scope, *, include_archived: bool = False, search: str = "") -> list[Environment]:
    """The latest version of each named one, by name."""
    access.require(scope, "environments/read")
    query = (
        select(Environment)
        .where(Environment.workspace_id == scope.workspace_id, col(Environment.is_anonymous).is_(False))
        .order_by(col(Environment.name), col(Environment.created_at).desc(), col(Environment.id))
    )
    if not include_archived:
        query = query.where(col(Environment.archived_at).is_(None))
    if search:
        query = query.where(col(Environment.name).icontains(search, autoescape=True))
    latest: dict[str, Environment] = {}
    for row in scope.session.exec(query):
        latest.setdefault(row.name, row)
    return list(latest.values())


def versions(scope: Scope, name: str) -> list[Environment]:
    """All versions of one, newest first. Raises NotFound."""
    access.require(scope, "environments/read")
    rows = list(
        scope.session.exec(
            select(Environment)
            .where(Environment.workspace_id == scope.workspace_id, Environment.name == name)
            .order_by(col(Environment.created_at).desc(), col(Environment.id).desc())
        )
    )
    if not rows:
        raise NotFound(f"Environment '{name[:80]}' was not found.")
    return rows


def get(scope: Scope, name: str, version: str | None = None) -> Environment:
    """One version; the latest created when none is named."""
    access.require(scope, "environments/read")
    rows = versions(scope, name)
    if version is None:
        return rows[0]
    for row in rows:
        if row.version == version:
            return row
    known = ", ".join(row.version for row in rows[:10])
    raise NotFound(f"Environment '{name}' has no version '{version[:80]}'.", hint=f"It has: {known}.")


def archive(scope: Scope, name: str, version: str, *, restore: bool = False) -> Environment:
    access.require(scope, "environments/write")
    row = get(scope, name, version)
    row.archived_at = None if restore else times.now()
    scope.session.add(row)
    emit(scope, "environment", name, f"Environment '{name}:{version}' was {'restored' if restore else 'archived'}")
    return row


def resolve(scope: Scope, wanted: str | Spec, *, context: str | None = None) -> Environment:
    """What a job names: a registered one, a curated one of the image map, or an inline definition."""
    access.require(scope, "environments/read")
    if isinstance(wanted, str):
        maps = image_map(scope.studio)
        curated = maps.curated(wanted)
        ref = refs.parse(wanted, field="environment")
        if curated is None or ref.registry is None:
            registered = _registered(scope, ref)
            if registered is not None:
                return registered
        if curated is None:
            raise NotFound(
                f"Environment '{ref}' was not found.",
                where="environment",
                hint="'atelier environment list' shows those of this workspace; maps.yml can map its name to another.",
            )
        wanted = curated
    return _anonymous(scope, wanted, context)


def build_of(scope: Scope, environment: Environment) -> Build | None:
    """The newest build of this definition, on whatever engine."""
    access.require(scope, "environments/read")
    return scope.session.exec(
        select(Build)
        .where(Build.workspace_id == environment.workspace_id, Build.hash == environment.hash)
        .order_by(col(Build.created_at).desc())
    ).first()


def build_log(scope: Scope, build: Build) -> Path:
    """The file that the worker writes while it builds."""
    access.require(scope, "environments/read")
    if build.workspace_id != scope.workspace_id:
        raise NotFound("This build was not found.")
    return scope.studio.folders.build_log(build.workspace_id, build.id)


def rebuild(scope: Scope, name: str, version: str) -> Build:
    """Asks the worker to build it again."""
    access.require(scope, "environments/build/action")
    environment = get(scope, name, version)
    build = build_of(scope, environment)
    if build is None:
        raise Conflict(f"Environment '{name}:{version}' was not built yet.", hint="A job that uses it builds it.")
    if build.status in {"Queued", "Running"}:
        raise Conflict(f"Environment '{name}:{version}' is being built.")
    build.status, build.error, build.attempt = "Queued", "", 0
    build.wish = {**build.wish, "anew": True}
    scope.session.add(build)
    emit(scope, "environment", name, f"A rebuild of '{name}:{version}' was requested")
    return build


def wish(studio: Studio, environment: Environment, *, anew: bool = False) -> BuildWish:
    """What the engine must make ready, after the image map; pure but for reading `maps.yml`.

    What the map makes of an image is part of the hash: another map, another image.
    """
    definition = environment.spec
    maps = image_map(studio)
    build = definition.get("build")
    context = studio.folders.snapshot(environment.workspace_id, build["context"]) if build else None
    conda = definition.get("conda_file")
    requirements = specs.translate(conda) if conda else None
    froms = _froms(context, build["dockerfile_path"], maps) if build and context else {}
    base = "" if build else maps.image(definition["image"])
    mapped = "\0".join([environment.hash, base, *(f"{name}={used}" for name, used in sorted(froms.items()))])
    return BuildWish(
        hash=hashlib.sha256(mapped.encode()).hexdigest(),
        base=base,
        requirements=tuple(requirements.packages) if requirements else (),
        pip_options=tuple(requirements.options) if requirements else (),
        python=requirements.python if requirements else None,
        conda=specs.dump_conda(conda) if conda else None,
        context=context,
        dockerfile=build["dockerfile_path"] if build else "Dockerfile",
        workspace=environment.workspace_id,
        froms=froms,
        anew=anew,
    )


def image_map(studio: Studio) -> Maps:
    """The user's rules of `home/maps.yml` above the shipped ones."""
    path = studio.settings.home / "maps.yml"
    return Maps.load(path.read_text(encoding="utf-8") if path.is_file() else None)


def as_json(row: Environment, build: Build | None = None) -> dict[str, object]:
    """As the cloud's CLI prints one, with the state of its build."""
    definition = {key: value for key, value in row.spec.items() if key != "hash"}
    return {
        "name": row.name,
        "version": row.version,
        "description": row.description,
        "tags": row.tags,
        **definition,
        "creation_context": {"created_at": times.iso(row.created_at), "created_by": row.created_by},
        "build_status": build.status if build else "NotBuilt",
        "digest": build.digest if build else "",
        "archived": row.archived_at is not None,
    }


def _froms(context: Path, dockerfile: str, maps: Maps) -> dict[str, str]:
    """What to use for each image that a Dockerfile names. Raises BuildFailed when there is none to read."""
    try:
        with files.open_inside(context, dockerfile) as file:
            text = file.read(DOCKERFILE_LIMIT).decode("utf-8", "replace")
    except (NotFound, Invalid) as cause:
        raise BuildFailed(f"The build context holds no file '{dockerfile[:200]}'.") from cause
    return {image: maps.image(image) for image in dockerfiles.images(text)}


def _anonymous(scope: Scope, spec: Spec, context: str | None) -> Environment:
    definition = _definition(scope, spec, context)
    version = definition["hash"][:32]
    existing = _found(scope, ANONYMOUS, version)
    if existing is not None:
        return existing
    row = Environment(
        workspace_id=scope.workspace_id,
        name=ANONYMOUS,
        version=version,
        is_anonymous=True,
        hash=definition["hash"],
        spec=definition,
        description=spec.description or "",
        tags=dict(spec.tags),
        created_by=scope.principal.name,
    )
    scope.session.add(row)
    scope.session.flush()
    return row


def _definition(scope: Scope, spec: Spec, context: str | None) -> dict[str, Any]:
    """What makes it what it is, and the hash of that: equal content is built once."""
    content: dict[str, Any] = {}
    if spec.build is not None:
        if context is None:
            raise Invalid("A build context must be uploaded first.", where="environment.build.path")
        uploads.require_snapshot(scope, context)
        content["build"] = {"context": context, "dockerfile_path": spec.build.dockerfile_path}
    if spec.image is not None:
        content["image"] = spec.image
    if spec.conda_file is not None:
        if not isinstance(spec.conda_file, Mapping):
            raise Invalid("The conda file must be sent as a mapping, not as a path.", where="environment.conda_file")
        content["conda_file"] = dict(spec.conda_file)
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return {**content, "hash": hashlib.sha256(canonical).hexdigest()}


def _registered(scope: Scope, ref: refs.Ref) -> Environment | None:
    rows = scope.session.exec(
        select(Environment)
        .where(Environment.workspace_id == scope.workspace_id, Environment.name == ref.name)
        .order_by(col(Environment.created_at).desc(), col(Environment.id).desc())
    ).all()
    if ref.version is None:
        return rows[0] if rows and (ref.label or "latest") == "latest" else None
    return next((row for row in rows if row.version == ref.version), None)


def _found(scope: Scope, name: str, version: str) -> Environment | None:
    return scope.session.exec(
        select(Environment).where(
            Environment.workspace_id == scope.workspace_id, Environment.name == name, Environment.version == version
        )
    ).one_or_none()


def _next_version(scope: Scope, name: str) -> str:
    rows = scope.session.exec(
        select(Environment.version).where(Environment.workspace_id == scope.workspace_id, Environment.name == name)
    )
    return str(1 + max((int(version) for version in rows if version.isdecimal()), default=0))
