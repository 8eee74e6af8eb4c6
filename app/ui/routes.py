"""Addresses of our own server for what does not go through Streamlit: logs, downloads, uploads."""

from urllib.parse import quote, urlencode

from app import context


def log_stream(job: str, file: str) -> str:
    return _made("log", job, file=file, offset=0)


def artifact(job: str, path: str) -> str:
    return _made("artifact", job, path=path) if context.behind_gate() else ""


def run_artifact(name: str, path: str) -> str:
    """Of any run."""
    return _made("run-artifact", name, path=path) if context.behind_gate() else ""


def output(job: str, name: str, path: str) -> str:
    return _made("output", job, name=name, path=path) if context.behind_gate() else ""


def snapshot(job: str, path: str) -> str:
    return _made("code", job, path=path) if context.behind_gate() else ""


def datastore(name: str, path: str) -> str:
    return _made("datastore", name, path=path) if context.behind_gate() else ""


def model(name: str, version: str, path: str) -> str:
    return _made("model", name, version=version, path=path) if context.behind_gate() else ""


def data(name: str, version: str, path: str) -> str:
    return _made("data", name, version=version, path=path) if context.behind_gate() else ""


def model_archive(name: str, version: str) -> str:
    return _made("model-archive", name, version=version)


def archive(job: str) -> str:
    return _made("archive", job)


def request_stream(endpoint: str, after: int) -> str:
    """Of the log's records that came after the one of this id."""
    return _made("requests", endpoint, after=after) if context.behind_gate() else ""


def requests_csv(endpoint: str, **parameters: object) -> str:
    """All that match, as a file."""
    kept = {key: value for key, value in parameters.items() if value}
    return _made("requests-export", endpoint, **kept) if context.behind_gate() else ""


def uploads() -> str:
    return f"/files/uploads/{quote(context.workspace_name(), safe='')}"


def _made(kind: str, job: str, **parameters: object) -> str:
    address = f"/files/{kind}/{quote(context.workspace_name(), safe='')}/{quote(job, safe='')}"
    return f"{address}?{urlencode(parameters, doseq=True)}" if parameters else address
