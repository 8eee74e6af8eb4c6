"""Environments: named definitions of what a job runs in; the worker builds them when first needed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from sqlmodel import col, select

from services import access, assets, uploads
from services.assets import AssetQuery, Content
from services.core import refs
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page
from services.core.states import AssetKind
from services.engines import dockerfiles, files
from services.engines.containers import BuildFailed, BuildWish
from services.events import emit
from services.specs import environments as specs
from services.specs.environments import Environment as Spec
from services.specs.maps import Maps
from services.store.rows import Asset, Build
from services.studio import Scope, Studio

ANONYMOUS = "CliV2AnonymousEnvironment"
DOCKERFILE_LIMIT = 1 << 20


def create(scope: Scope, spec: Spec, *, context: str | None = None) -> Asset:
    """A new version; automatic integers when none is given. The same content again is a no-op.

    Raises Conflict when the version exists with another content.
    """
    access.require(scope, "environments/write")
    content = _content(scope, spec, context)
    return assets.register(
        scope,
        AssetKind.environment,
        spec.name,
        spec.version,
        content,
        description=spec.description,
        tags=spec.tags,
    )


def listed(scope: Scope, query: AssetQuery | None = None) -> Page[Asset]:
    """One page of the latest version of each named one."""
    access.require(scope, "environments/read")
    return assets.listed(scope, AssetKind.environment, query)


def versions(scope: Scope, name: str) -> list[Asset]:
    """All versions of one, newest first. Raises NotFound."""
    access.require(scope, "environments/read")
    return assets.versions(scope, AssetKind.environment, name)


def get(scope: Scope, name: str, version: str | None = None) -> Asset:
    """One version; the latest created when none is named."""
    access.require(scope, "environments/read")
    return assets.get(scope, AssetKind.environment, name, version)


def resolve(scope: Scope, wanted: str | Spec, *, context: str | None = None) -> Asset:
    """What a job names: a registered one, a curated one of the image map, or an inline definition."""
    access.require(scope, "environments/read")
    if isinstance(wanted, str):
        curated = image_map(scope.studio).curated(wanted)
        ref = refs.parse(wanted, field="environment")
        if curated is None or ref.registry is None:
            try:
                return assets.resolve(scope, AssetKind.environment, wanted, where="environment")
            except NotFound as cause:
                if curated is None:
                    raise NotFound(
                        f"Environment '{ref}' was not found.",
                        where="environment",
                        hint=cause.hint
                        or "'atelier environment list' shows those of this workspace; "
                        "maps.yml can map its name to another.",
                    ) from cause
        wanted = curated
    content = _content(scope, wanted, context)
    return assets.anonymous(scope, AssetKind.environment, ANONYMOUS, content, description=wanted.description or "")


def build_of(scope: Scope, environment: Asset) -> Build | None:
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


def wish(studio: Studio, environment: Asset, *, anew: bool = False) -> BuildWish:
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


def as_json(row: Asset, build: Build | None = None) -> dict[str, object]:
    """As the cloud's CLI prints one, with the state of its build."""
    definition = {key: value for key, value in row.spec.items() if key != "hash"}
    return assets.as_json(
        row,
        **definition,
        build_status=build.status if build else "NotBuilt",
        digest=build.digest if build else "",
    )


def _froms(context: Path, dockerfile: str, maps: Maps) -> dict[str, str]:
    """What to use for each image that a Dockerfile names. Raises BuildFailed when there is none to read."""
    try:
        with files.open_inside(context, dockerfile) as file:
            text = file.read(DOCKERFILE_LIMIT).decode("utf-8", "replace")
    except (NotFound, Invalid) as cause:
        raise BuildFailed(f"The build context holds no file '{dockerfile[:200]}'.") from cause
    return {image: maps.image(image) for image in dockerfiles.images(text)}


def _content(scope: Scope, spec: Spec, context: str | None) -> Content:
    """What makes it what it is, and the hash of that: equal content is built once."""
    definition: dict[str, Any] = {}
    if spec.build is not None:
        if context is None:
            raise Invalid("A build context must be uploaded first.", where="environment.build.path")
        uploads.require_snapshot(scope, context)
        definition["build"] = {"context": context, "dockerfile_path": spec.build.dockerfile_path}
    if spec.image is not None:
        definition["image"] = spec.image
    if spec.conda_file is not None:
        if not isinstance(spec.conda_file, Mapping):
            raise Invalid("The conda file must be sent as a mapping, not as a path.", where="environment.conda_file")
        definition["conda_file"] = dict(spec.conda_file)
    digest = hashlib.sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Content(digest, snapshot_id=context if spec.build is not None else None, spec=definition)
