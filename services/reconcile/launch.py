"""From a job's row to the container that runs it: variables, mounts, command; nothing is started here."""

import hashlib
import os
import shlex
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.core.errors import Invalid
from services.engines import pip_settings
from services.engines.containers import ATTEMPT, SPEC, Container, Engine, Mount, WorkingCopy
from services.engines.files import remove_tree
from services.reconcile.data import Ready
from services.specs import expressions
from services.specs.fields import size_of
from services.specs.jobs import IDENTITY, CommandJob
from services.store.rows import Job, Workspace
from services.studio import Studio, labels

RUNTIME = Path(__file__).parents[1] / "runtime"
_BATCH = RUNTIME / "batch"
LIVE = ("user_logs", "system_logs", "outputs", "logs")
BATCH = "/studio/batch"
JOB = "atelier.job"
# Leaves the host a little of its memory when the job names no limit.
_SHARE = 0.9


@dataclass(frozen=True)
class Tracking:
    """Where the job finds MLflow: `uri` as seen from inside, its token, the experiment's name."""

    uri: str
    token: str
    experiment: str


def inside(job: Job) -> str:
    """The folder of everything of the job, where the cloud has it too."""
    return f"/mnt/azureml/cr/j/{job.id}"


def data_folder(job: Job) -> str:
    return f"{inside(job)}/cap/data-capability/wd"


def container_name(job: Job, attempt: int) -> str:
    """The idempotency key of an attempt."""
    return f"job-{job.id}-{attempt}"


def code(studio: Studio, job: Job) -> WorkingCopy:
    run = studio.folders.run(job.id)
    snapshot = studio.folders.snapshot(job.workspace_id, job.snapshot_id) if job.snapshot_id else None
    links = {name: run / name for name in ("outputs", "logs")}
    return WorkingCopy(snapshot, run / "changes", f"{inside(job)}/exe/wd", links)


def folders(studio: Studio, job: Job) -> Path:
    """The run's folders on this host, private to us."""
    run = studio.folders.run(job.id)
    for name in LIVE:
        (run / name).mkdir(parents=True, exist_ok=True)
    run.chmod(0o700)
    return run


def fresh_copy(studio: Studio, job: Job) -> None:
    """Nothing of an attempt that never started stays in the working copy."""
    changes = studio.folders.run(job.id) / "changes"
    if changes.exists():
        remove_tree(changes)
    changes.mkdir(parents=True)


def command(spec: CommandJob, inputs: Mapping[str, Ready], outputs: Mapping[str, Ready]) -> str:
    """The text for the container's shell, with everything substituted."""
    values = {**spec.literals(), **{name: ready.value for name, ready in inputs.items()}}
    return expressions.render(
        spec.command, inputs=values, outputs={name: ready.value for name, ready in outputs.items()}
    )


def container(
    studio: Studio,
    engine: Engine,
    job: Job,
    workspace: Workspace,
    spec: CommandJob,
    *,
    image: str,
    memory: int,
    inputs: Mapping[str, Ready],
    outputs: Mapping[str, Ready],
    tracking: Tracking,
) -> Container:
    """`memory` is the host's, in bytes; the job may have less. Writes the file of variables."""
    run = studio.folders.run(job.id)
    settings = pip_settings.for_containers(studio.folders.home)
    runtime = kept_runtime(studio)
    plain: tuple[Mount, ...] = (
        Mount(run / "user_logs", "/studio/user_logs"),
        Mount(run / "system_logs", "/studio/system_logs"),
        Mount(runtime / "entry.sh", "/studio/entry.sh", read_only=True),
        Mount(runtime / "python", "/studio/python", read_only=True),
    )
    if job.deployment_id is not None:
        plain += (Mount(held_at(studio, _BATCH), BATCH, read_only=True),)
    copy = code(studio, job)
    seen = {mount.target: engine.seen(mount) for mount in (*plain, *settings.mounts)}
    variables = _variables(studio, job, workspace, spec, inputs, outputs, tracking, engine.seen_code(copy), seen)
    settled = {name: seen.get(value, value) for name, value in settings.environment.items()}
    if BATCH in seen:
        settled["ATELIER_BATCH"] = seen[BATCH]
    file = _written(run / "variables", {**settled, **variables})
    mounts = [*plain, Mount(file, "/studio/variables", read_only=True), *settings.mounts]
    mounts += [ready.mount for ready in (*inputs.values(), *outputs.values()) if ready.mount is not None]
    resources = spec.resources
    owner = f"{os.getuid()}:{os.getgid()}"
    return Container(
        name=job.container_name,
        image=image,
        command=("sh", "/studio/entry.sh", job.resolved["command"]),
        labels={
            **labels(studio.install, job.workspace_id, "job", job.name),
            JOB: job.id,
            ATTEMPT: str(job.attempt),
            SPEC: hashlib.sha256(repr(sorted(job.spec.items())).encode()).hexdigest()[:16],
        },
        environment=_for_the_entry(engine, plain, file),
        mounts=mounts,
        code=copy,
        user=owner,
        memory=_memory(studio, spec, memory),
        cpus=resources.cpus,
        shm_size=size_of(resources.shm_size) if resources.shm_size is not None else None,
        profile=studio.settings.profile,
        holder=f"{job.workspace_id}/{job.created_by}",
    )


def _for_the_entry(engine: Engine, plain: tuple[Mount, ...], file: Path) -> dict[str, str]:
    """Where the entry script finds its files, when they do not lie where a container shows them."""
    if engine.kind != "process":
        return {}
    logs, system = engine.seen(plain[0]), engine.seen(plain[1])
    return {
        "ATELIER_LOG": f"{logs}/std_log.txt",
        "ATELIER_STAMP": f"{system}/lifecycle",
        "ATELIER_VARIABLES": str(file),
        "ATELIER_ISOLATED": "0",
    }


def _variables(
    studio: Studio,
    job: Job,
    workspace: Workspace,
    spec: CommandJob,
    inputs: Mapping[str, Ready],
    outputs: Mapping[str, Ready],
    tracking: Tracking,
    working_copy: str,
    seen: Mapping[str, str],
) -> dict[str, str]:
    """The cloud's names and MLflow's; the job's own come last, but for those that say which run it is."""
    ours = {
        "MLFLOW_TRACKING_URI": tracking.uri,
        "MLFLOW_TRACKING_TOKEN": tracking.token,
        "MLFLOW_RUN_ID": job.name,
        "MLFLOW_EXPERIMENT_NAME": tracking.experiment,
    }
    scope = f"/subscriptions/local/resourceGroups/{workspace.resource_group or 'local'}/providers"
    scope += f"/Microsoft.MachineLearningServices/workspaces/{workspace.name}"
    cloud = {
        "AZUREML_RUN_ID": job.name,
        "AZUREML_ROOT_RUN_ID": job.name,
        "AZUREML_RUN_TOKEN": tracking.token,
        "AZUREML_ARM_SUBSCRIPTION": "local",
        "AZUREML_ARM_RESOURCEGROUP": workspace.resource_group or "local",
        "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
        "AZUREML_ARM_PROJECT_NAME": tracking.experiment,
        "AZUREML_WORKSPACE_ID": workspace.id,
        "AZUREML_EXPERIMENT_ID": job.experiment_id,
        "AZUREML_WORKSPACE_SCOPE": scope,
        "AZUREML_EXPERIMENT_SCOPE": f"{scope}/experiments/{tracking.experiment}",
        "AZUREML_SERVICE_ENDPOINT": tracking.uri.removesuffix("/mlflow"),
        "AZUREML_DISCOVERY_SERVICE_ENDPOINT": tracking.uri.removesuffix("/mlflow"),
        "AZUREML_RUN_HISTORY_SERVICE_ENDPOINT": tracking.uri.removesuffix("/mlflow"),
        "AZUREML_CR_EXECUTION_WORKING_DIR_PATH": working_copy,
        "AZUREML_CR_DATA_CAPABILITY_PATH": data_folder(job),
        "PYTHONPATH": seen["/studio/python"],
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would name an address that only containers know
    }
    for name, ready in inputs.items():
        cloud |= {f"AZURE_ML_INPUT_{name}": ready.value, f"AZUREML_DATAREFERENCE_{name}": ready.value}
    values = {**spec.literals(), **{name: ready.value for name, ready in inputs.items()}}
    cloud |= {f"AZUREML_INPUT_{name}": value for name, value in values.items() if value is not None}
    cloud |= {f"AZURE_ML_OUTPUT_{name}": ready.value for name, ready in outputs.items()}
    own = {name: value for name, value in spec.environment_variables.items() if name not in IDENTITY}
    return {name: value for name, value in {**cloud, **own, **ours}.items() if name.isidentifier() and name.isascii()}


def _written(path: Path, variables: Mapping[str, str]) -> Path:
    """A file that the entry script reads: values are in no process list and in nothing the engine keeps."""
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    return path


def _memory(studio: Studio, spec: CommandJob, host: int) -> int:
    wanted = spec.resources.memory or studio.settings.job_memory
    if not wanted:
        return int(host * _SHARE)
    size = size_of(wanted)
    if size > host:
        raise Invalid(
            f"The job wants {size / (1 << 30):.1f} GiB of memory; this engine has {host / (1 << 30):.1f}.",
            where="resources.memory",
        )
    return size


def kept_runtime(studio: Studio) -> Path:
    """The files that run inside, below our home (containers see nothing else), by content."""
    return _kept(studio, RUNTIME, [Path("entry.sh"), Path("python/sitecustomize.py")])


def held_at(studio: Studio, folder: Path) -> Path:
    """The same for all Python files of a folder."""
    return _kept(studio, folder, sorted(path.relative_to(folder) for path in folder.rglob("*.py")))


def _kept(studio: Studio, source: Path, names: Sequence[Path]) -> Path:
    content = b"".join(str(name).encode() + b"\0" + (source / name).read_bytes() for name in names)
    digest = hashlib.sha256(content).hexdigest()[:16]
    target = studio.folders.home / "runtime" / digest
    if not target.is_dir():
        part = target.with_name(f"{digest}.{os.getpid()}.{threading.get_ident()}.part")
        for name in names:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, part / name)
        try:
            part.rename(target)
        except OSError:
            remove_tree(part)
    return target
