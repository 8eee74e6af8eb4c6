"""What is decided about every door of the web process: a new one must find its place here."""

from typing import Any

import httpx

from tests.api.conftest import HELLO, announced

JOB = "/api/v1/workspaces/{ws}/jobs/{name}"
UPLOADS = "/api/v1/workspaces/{ws}/uploads"
ENVIRONMENT = "/api/v1/workspaces/{ws}/environments/{name}"
VERSION = ENVIRONMENT + "/versions/{version}"
DATA = "/api/v1/workspaces/{ws}/data"
DATA_VERSION = DATA + "/{name}/versions/{version}"
MODEL = "/api/v1/workspaces/{ws}/models/{name}"
COMPONENT = "/api/v1/workspaces/{ws}/components/{name}/versions/{version}"
LINEAGE = "/api/v1/workspaces/{ws}/lineage"
DATASTORE = "/api/v1/workspaces/{ws}/datastores/{name}"
BATCHES = "/api/v1/workspaces/{ws}/batch-endpoints"
BATCH = BATCHES + "/{name}"
ONLINE = "/api/v1/workspaces/{ws}/online-endpoints/{name}"
DEPLOYMENT = ONLINE + "/deployments/{deployment}"
SECRETS = "/api/v1/workspaces/{ws}/secrets"
ANNOUNCEMENT = {"kind": "code", "entries": [announced("main.py")]}
ENVIRONMENT_BODY = {"spec": {"name": "env", "image": "debian:12"}}


def asset_reads(noun: str) -> dict[str, str]:
    """What `app.api.assets.shared` opens to everybody with a role."""
    here = f"/api/v1/workspaces/{{ws}}/{noun}"
    one = f"{here}/{{name}}"
    version = f"{one}/versions/{{version}}"
    return dict.fromkeys(
        (f"GET {here}", f"GET {one}/versions", f"GET {version}", f"GET {version}/uses", f"GET {one}/labels/{{label}}"),
        "",
    )


def asset_writes(noun: str) -> dict[str, Any]:
    """The same that Readers are refused; what takes something away comes last."""
    one = f"/api/v1/workspaces/{{ws}}/{noun}/{{name}}"
    version = f"{one}/versions/{{version}}"
    return {
        f"PATCH {version}": {"description": "x"},
        f"POST {one}/archive": None,
        f"POST {one}/restore": None,
        f"POST {version}/archive": None,
        f"POST {version}/restore": None,
        f"PUT {one}/labels/{{label}}": {"version": "1"},
        f"DELETE {one}/labels/{{label}}": None,
        f"DELETE {version}": None,
    }


# Nobody need be signed in.
OPEN = {
    "GET /healthz",
    "HEAD /healthz",
    "GET /readyz",
    "HEAD /readyz",
    "GET /auth/sign-in",
    "POST /auth/sign-in",
    "GET /files/signed",
}
# Of a workspace, by a bearer token: everybody with a role in it reads, with the query that makes the call right.
READS = {
    "GET /api/v1/workspaces/{ws}": "",
    "GET /api/v1/workspaces/{ws}/jobs": "",
    f"GET {JOB}": "",
    f"GET {JOB}/events": "",
    f"GET {JOB}/metrics": "",
    f"GET {JOB}/metrics/history": "key=loss",
    f"GET {JOB}/log": "",
    f"GET {JOB}/files": "",
    f"GET {JOB}/files/{{path:path}}": "",
    f"GET {JOB}/outputs/{{output}}/files": "",
    f"GET {JOB}/outputs/{{output}}/files/{{path:path}}": "",
    f"POST {JOB}/links": "",
    **asset_reads("data"),
    f"GET {DATA_VERSION}/files": "",
    f"GET {DATA_VERSION}/files/{{path:path}}": "",
    f"POST {DATA_VERSION}/links": "",
    f"GET {DATA_VERSION}/preview": "",
    f"GET {DATA_VERSION}/profile": "",
    f"POST {DATA_VERSION}/profile": "",
    f"GET {DATA_VERSION}/diff": "with=1",
    f"POST {DATA_VERSION}/diff": "with=1",
    **asset_reads("components"),
    f"GET {COMPONENT}/code": "",
    f"GET {COMPONENT}/code/{{path:path}}": "",
    f"GET {LINEAGE}/{{kind}}/{{id:path}}": "",
    "GET /api/v1/workspaces/{ws}/runs": "",
    "GET /api/v1/workspaces/{ws}/runs/{name}": "",
    "GET /api/v1/workspaces/{ws}/runs/{name}/history": "metric=loss",
    "GET /api/v1/workspaces/{ws}/runs:groups": "group_by=status",
    "GET /api/v1/workspaces/{ws}/runs:export": "",
    "GET /api/v1/workspaces/{ws}/runs:keys": "",
    "GET /api/v1/workspaces/{ws}/runs:directions": "metric=loss",
    "GET /api/v1/workspaces/{ws}/runs:compare": "run=j1&run=nobody",
    "GET /api/v1/workspaces/{ws}/runs:significance": "run=j1&run=nobody&metric=loss",
    "GET /api/v1/workspaces/{ws}/runs/{name}/changes": "",
    f"GET {LINEAGE}/jobs/{{name}}/compare/{{other}}": "",
    **asset_reads("environments"),
    f"GET {VERSION}/build-log": "",
    f"GET {VERSION}/diagnosis": "",
    f"GET {VERSION}/packages": "",
    f"GET {VERSION}/context": "",
    f"GET {VERSION}/context/{{path:path}}": "",
    "GET /api/v1/workspaces/{ws}/environments/curated": "",
    "GET /api/v1/workspaces/{ws}/environments/disk": "",
    "GET /api/v1/workspaces/{ws}/environments/jobs/{job}/packages": "",
    **asset_reads("models"),
    f"GET {MODEL}/compare": "versions=1",
    f"GET {MODEL}/versions/{{version}}/files": "",
    f"GET {MODEL}/versions/{{version}}/files/{{path:path}}": "",
    "GET /api/v1/workspaces/{ws}/datastores": "",
    f"GET {DATASTORE}": "",
    f"GET {DATASTORE}/uses": "",
    f"GET {DATASTORE}/files": "",
    f"GET {DATASTORE}/files/{{path:path}}": "",
    "GET /api/v1/workspaces/{ws}/experiments": "",
    "GET /api/v1/workspaces/{ws}/experiments/{name}": "",
    "GET /api/v1/workspaces/{ws}/experiments/{name}/runs": "",
    "GET /api/v1/workspaces/{ws}/computes": "",
    "GET /api/v1/workspaces/{ws}/metrics:check": "",
}
READS |= {
    "GET /api/v1/workspaces/{ws}/views": "",
    "GET /api/v1/workspaces/{ws}/views/{view}": "",
    "GET /api/v1/workspaces/{ws}/boards/{board}": "",
}
READS |= {
    "GET /api/v1/workspaces/{ws}/online-endpoints": "",
    f"GET {ONLINE}": "",
    f"GET {ONLINE}/events": "",
    f"GET {ONLINE}/deployments": "",
    f"GET {DEPLOYMENT}": "",
    f"GET {DEPLOYMENT}/replicas": "",
    f"GET {DEPLOYMENT}/events": "",
    f"GET {DEPLOYMENT}/logs": "",
    f"GET {SECRETS}": "",
}
READS |= {
    f"GET {ONLINE}/rollouts": "",
    f"GET {ONLINE}/rollouts/{{rollout}}": "",
    f"GET {ONLINE}/alerts": "",
    f"GET {ONLINE}/requests": "",
    f"GET {ONLINE}/metrics": "since=1",
    f"GET {ONLINE}/summary": "",
    f"GET {ONLINE}/agreement": "",
    f"GET {ONLINE}/deployments/{{deployment}}/samples": "since=1",
}
READS |= {
    f"GET {BATCHES}": "",
    f"GET {BATCH}": "",
    f"GET {BATCH}/jobs": "",
    f"GET {BATCH}/deployments": "",
    f"GET {BATCH}/deployments/{{deployment}}": "",
}
# What is somebody's own: everybody with a role keeps some, with the body that makes the call right.
PERSONAL: dict[str, Any] = {
    "POST /api/v1/workspaces/{ws}/views": {"name": "mine"},
    "PATCH /api/v1/workspaces/{ws}/views/{view}": {"name": "x"},
    "DELETE /api/v1/workspaces/{ws}/views/{view}": None,
    "POST /api/v1/workspaces/{ws}/boards": {"sections": []},
}
# The same, but Readers are refused, with the body that makes the call right.
WRITES: dict[str, Any] = {
    "POST /api/v1/workspaces/{ws}/metrics:rebuild": {"run": "nowhere"},
    "POST /api/v1/workspaces/{ws}/runs/{run}/metrics:batch": {"metrics": [{"key": "loss", "value": 1}]},
    "PATCH /api/v1/workspaces/{ws}": {"description": "x"},
    "DELETE /api/v1/workspaces/{ws}": None,
    "POST /api/v1/workspaces/{ws}/recover": None,
    "POST /api/v1/workspaces/{ws}/purge": None,
    "POST /api/v1/workspaces/{ws}/jobs": {"spec": HELLO},
    f"PATCH {JOB}": {"description": "x"},
    f"DELETE {JOB}": None,
    f"POST {JOB}/cancel": None,
    f"POST {JOB}/archive": None,
    f"POST {JOB}/restore": None,
    f"POST {UPLOADS}": ANNOUNCEMENT,
    f"PUT {UPLOADS}/{{upload}}/content": None,
    f"POST {UPLOADS}/{{upload}}/seal": None,
    f"POST {UPLOADS}/{{upload}}/unpack": None,
    "POST /api/v1/workspaces/{ws}/environments": ENVIRONMENT_BODY,
    f"POST {VERSION}/build": None,
    **asset_writes("environments"),
    "POST /api/v1/workspaces/{ws}/components": {
        "spec": {"name": "new", "command": "echo", "environment": {"image": "debian:12"}}
    },
    f"POST {COMPONENT}/jobs": {"inputs": {}},
    **asset_writes("components"),
    "POST /api/v1/workspaces/{ws}/models": {"spec": {"name": "new", "path": "https://example.com/x.onnx"}},
    f"POST {MODEL}/versions/{{version}}/approve": {"note": "x"},
    **asset_writes("models"),
    f"POST {DATA}": {"spec": {"name": "new", "path": "https://example.com/x"}},
    **asset_writes("data"),
    f"POST {VERSION}/build/cancel": None,
    "POST /api/v1/workspaces/{ws}/environments/prune": {"dry_run": True},
    "POST /api/v1/workspaces/{ws}/datastores": {"spec": {"name": "d", "type": "gcs", "bucket": "b"}},
    f"PATCH {DATASTORE}": {"description": "x"},
    f"DELETE {DATASTORE}": None,
    f"PUT {DATASTORE}/authentication": {"credentials": None},
    f"POST {DATASTORE}/test": None,
    f"POST {DATASTORE}/default": None,
    "PATCH /api/v1/workspaces/{ws}/runs/{name}": {"is_starred": True},
    "PUT /api/v1/workspaces/{ws}/runs:directions": {"metric": "loss", "is_higher_better": False},
}
WRITES |= {
    "POST /api/v1/workspaces/{ws}/online-endpoints": {"spec": {"name": "iris-one"}},
    f"PATCH {ONLINE}": {"description": "x"},
    f"DELETE {ONLINE}": None,
    f"POST {ONLINE}/start": None,
    f"POST {ONLINE}/stop": None,
    f"POST {ONLINE}/list-keys": None,
    f"POST {ONLINE}/regenerate-keys": {"key_type": "primary"},
    f"POST {ONLINE}/token": None,
    f"POST {ONLINE}/invoke": {"data": []},
    f"GET {ONLINE}/swagger.json": None,
    f"POST {ONLINE}/deployments": {"spec": {"name": "blue"}},
    f"PUT {DEPLOYMENT}": {"spec": {"name": "blue"}},
    f"PATCH {DEPLOYMENT}": {"spec": {"instance_count": 2}},
    f"POST {DEPLOYMENT}/scale": {"instance_count": 2},
    f"DELETE {DEPLOYMENT}": None,
    f"PUT {SECRETS}/{{name}}": {"value": "sesame"},
    f"DELETE {SECRETS}/{{name}}": None,
}
WRITES |= {
    f"POST {ONLINE}/rollouts": {"deployment": "green"},
    f"POST {ONLINE}/rollouts/promote": {"full": True},
    f"POST {ONLINE}/rollouts/cancel": None,
    f"POST {ONLINE}/rollback": None,
    f"PUT {ONLINE}/alerts": {"alerts": []},
}
WRITES |= {
    f"POST {BATCHES}": {"spec": {"name": "new-batch"}},
    f"PATCH {BATCH}": {"description": "x"},
    f"POST {BATCH}/invoke": {"inputs": {"input": {"path": "azureml:j1:1"}}},
    f"POST {BATCH}/deployments": {"spec": {"name": "new", "model": "azureml:j1:1"}},
    f"PUT {BATCH}/deployments/{{deployment}}": {"spec": {"name": "new", "model": "azureml:j1:1"}},
    f"PATCH {BATCH}/deployments/{{deployment}}": {"spec": {"description": "x"}},
    f"DELETE {BATCH}/deployments/{{deployment}}": None,
    f"DELETE {BATCH}": None,
}
# Of a workspace, by a browser's cookie.
BROWSER_READS = {
    "GET /files/log/{ws}/{job}": "",
    "GET /files/requests/{ws}/{name}": "",
    "GET /files/requests-export/{ws}/{name}": "",
    "GET /files/artifact/{ws}/{job}": "path=user_logs/std_log.txt",
    "GET /files/output/{ws}/{job}": "name=model&path=a.txt",
    "GET /files/run-artifact/{ws}/{name}": "path=user_logs/std_log.txt",
    "GET /files/code/{ws}/{job}": "path=main.py",
    "GET /files/datastore/{ws}/{name}": "path=a.txt",
    "GET /files/model/{ws}/{name}": "path=MLmodel",
    "GET /files/model-archive/{ws}/{name}": "",
    "GET /files/archive/{ws}/{job}": "",
    "GET /files/runs-export/{ws}": "",
    "GET /files/data/{ws}/{name}": "path=a.csv",
}
BROWSER_WRITES: dict[str, Any] = {
    "POST /files/uploads/{ws}": ANNOUNCEMENT,
    "PUT /files/uploads/{ws}/{upload}": None,
    "POST /files/uploads/{ws}/{upload}/seal": None,
}
# Readers ask these with a body, by token or cookie; tests/api/test_tiles.py walks through them.
TILE = {"tile": {"id": "a", "type": "line", "metrics": ["loss"]}, "runs": ["j1"]}
ASKED: dict[str, Any] = {"POST /api/v1/workspaces/{ws}/tiles": TILE, "POST /files/tiles/{ws}": TILE}
# Above all workspaces: status for Ada who owns the install, for Cleo who has a role somewhere, for Dan who has none.
INSTALL: dict[str, tuple[int, int, int]] = {
    "GET /api/v1/openapi.json": (200, 200, 200),
    "HEAD /api/v1/openapi.json": (200, 200, 200),
    "GET /api/v1/whoami": (200, 200, 200),
    "GET /api/v1/workspaces": (200, 200, 403),
    "GET /api/v1/schemas": (200, 200, 200),
    "GET /api/v1/schemas/{kind}.schema.json": (200, 200, 200),
    "POST /api/v1/workspaces": (201, 403, 403),
    "GET /metrics": (200, 403, 403),
}
# Whoever is signed in; the screens ask for permission in the services, at every question.
SIGNED_IN = {
    "GET /mlflow/",
    "GET /files/run/{run}",
    "GET /files/experiment/{experiment}",
    "GET /files/plotly.js",
    "POST /auth/sign-out",
    "GET /_stcore/health",
    "HEAD /_stcore/health",
    "OPTIONS /_stcore/health",
    "GET /_stcore/host-config",
    "HEAD /_stcore/host-config",
    "GET /media/{file_id:path}",
    "HEAD /media/{file_id:path}",
    "OPTIONS /media/{file_id:path}",
    "GET /component/{path:path}",
    "HEAD /component/{path:path}",
    "OPTIONS /component/{path:path}",
    "GET /_stcore/bidi-components/{path:path}",
    "HEAD /_stcore/bidi-components/{path:path}",
    "OPTIONS /_stcore/bidi-components/{path:path}",
    "OPTIONS /app/static/{path:path}",
}
# Shut for everybody: Streamlit brings them along.
SHUT = {
    f"{method} {path}"
    for path, methods in {
        "/_stcore/metrics": "GET HEAD OPTIONS",
        "/_stcore/upload_file/{session_id}/{file_id}": "PUT DELETE OPTIONS",
        "/auth/login": "GET HEAD",
        "/auth/logout": "GET HEAD",
        "/oauth2callback": "GET HEAD",
        "/_stcore/agent/interact": "DELETE GET HEAD OPTIONS PATCH POST PUT",
        "/_stcore/agent/openapi.json": "DELETE GET HEAD OPTIONS PATCH POST PUT",
        "/_stcore/agent/mcp": "DELETE GET HEAD OPTIONS PATCH POST PUT",
    }.items()
    for method in methods.split()
}
NOTHING = {f"{method} /api/{{path:path}}" for method in ("GET", "POST", "PUT", "PATCH", "DELETE")}
FONTS = {"GET /app/static/{path:path}", "HEAD /app/static/{path:path}"}
SOCKETS = {"/_stcore/stream"}
MOUNTS = {"/mlflow", "/"}
DECIDED = (
    OPEN | set(READS) | set(PERSONAL) | set(WRITES) | set(BROWSER_READS) | set(BROWSER_WRITES) | set(INSTALL)
    | set(ASKED) | SIGNED_IN | SHUT | NOTHING | FONTS
)  # fmt: skip


def address(template: str) -> str:
    """With what exists on the stage in the places of the parameters."""
    values = {
        "ws": "lab",
        "name": "j1",
        "job": "j1",
        "version": "1",
        "upload": "ab" * 32,
        "output": "model",
        "label": "x",
    }
    values |= {"path:path": "user_logs/std_log.txt", "file_id:path": "x", "session_id": "x"}
    values |= {"run": "ab" * 16, "kind": "commandJob", "experiment": "7", "label": "x"}
    values |= {"id:path": "j1", "other": "j1", "view": "x", "board": "x", "rollout": "x"}
    template = template.replace("/lineage/{kind}", "/lineage/job")
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return (
        template.replace("{file_id}", "x")
        .replace("/experiments/j1", "/experiments/Default")
        .replace("/datastores/j1", "/datastores/workspaceblobstore")
    )


def asked(client: httpx.Client, door: str, body: Any = None, query: str = "") -> httpx.Response:
    method, path = door.split(" ", 1)
    return client.request(method, address(path) + (f"?{query}" if query else ""), json=body or None)
