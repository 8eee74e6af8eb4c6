"""From a replica's row to the container that serves: variables, mounts, command, size; nothing is started here."""

import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sqlmodel import Session

from services import secrets
from services.core.errors import Invalid, NotFound
from services.engines import pip_settings
from services.engines.containers import ATTEMPT, SPEC, Container, Engine, EngineInfo, Mount, WorkingCopy
from services.engines.files import remove_tree
from services.logs import is_secret
from services.reconcile.launch import RUNTIME, held_at, kept_runtime
from services.specs import sizes
from services.specs.deployments import OnlineDeployment, Probe
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import Studio, labels

KIND = "replica"
DEPLOYMENT, REPLICA = "atelier.deployment", "atelier.replica"
APP = "/var/azureml-app"
MODELS = f"{APP}/azureml-models"
SERVE = "/studio/serve"
PORT = 5001
LOG, SETUP = "user_logs/std_log.txt", "system_logs/storage-initializer.txt"
# Leaves the host a little of its memory.
_SHARE = 0.9
_SCRIPTS = 'PATH="$(python -c \'import sysconfig; print(sysconfig.get_path("scripts"))\'):$PATH"'
"""Where pip puts the programs of packages is not where Python is found."""
_PYTHON = "p=python; command -v python >/dev/null 2>&1 || p=python3; exec $p"
_OURS = ("ATELIER_", "LD_PRELOAD")


@dataclass(frozen=True)
class Launch:
    """What replicas of one generation are started from, as it was when the generation was made ready.

    `inference` are the ports and paths of a server that the image brings along. `fetched`: the model was brought
    here once.
    """

    spec: OnlineDeployment
    server: str
    image: str
    model: Mapping[str, Any] | None
    code_name: str
    script: str
    snapshot: str | None
    inference: Mapping[str, Any]
    is_fetched: bool


@dataclass(frozen=True)
class Asked:
    """Where a server is asked whether it is well. An empty `path`: whether it listens."""

    port: int
    path: str
    method: str = "GET"


def of(deployment: Deployment, generation: int) -> Launch:
    """Raises NotFound when that generation was never made ready."""
    kept = deployment.launches.get(str(generation))
    if not kept or not kept.get("image"):
        raise NotFound(f"Generation {generation} of '{deployment.name}' is not ready to start.")
    resolved = kept["resolved"]
    return Launch(
        spec=OnlineDeployment.model_validate(kept["spec"]),
        server=str(resolved.get("server") or "script"),
        image=kept["image"],
        model=resolved.get("model"),
        code_name=str(resolved.get("code_name") or "code"),
        script=str(resolved.get("script") or ""),
        snapshot=kept.get("snapshot_id"),
        inference=kept.get("inference") or {},
        is_fetched=bool(kept.get("fetched")),
    )


def container_name(replica: Replica) -> str:
    """The idempotency key of an attempt."""
    return f"rep-{replica.id}"


def folders(studio: Studio, replica: Replica) -> Path:
    """The replica's folders on this host, private to us."""
    root = studio.folders.replica(replica.id)
    for name in ("user_logs", "system_logs"):
        (root / name).mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    changes = root / "changes"
    if changes.exists():
        remove_tree(changes)
    changes.mkdir()
    return root


def size(launch: Launch, info: EngineInfo) -> sizes.Size:
    """Raises Invalid for limits that are no quantities."""
    resources = launch.spec.resources.model_dump() if launch.spec.resources is not None else None
    memory = int(info.memory * _SHARE)
    try:
        return sizes.size_of(launch.spec.instance_type, resources, cpus=info.cpus, memory=memory)
    except ValueError as cause:
        raise Invalid(f"resources: {cause}.", where="resources") from cause


def port(launch: Launch) -> int:
    """On which its server listens, inside."""
    route = launch.inference.get("scoring_route") or {}
    return int(route.get("port") or PORT) if launch.server == "custom" else PORT


def liveness(launch: Launch) -> Asked:
    return _asked(launch, "liveness_route", launch.spec.liveness_probe)


def readiness(launch: Launch) -> Asked:
    return _asked(launch, "readiness_route", launch.spec.readiness_probe)


def container(
    studio: Studio,
    session: Session,
    engine: Engine,
    endpoint: Endpoint,
    deployment: Deployment,
    replica: Replica,
    launch: Launch,
    info: EngineInfo,
    model: Path | None,
) -> Container:
    """`model` is where its files lie here. Writes the file of variables. Raises NotFound for a secret that is gone."""
    root = studio.folders.replica(replica.id)
    copy = WorkingCopy(
        studio.folders.snapshot(deployment.workspace_id, launch.snapshot) if launch.snapshot else None,
        root / "changes",
        f"{APP}/{launch.code_name if launch.snapshot else 'server'}",
    )
    shown, folder = _model(engine, root, launch, model)
    mounts = [*([shown] if shown else ())]
    variables = _variables(studio, session, engine, endpoint, deployment, launch, copy, folder)
    room = size(launch, info)
    if launch.server == "custom":  # its image starts as it likes: there is no script of ours that could read a file
        command: tuple[str, ...] = ()
        environment = variables
    else:
        command, environment, own = _entry(studio, engine, root, launch, variables)
        mounts += own
    return Container(
        name=replica.container_name,
        image=launch.image,
        command=command,
        labels={
            **labels(studio.install, deployment.workspace_id, KIND, f"{endpoint.name}/{deployment.name}"),
            DEPLOYMENT: deployment.id,
            REPLICA: replica.id,
            ATTEMPT: str(replica.attempt),
            SPEC: hashlib.sha256(repr(launch).encode()).hexdigest()[:16],
        },
        environment=environment,
        mounts=mounts,
        code=copy if launch.server != "custom" or launch.snapshot else None,
        working_dir=None if launch.server != "custom" else _nowhere(launch),
        user=f"{os.getuid()}:{os.getgid()}",
        memory=room.memory,
        cpus=room.cpus,
        profile=studio.settings.profile,
        port=port(launch),
    )


def secret_values(studio: Studio, session: Session, deployment: Deployment, launch: Launch) -> list[bytes]:
    """What its log may hold and its messages may not."""
    variables = launch.spec.environment_variables
    found = {text for name, text in variables.items() if is_secret(name)}
    for name in {name for text in variables.values() for name in secrets.REFERENCE.findall(text)}:
        try:
            found.add(secrets.of(studio, session, deployment.workspace_id, f"{secrets.USER}{name}"))
        except NotFound:
            continue
    return sorted((value.encode() for value in found if len(value) >= 6), key=len, reverse=True)


def _asked(launch: Launch, route: str, probe: Probe | None) -> Asked:
    if launch.server != "custom":
        return Asked(PORT, "/")
    said = launch.inference.get(route) or {}
    path = (probe.path if probe else None) or said.get("path") or ""
    asked = (probe.port if probe else None) or said.get("port") or port(launch)
    return Asked(int(asked), str(path), (probe.method if probe and probe.method else "GET").upper())


def _nowhere(launch: Launch) -> str | None:
    """The image's own folder is where an image's own command starts, unless there is code."""
    return f"{APP}/{launch.code_name}" if launch.snapshot else ""


def _model(engine: Engine, root: Path, launch: Launch, source: Path | None) -> tuple[Mount | None, str]:
    """How the model is shown, and the folder above it as the server sees that: below it lies the basename."""
    if source is None or not launch.model:
        return None, ""
    above = f"{(launch.spec.model_mount_path or MODELS).rstrip('/')}/{launch.model['name']}/{launch.model['version']}"
    base = str(launch.model.get("basename") or source.name)
    if engine.kind != "process":
        # Sorted listings are made of links, and MLflow takes a link for a way out of its folder.
        is_sorted = launch.model.get("type") != "mlflow_model"
        return Mount(source, f"{above}/{base}", read_only=True, sorted=is_sorted), above
    here = root / "models" / str(launch.model["name"]) / str(launch.model["version"])
    here.mkdir(parents=True, exist_ok=True)
    (here / base).unlink(missing_ok=True)
    (here / base).symlink_to(source.resolve())
    return None, str(here)


def _variables(
    studio: Studio,
    session: Session,
    engine: Engine,
    endpoint: Endpoint,
    deployment: Deployment,
    launch: Launch,
    copy: WorkingCopy,
    models: str,
) -> dict[str, str]:
    """The cloud's names; the person's own come last, but for ours."""
    settings = launch.spec.request_settings
    script = PurePosixPath(launch.script)
    code = engine.seen_code(copy)
    cloud = {
        "AML_APP_ROOT": code if str(script.parent) == "." else f"{code}/{script.parent}",
        "AZUREML_ENTRY_SCRIPT": script.name,
        "AZUREML_MODEL_DIR": models,
        "WORKER_COUNT": "1",
        "SCORING_TIMEOUT_MS": str(settings.request_timeout_ms if settings else 5000),
        "SERVICE_NAME": endpoint.name,
        "ENDPOINT_NAME": endpoint.name,
        "DEPLOYMENT_NAME": deployment.name,
    }
    ours = {"ATELIER_DEPLOYMENT": f"{endpoint.name}/{deployment.name}"}
    if launch.server in {"script", "mlflow"}:
        ours["ATELIER_SERVE"] = launch.server
    if launch.server == "mlflow" and launch.model:
        ours["ATELIER_MODEL_PATH"] = f"{models}/{launch.model.get('basename')}"
    if not script.name:
        cloud.pop("AZUREML_ENTRY_SCRIPT")
    if not models:
        cloud.pop("AZUREML_MODEL_DIR")
    own = {
        name: _settled(studio, session, deployment, name, text)
        for name, text in launch.spec.environment_variables.items()
        if not name.startswith(_OURS)
    }
    return {name: value for name, value in {**cloud, **own, **ours}.items() if name.isidentifier() and name.isascii()}


def _settled(studio: Studio, session: Session, deployment: Deployment, variable: str, text: str) -> str:
    """The value of a variable, with secrets in the place of what refers to them."""
    for found in reversed([*secrets.REFERENCE.finditer(text)]):
        try:
            value = secrets.of(studio, session, deployment.workspace_id, f"{secrets.USER}{found[1]}")
        except NotFound as cause:
            raise SecretNotFound(
                f"Secret '{found[1]}', which the variable '{variable}' names, is not in this workspace."
            ) from cause
        text = f"{text[: found.start()]}{value}{text[found.end() :]}"
    return text


class SecretNotFound(NotFound):
    """A variable names a secret that is not there."""

    code = "SecretNotFound"


def _entry(
    studio: Studio, engine: Engine, root: Path, launch: Launch, variables: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str], list[Mount]]:
    """Command, engine's variables and mounts of a server that the entry script starts."""
    settings = pip_settings.for_containers(studio.folders.home)
    runtime, serve = kept_runtime(studio), held_at(studio, RUNTIME / "serve")
    logs, system = Mount(root / "user_logs", "/studio/user_logs"), Mount(root / "system_logs", "/studio/system_logs")
    entry = Mount(runtime / "entry.sh", "/studio/entry.sh", read_only=True)
    python = Mount(runtime / "python", "/studio/python", read_only=True)
    server = Mount(serve, SERVE, read_only=True)
    file = root / "variables"
    kept = Mount(file, "/studio/variables", read_only=True)
    settled = {**settings.environment, "PYTHONPATH": engine.seen(python), **variables}
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settled.items())
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as out:
        out.write(text)
    is_here = engine.kind == "process"
    found = {
        "ATELIER_LOG": f"{root}/{LOG}",
        "ATELIER_STAMP": f"{root}/system_logs/lifecycle",
        "ATELIER_VARIABLES": str(file),
        "ATELIER_ISOLATED": "0",
    }
    command = ("sh", "/studio/entry.sh", _command(launch, engine.seen(server), "127.0.0.1" if is_here else "0.0.0.0"))  # noqa: S104
    return command, found if is_here else {}, [logs, system, entry, python, server, kept, *settings.mounts]


def _command(launch: Launch, serve: str, host: str) -> str:
    if launch.server == "azureml":
        script = shlex.quote(PurePosixPath(launch.script).name)
        return f'cd "$AML_APP_ROOT" && {_SCRIPTS}; exec azmlinfsrv --entry_script {script} --port "$ATELIER_PORT"'
    return f'{_PYTHON} {shlex.quote(serve)}/main.py --host {host} --port "$ATELIER_PORT"'
