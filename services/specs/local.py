"""A job's or a deployment's file on somebody's machine: what must be sent, and what is left without local paths."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from services.core.errors import Invalid
from services.specs.deployments import InlineModel, ModelBatchDeployment, OnlineDeployment
from services.specs.environments import Environment
from services.specs.jobs import CommandJob, Data
from services.specs.models import Model
from services.specs.problems import checked
from services.specs.source import Source, load, load_file

Deployed = TypeVar("Deployed", OnlineDeployment, ModelBatchDeployment)
PIPELINES = "Deployments of pipeline components are not run by this version."
_OTHER_TYPES = ("pipeline", "sweep", "parallel", "automl", "spark", "import", "finetuning", "base")


@dataclass(frozen=True)
class LocalJob:
    """`inputs` are local paths by input name; `context` is a build context; `source` the text as written."""

    spec: CommandJob
    source: str
    code: Path | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    context: Path | None = None


def job(source: Source, base: Path, value: dict[str, Any] | None = None) -> LocalJob:
    """Reads a job file; paths are relative to `base`, the folder of the YAML file.

    `value` replaces what the file says (after `--set`). Raises Invalid with file and line.
    """
    written = dict(source.value if value is None else value)
    kind = written.get("type", "command" if "command" in written else None)
    if kind in _OTHER_TYPES:
        raise Invalid(f"Jobs of type '{kind}' are not run by this version.", where=source.where(("type",)))
    base = base.resolve()
    written, context = _environment_inlined(written, base, source)
    spec = checked(CommandJob, written, source)
    code = existing(spec.code, base, source.where(("code",))) if spec.code and not is_uri(spec.code) else None
    if spec.code and is_uri(spec.code):
        raise Invalid("Code must be a local folder or file.", where=source.where(("code",)))
    inputs = {
        name: existing(data.path, base, source.where(("inputs", name, "path")))
        for name, data in spec.data().items()
        if not is_uri(data.path)
    }
    return LocalJob(spec.model_copy(update={"code": None}), source.text, code, inputs, context)


@dataclass(frozen=True)
class LocalDeployment(Generic[Deployed]):
    """`code` is the folder of the scoring script, `model` a file or folder, `context` a build context: all on this
    machine, to be sent; None where nothing is. Once `model` was sent, its URI belongs in the spec's `model.path`.
    """

    spec: Deployed
    code: Path | None = None
    model: Path | None = None
    context: Path | None = None


def deployment(source: Source, base: Path, value: dict[str, Any] | None = None) -> LocalDeployment[OnlineDeployment]:
    """Reads a file of an online deployment; paths are relative to `base`, the folder of the YAML file.

    `value` replaces what the file says (after `--set`). Raises Invalid with file and line.
    """
    return _deployment(OnlineDeployment, source, base, dict(source.value if value is None else value))


def batch_deployment(source: Source, base: Path, value: dict[str, Any]) -> LocalDeployment[ModelBatchDeployment]:
    """The same of a batch deployment. Raises Invalid too for one of a pipeline component."""
    if value.get("type") == "pipeline" or "component" in value or "job_definition" in value:
        raise Invalid(PIPELINES, where=source.where(("type",)))
    return _deployment(ModelBatchDeployment, source, base, dict(value))


def _deployment(kind: type[Deployed], source: Source, base: Path, value: dict[str, Any]) -> LocalDeployment[Deployed]:
    base = base.resolve()
    written, context = _environment_inlined(value, base, source)
    spec = checked(kind, _model_inlined(written, base), source)
    code = _scoring_code(spec, base, source)
    model = spec.model if isinstance(spec.model, InlineModel) and not is_uri(spec.model.path) else None
    here = existing(model.path, base, source.where(("model", "path"))) if model is not None else None
    return LocalDeployment(spec, code, here, context)


def environment(source: Source, base: Path) -> tuple[Environment, Path | None]:
    """Reads an environment file: the definition without local paths, and its build context."""
    written, context = _definition_inlined(dict(source.value), base.resolve(), source, ())
    return checked(Environment, written, source), context


def with_uploads(spec: CommandJob, uris: Mapping[str, str]) -> CommandJob:
    """The job with its local inputs replaced by where they were uploaded."""
    inputs = {
        name: value.model_copy(update={"path": uris[name]}) if isinstance(value, Data) and name in uris else value
        for name, value in spec.inputs.items()
    }
    return spec.model_copy(update={"inputs": inputs})


def _environment_inlined(written: dict[str, Any], base: Path, source: Source) -> tuple[dict[str, Any], Path | None]:
    wanted = written.get("environment")
    if isinstance(wanted, str):
        path = _yaml_path(wanted, base)
        if path is None:
            return written, None
        file = load_file(path)
        definition, context = _definition_inlined(dict(file.value), path.parent, file, ())
        checked(Environment, definition, file)
        return {**written, "environment": definition}, context
    if isinstance(wanted, dict):
        definition, context = _definition_inlined(dict(wanted), base, source, ("environment",))
        return {**written, "environment": definition}, context
    return written, None


def _model_inlined(written: dict[str, Any], base: Path) -> dict[str, Any]:
    """A model's own YAML file in the place of its path, which is relative to that file; a plain path as a mapping."""
    wanted = written.get("model")
    if not isinstance(wanted, str) or is_uri(wanted):
        return written
    path = _yaml_path(wanted, base)
    if path is None:
        is_path = wanted.startswith((".", "/", "~", "file:")) or "/" in wanted or (base / wanted).exists()
        return {**written, "model": {"path": wanted}} if is_path else written
    file = load_file(path)
    model = checked(Model, dict(file.value), file).model_dump(mode="json", exclude_unset=True, exclude={"job_name"})
    if not is_uri(model["path"]):
        model["path"] = str(existing(model["path"], path.parent.resolve(), file.where(("path",))))
    return {**written, "model": model}


def _scoring_code(spec: OnlineDeployment | ModelBatchDeployment, base: Path, source: Source) -> Path | None:
    """The folder that holds the scoring script. Raises Invalid where it does not."""
    wanted = spec.code_configuration
    if wanted is None:
        return None
    at = source.where(("code_configuration", "code"))
    if is_uri(wanted.code):
        raise Invalid("Code must be a local folder.", where=at)
    code = existing(wanted.code, base, at)
    if not code.is_dir():
        raise Invalid(f"'{wanted.code[:200]}' is a file; code is the folder that holds the script.", where=at)
    script = code / wanted.scoring_script
    if not script.is_file() or code not in script.resolve().parents:
        raise Invalid(
            f"'{wanted.scoring_script[:200]}' was not found in {code}.",
            where=source.where(("code_configuration", "scoring_script")),
        )
    return code


def _definition_inlined(
    written: dict[str, Any], base: Path, source: Source, at: tuple[str, ...]
) -> tuple[dict[str, Any], Path | None]:
    context = None
    conda = written.get("conda_file")
    if isinstance(conda, str):
        path = existing(conda, base, source.where((*at, "conda_file")))
        written["conda_file"] = load(path.read_bytes(), file=str(path)).value
    build = written.get("build")
    if isinstance(build, dict) and isinstance(build.get("path"), str):
        context = existing(build["path"], base, source.where((*at, "build", "path")))
        dockerfile = context / str(build.get("dockerfile_path", "Dockerfile"))
        if not dockerfile.is_file():
            raise Invalid(f"The build context has no '{dockerfile.name}'.", where=source.where((*at, "build")))
        written["build"] = {**build, "path": ""}
    return written, context


def _yaml_path(text: str, base: Path) -> Path | None:
    if text.startswith("file:"):
        return base / text.removeprefix("file:")
    if text.startswith("azureml:") or not text.endswith((".yml", ".yaml")):
        return None
    return base / text


def existing(text: str, base: Path, where: str) -> Path:
    """A path that a file in `base` names, with links followed. Raises Invalid when it is not there, or far too much."""
    path = base / Path(text.removeprefix("file://").removeprefix("file:")).expanduser()
    if not path.exists():
        raise Invalid(f"'{text[:200]}' was not found ({path}).", where=where)
    path = path.resolve()
    if path in {Path("/"), Path.home().resolve()}:
        raise Invalid(f"'{text[:200]}' is {path}, which is surely not meant to be sent whole.", where=where)
    return path


def is_uri(text: str) -> bool:
    """Whether it names something that lies elsewhere, and no path of this machine."""
    return ("://" in text and not text.startswith("file:")) or text.startswith(
        ("azureml:", "runs:/", "mlflow-artifacts:")
    )
