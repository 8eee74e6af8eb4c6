"""V3: from the wish for a deployment to the first 200 through the gateway; its image is there already.

Beside it the very same server, started by hand in the same image from the same files, until it answers itself.
"""

import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from docker.types import Mount

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import Running, atelier, until

PEER = "the bare server's own start in a container"
UNIT = "wall"
ROUNDS = 5
BAR = 2.0
ENDPOINT = "bench"
CODE = "import sklearn.linear_model\ndef init():\n    pass\ndef run(raw_data):\n    return [1.0]\n"
ENVIRONMENT = {
    "image": "python:3.11",
    "conda_file": {"dependencies": ["python=3.11", {"pip": ["scikit-learn", "numpy"]}]},
}


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with atelier() as studio:
        key, uri = opened(studio)
        snapshot = sent(studio, CODE.encode())
        deploy(studio, "warm", snapshot)
        until(lambda: state(studio, "warm") == "Succeeded", pause=0.1)
        for number in range(rounds):
            yield ours(studio, f"round-{number}", snapshot, key, uri), theirs(studio, f"round-{number}")
            studio.client.delete(f"/online-endpoints/{ENDPOINT}/deployments/round-{number}").raise_for_status()


def ours(studio: Running, name: str, snapshot: str, key: str, uri: str) -> Cost:
    """The processor's seconds are those of the studio's processes, not of the container."""
    meter = Meter(studio.pid)
    deploy(studio, name, snapshot)
    until(lambda: asked(uri, key, name) == 200, pause=0.01)
    return meter.read()


def theirs(studio: Running, name: str) -> Cost:
    """What the replica was started with, without the studio's entry, log, network and probes."""
    client = studio.engine.client
    (one,) = studio.engine.found({"atelier.kind": "replica", "atelier.name": f"{ENDPOINT}/{name}"})
    facts = client.inspect_container(one.id)
    variables = next(each["Source"] for each in facts["Mounts"] if each["Destination"] == "/studio/variables")
    given = dict(
        shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in Path(variables).read_text().splitlines()
    )
    shown = [each for each in facts["Mounts"] if each["Type"] == "bind"]
    code = client.inspect_volume(next(each["Name"] for each in facts["Mounts"] if each["Type"] == "volume"))
    lower = code["Options"]["o"].split("lowerdir=")[1].split(",")[0].split(":")[0]
    mounts = [Mount(each["Destination"], each["Source"], type="bind", read_only=True) for each in shown]
    mounts.append(Mount(given["AML_APP_ROOT"], lower, type="bind", read_only=True))
    meter = Meter()
    made = client.create_container(
        facts["Config"]["Image"],
        entrypoint=["python", "/studio/serve/main.py", "--host", "0.0.0.0", "--port", "5001"],
        environment=given,
        labels={"atelier.install": studio.engine.install},
        host_config=client.create_host_config(mounts=mounts),
    )
    try:
        client.start(made["Id"])
        address = client.inspect_container(made["Id"])["NetworkSettings"]["IPAddress"]
        until(lambda: answers(f"http://{address}:5001/score"), pause=0.01, seconds=60)
        return meter.read()
    finally:
        client.remove_container(made["Id"], force=True)


def opened(studio: Running) -> tuple[str, str]:
    """Its key and its address."""
    made = studio.client.post("/online-endpoints", json={"spec": {"name": ENDPOINT}}).raise_for_status().json()
    keys = studio.client.post(f"/online-endpoints/{ENDPOINT}/list-keys").raise_for_status().json()
    return keys["primaryKey"], made["scoring_uri"]


def sent(studio: Running, script: bytes) -> str:
    """The snapshot of a folder with only this script; it is there as data too, which passes for a model."""
    return [_sent(studio, script, kind) for kind in ("data", "code")][-1]


def _sent(studio: Running, script: bytes, kind: str) -> str:
    from app.cli import upload
    from services.specs.code import manifest

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "score.py").write_bytes(script)
        found = manifest(Path(folder))
        entries = [{"path": each.path, "size": each.size, "sha256": each.sha256} for each in found.entries]
        state = studio.client.post("/uploads", json={"kind": kind, "entries": entries}).raise_for_status().json()
        if not state["complete"] and state["missing"]:
            total = sum(each.size for each in found.entries)
            missing = [(each["path"], each["offset"]) for each in state["missing"]]
            content = b"".join(upload._pieces(found, missing, total, kind))
            put = studio.client.put(f"/uploads/{state['id']}/content", content=content)
            state = put.raise_for_status().json()
        if not state["complete"]:
            studio.client.post(f"/uploads/{state['id']}/seal").raise_for_status()
    return found.id


def deploy(studio: Running, name: str, snapshot: str, **fields: Any) -> None:
    spec = {
        "name": name,
        "model": {"path": f"azureml://uploads/{snapshot}/score.py"},
        "code_configuration": {"code": "src", "scoring_script": "score.py"},
        "environment": ENVIRONMENT,
        **fields,
    }
    body = {"spec": spec, "snapshot": snapshot, "code_name": "src"}
    answer = studio.client.post(f"/online-endpoints/{ENDPOINT}/deployments", json=body)
    assert answer.status_code == 201, answer.text


def state(studio: Running, name: str) -> str:
    found = studio.client.get(f"/online-endpoints/{ENDPOINT}/deployments/{name}").raise_for_status().json()
    assert found["provisioning_state"] != "Failed", json.dumps(found["message"])
    return str(found["provisioning_state"])


def asked(uri: str, key: str, deployment: str) -> int:
    """The code of the answer."""
    headers = {"Authorization": f"Bearer {key}", "azureml-model-deployment": deployment}
    return httpx.post(uri, json={}, headers=headers, trust_env=False, timeout=60).status_code


def answers(url: str) -> bool:
    try:
        return httpx.post(url, json={}, trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
