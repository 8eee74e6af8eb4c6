"""Environments: named definitions of what a job runs in; the worker builds them when first needed.

A long file: definitions, their builds and the room that these take are told by the same two rows.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlmodel import Session, col, select

from services import access, assets, uploads
from services.assets import AssetQuery, Content
from services.core import refs
from services.core.errors import Conflict, Invalid, NotFound
from services.core.paging import Page
from services.core.states import AssetKind
from services.engines import dockerfiles, files
from services.engines.bases import REPOSITORY
from services.engines.containers import BuildFailed, BuildWish
from services.engines.diagnosis import Diagnosis, diagnose
from services.events import emit
from services.specs import environments as specs
from services.specs.environments import Environment as Spec
from services.specs.maps import Curated, Maps
from services.store.rows import Asset, Build, Fact, Job
from services.store.serving import Deployment
from services.studio import Scope, Studio

ANONYMOUS = "CliV2AnonymousEnvironment"
DOCKERFILE_LIMIT = 1 << 20
READ_LIMIT = 32 << 20
WAITING = frozenset({"Queued", "Running"})


@dataclass(frozen=True, order=True)
class ContextFile:
    path: str
    size: int


@dataclass(frozen=True)
class Kept:
    """An image on the disk: `size` in bytes is what comes free without it. `holder` is what needs it: a `job`,
    a `deployment`, another `workspace`, a `version` that is not archived, or nothing."""

    build_id: str
    image: str
    size: int
    environments: tuple[str, ...]
    holder: str
    why: str


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


def curated(scope: Scope) -> list[Curated]:
    """The cloud's environments that have an equivalent here, by the names that the cloud gives them."""
    access.require(scope, "environments/read")
    return image_map(scope.studio).all_curated()


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


def build(scope: Scope, name: str, version: str | None = None) -> Build:
    """Asks the worker to make it ready, anew if it was built before.

    Raises Conflict while it is being built, and where no worker has said yet which engine there is.
    """
    access.require(scope, "environments/build/action")
    environment = get(scope, name, version)
    engine, found = scope.session.get(Fact, "engine"), build_of(scope, environment)
    kind = str(engine.value["kind"]) if engine and engine.value.get("kind") else found.engine if found else ""
    if not kind:
        raise Conflict("No worker has said yet what it builds with.", hint="Start the studio with 'atelier up'.")
    if found is None or found.engine != kind:
        found = _build_on(scope, environment, kind)
    if found.status in WAITING:
        raise Conflict(
            f"Environment '{assets.named(environment)}' is being built.", hint="Cancel that build to start another."
        )
    anew = {"anew": True} if found.status != "NotBuilt" else {}
    found.status, found.error, found.attempt, found.not_before, found.desired = "Queued", "", 0, None, "build"
    found.wish = {**found.wish, "environment_id": environment.id, **anew}
    scope.session.add(found)
    scope.session.flush()
    emit(scope, "environment", environment.name, f"A build of '{assets.named(environment)}' was requested")
    return found


def cancel_build(scope: Scope, name: str, version: str | None = None) -> Build:
    """Asks the worker to give up a build that waits or runs; jobs that wait for it fail and say so."""
    access.require(scope, "environments/build/action")
    environment = get(scope, name, version)
    found = build_of(scope, environment)
    if found is None or found.status not in WAITING:
        raise Conflict(f"Environment '{assets.named(environment)}' is not being built.")
    found.desired, found.wish = "cancel", {**found.wish, "canceled_by": scope.principal.name}
    scope.session.add(found)
    emit(scope, "environment", environment.name, f"The build of '{assets.named(environment)}' was canceled")
    return found


def diagnosis(scope: Scope, build: Build) -> Diagnosis | None:
    """Why it failed: the line of its log, the cause and what to try; None for one that did not."""
    access.require(scope, "environments/read")
    if build.status != "Failed":
        return None
    path = build_log(scope, build)
    text = ""
    if path.is_file() and path.stat().st_size <= READ_LIMIT:
        text = path.read_text(encoding="utf-8", errors="replace")
    said = diagnose(text or build.error)
    return said if said.code != "Unknown" or text else diagnose(build.error)


def installed(scope: Scope, environment: Asset) -> list[str]:
    """What pip finds in its image, as it was last built: `name==version`, one a line."""
    access.require(scope, "environments/read")
    found = build_of(scope, environment)
    return list(found.packages) if found else []


def lock_of_job(scope: Scope, job: str) -> list[str]:
    """What was installed in the very image that a job ran on, also when it was built anew since.

    Raises NotFound for a job that has not started yet, and for an image that nobody could look into.
    """
    access.require(scope, "jobs/read")
    row = scope.session.exec(
        select(Job).where(Job.workspace_id == scope.workspace_id, Job.name == job, col(Job.deleted_at).is_(None))
    ).one_or_none()
    if row is None:
        raise NotFound(f"Job '{job[:80]}' was not found.")
    digest = str(row.resolved.get("digest") or "")
    path = lock_file(scope.studio, scope.workspace_id, digest) if digest else None
    if path is None or not path.is_file():
        raise NotFound(
            f"It is not known what was installed for job '{job}'.", hint="It is read once the image is there."
        )
    return path.read_text(encoding="utf-8").splitlines()


def jobs_of(scope: Scope, environment: Asset, *, limit: int = 50) -> list[Job]:
    """Those that ran in this version, the newest first."""
    access.require(scope, "jobs/read")
    return list(
        scope.session.exec(
            select(Job)
            .where(
                Job.workspace_id == scope.workspace_id,
                Job.environment_id == environment.id,
                col(Job.deleted_at).is_(None),
            )
            .order_by(col(Job.created_at).desc())
            .limit(limit)
        )
    )


def context_files(scope: Scope, environment: Asset) -> list[ContextFile]:
    """What is in its build context, by path; empty where there is none."""
    access.require(scope, "environments/read")
    if environment.snapshot_id is None:
        return []
    root = scope.studio.folders.snapshot(environment.workspace_id, environment.snapshot_id)
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(ContextFile(path.relative_to(root).as_posix(), path.stat().st_size) for path in found)


def context_file(scope: Scope, environment: Asset, path: str) -> bytes:
    """One of them, its first mebibyte. Raises NotFound."""
    access.require(scope, "environments/read")
    if environment.snapshot_id is None:
        raise NotFound(f"Environment '{assets.named(environment)}' has no build context.")
    root = scope.studio.folders.snapshot(environment.workspace_id, environment.snapshot_id)
    with files.open_inside(root, path) as file:
        return file.read(DOCKERFILE_LIMIT)


def disk(scope: Scope) -> list[Kept]:
    """The images that were built for this workspace, the largest first, and why each must stay."""
    access.require(scope, "environments/read")
    rows = scope.session.exec(
        select(Build).where(Build.workspace_id == scope.workspace_id, Build.status == "Succeeded", Build.size > 0)
    ).all()
    images = [row.image for row in rows]
    twins = select(Build.id, Build.image, Build.workspace_id).where(col(Build.image).in_(images))
    same = scope.session.exec(twins).all()
    live = set(
        scope.session.exec(
            select(Job.build_id).where(
                col(Job.build_id).in_([id_ for id_, _, _ in same]), col(Job.collected_at).is_(None)
            )
        )
    )
    working, serving = {image for id_, image, _ in same if id_ in live}, served(scope.session)
    elsewhere = {image for _, image, workspace in same if workspace != scope.workspace_id}
    versions_ = _versions_by_hash(scope, [row.hash for row in rows])
    kept = [
        _kept(
            row,
            versions_.get(row.hash, []),
            is_live=row.image in working,
            is_serving=row.image in serving,
            is_elsewhere=row.image in elsewhere,
        )
        for row in rows
    ]
    return sorted(kept, key=lambda each: -each.size)


def prune(scope: Scope, *, versions_too: bool = False, dry_run: bool = True) -> list[Kept]:
    """Asks the worker to remove images that nothing needs; answers which, with the bytes that come free.

    What a live job or another workspace uses always stays; with `versions_too` those of versions that are
    not archived go as well: they are built again when needed.
    """
    access.require(scope, "environments/build/action")
    going = [each for each in disk(scope) if each.holder in {"", *(["version"] if versions_too else [])}]
    if dry_run or not going:
        return going
    for each in going:
        row = scope.session.get(Build, each.build_id)
        if row is not None:
            row.desired = "discard"
            scope.session.add(row)
    emit(scope, "environment", "images", f"{len(going)} images were given up to make room")
    return going


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
        notes=tuple(requirements.notes) if requirements else (),
    )


@dataclass(frozen=True)
class Layer:
    """What is put on an environment's ready image: `base` and `digest` name that, `requirements` what pip installs."""

    base: str
    digest: str
    requirements: tuple[str, ...]


def layer_hash(environment: Asset, layer: Layer) -> str:
    """Of the environment, of its very image, and of the list."""
    parts = ("layer", environment.hash, layer.digest, *layer.requirements)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def layered(studio: Studio, environment: Asset, layer: Layer) -> BuildWish:
    """The environment with something more. One that is a list of packages on a Python of this host is made of the
    longer list: the engine adds to the image that holds the shorter one, and virtual environments have no layers."""
    under, hash_ = wish(studio, environment), layer_hash(environment, layer)
    if under.context is None and under.base.startswith(f"{REPOSITORY}:"):
        longer = (*under.requirements, *layer.requirements)
        return dataclasses.replace(under, hash=hash_, requirements=longer, conda=None, notes=())
    return BuildWish(hash=hash_, base=layer.base, requirements=layer.requirements, workspace=environment.workspace_id)


def wish_of(studio: Studio, environment: Asset, build: Build) -> BuildWish:
    """What a build is to make ready: the environment, or a layer on it."""
    if (on := build.wish.get("layer")) is not None:
        return layered(studio, environment, Layer(on["base"], on["digest"], tuple(on["requirements"])))
    return wish(studio, environment, anew=bool(build.wish.get("anew")))


def served(session: Session) -> set[str]:
    """The images that deployments run on, or will once more, in all workspaces."""
    rows = session.exec(select(Deployment.launches))
    launches = (each for launch in rows for each in launch.values())
    return {str(each[name]) for each in launches for name in ("image", "base") if each.get(name)}


def image_map(studio: Studio) -> Maps:
    """The user's rules of `home/maps.yml` above the shipped ones."""
    path = studio.settings.home / "maps.yml"
    return Maps.load(path.read_text(encoding="utf-8") if path.is_file() else None)


def lock_file(studio: Studio, workspace_id: str, digest: str) -> Path:
    """Where it is written what is installed in the image of a digest: the digest is what refers to it."""
    name = digest.rpartition(":")[2]
    if not name.isalnum():
        raise NotFound("This image has no digest.")
    return studio.folders.workspace(workspace_id) / "locks" / f"{name}.txt"


def write_lock(studio: Studio, workspace_id: str, digest: str, packages: Sequence[str]) -> None:
    """Once for an image: what is in it never changes."""
    path = lock_file(studio, workspace_id, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in packages), encoding="utf-8")


def as_json(row: Asset, build: Build | None = None) -> dict[str, object]:
    """As the cloud's CLI prints one, with the state of its build."""
    definition = {key: value for key, value in row.spec.items() if key != "hash"}
    return assets.as_json(
        row,
        **definition,
        build_status=build.status if build else "NotBuilt",
        build_error=build.error if build else "",
        image_reference=build.image if build else "",
        image_size=build.size if build else 0,
        digest=build.digest if build else "",
        packages=build.packages if build else [],
    )


def _build_on(scope: Scope, environment: Asset, engine: str) -> Build:
    """The row of this definition on an engine, as if it had not been built when there is none."""
    found = scope.session.exec(
        select(Build).where(
            Build.workspace_id == environment.workspace_id, Build.engine == engine, Build.hash == environment.hash
        )
    ).one_or_none()
    return found or Build(
        workspace_id=environment.workspace_id, engine=engine, hash=environment.hash, status="NotBuilt"
    )


def _versions_by_hash(scope: Scope, hashes: Sequence[str]) -> dict[str, list[Asset]]:
    rows = scope.session.exec(
        select(Asset)
        .where(
            Asset.workspace_id == scope.workspace_id,
            Asset.kind == AssetKind.environment,
            col(Asset.hash).in_(hashes),
            col(Asset.is_anonymous).is_(False),
        )
        .order_by(Asset.name, col(Asset.created_at))
    )
    found: dict[str, list[Asset]] = {}
    for row in rows:
        found.setdefault(row.hash, []).append(row)
    return found


def _kept(row: Build, versions: Sequence[Asset], *, is_live: bool, is_serving: bool, is_elsewhere: bool) -> Kept:
    names = tuple(assets.named(each) for each in versions)
    current = [assets.named(each) for each in versions if each.archived_at is None]
    if is_live:
        holder, why = "job", "a job that is not over runs on it"
    elif is_serving:
        holder, why = "deployment", "a deployment runs on it"
    elif is_elsewhere:
        holder, why = "workspace", "another workspace uses it"
    elif current:
        holder, why = "version", f"'{current[0]}' is not archived"
    else:
        holder, why = "", ""
    return Kept(row.id, row.image, row.size, names, holder, why)


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
    if spec.inference_config is not None:
        definition["inference_config"] = spec.inference_config.model_dump(mode="json", exclude_none=True)
    digest = hashlib.sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Content(digest, snapshot_id=context if spec.build is not None else None, spec=definition)
