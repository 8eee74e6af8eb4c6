"""How endpoints are spoken of and painted: their health in one word, a colour for each deployment."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.core.states import ProvisioningState
from services.core.times import spoken
from services.specs.sizes import GIB, size_of
from services.store.serving import Deployment, Endpoint

AUTH = {"key": "Key", "aml_token": "Token", "aad_token": "Sign-in token"}
SERVERS = {
    "script": "Scoring script",
    "mlflow": "MLflow model, no code",
    "azureml": "azureml-inference-server-http",
    "custom": "The image's own server",
}
_MOVING = frozenset({ProvisioningState.Creating, ProvisioningState.Updating, ProvisioningState.Deleting})
_TONES = ("blue", "green", "orange", "violet", "teal", "pink", "gray")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
LONGEST_NAME = 32
OFFERED = (
    "Standard_B1s",
    "Standard_F2s_v2",
    "Standard_DS2_v2",
    "Standard_F4s_v2",
    "Standard_DS3_v2",
    "Standard_E4s_v3",
    "Standard_F8s_v2",
    "Standard_DS4_v2",
    "Standard_DS5_v2",
)


def health(endpoint: Endpoint, deployments: Sequence[Deployment]) -> str:
    """Deleting, Stopped, Failed, Updating, Empty, Asleep or Healthy: the first that is true."""
    states = {endpoint.provisioning_state, *(each.provisioning_state for each in deployments)}
    if endpoint.desired == "delete":
        return "Deleting"
    if endpoint.desired == "stop":
        return "Stopped"
    if ProvisioningState.Failed in states:
        return "Failed"
    if states & _MOVING:
        return "Updating"
    if not deployments:
        return "Empty"
    used = [each for each in deployments if endpoint.traffic.get(each.name)] or deployments
    return "Asleep" if all(each.is_asleep for each in used) else "Healthy"


def is_moving(endpoint: Endpoint, deployments: Sequence[Deployment]) -> bool:
    """Whether something is under way that a person would wait for."""
    return endpoint.desired == "delete" or any(
        each.provisioning_state in _MOVING or each.desired == "delete" for each in deployments
    )


def tones(deployments: Sequence[Deployment]) -> dict[str, str]:
    """A colour for each name: its own where it is called after one, as blue and green are."""
    named = {each.name: tone for each in deployments if (tone := each.name.casefold()) in _TONES}
    free = [tone for tone in _TONES if tone not in named.values()] or list(_TONES)
    others = [each.name for each in deployments if each.name not in named]
    return named | {name: free[place % len(free)] for place, name in enumerate(others)}


def proposed(words: str, taken: Sequence[str], fallback: str = "endpoint") -> str:
    """A free name made of `words`: letters, digits and dashes, 3 to 32 of them."""
    stem = _NOT_IN_NAMES.sub("-", words.casefold()).strip("-").lstrip("0123456789-")[:LONGEST_NAME].rstrip("-")
    stem = stem if len(stem) > 2 else f"{fallback}-{stem}".rstrip("-")
    known, found, number = {name.casefold() for name in taken}, stem, 2
    while found in known:
        ending = f"-{number}"
        found, number = stem[: LONGEST_NAME - len(ending)].rstrip("-") + ending, number + 1
    return found


def next_deployment(taken: Sequence[str]) -> str:
    """Blue, then green, as rollouts are told; numbers when both are there."""
    known = {name.casefold() for name in taken}
    return next((name for name in ("blue", "green") if name not in known), "") or proposed("blue", taken)


def sized(instance_type: str | None, resources: Mapping[str, Any] | None, host: Mapping[str, Any] | None) -> str:
    """What one instance may use, in words: `2 CPUs, 7 GiB`."""
    found = size_of(instance_type, resources, cpus=_of(host, "cpus"), memory=_of(host, "memory"))
    return f"{found.cpus:g} CPU{'s' if found.cpus != 1 else ''}, {found.memory / GIB:.3g} GiB"


def sizes(host: Mapping[str, Any] | None) -> dict[str, str]:
    """Sizes that fit on this host, in words; the first one is what an instance gets when none is named."""
    cpus, memory = _of(host, "cpus"), _of(host, "memory")
    fitting = [name for name in OFFERED if not size_of(name, None, cpus=cpus, memory=memory).note]
    return {"": f"As usual · {sized(None, None, host)}"} | {
        name: f"{name} · {sized(name, None, host)}" for name in fitting
    }


def _of(host: Mapping[str, Any] | None, what: str) -> int:
    """What the engine says that it has; without one, as much as anybody may want."""
    return int((host or {}).get(what) or 1 << 60)


def milliseconds(value: float | None) -> str:
    """`3.2 ms`, `480 ms`, `1.2 s`; empty without one."""
    if value is None:
        return ""
    if value < 1000:
        return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
    return spoken(value / 1000) if value >= 10_000 else f"{value / 1000:.3g} s"


def scaling(spec: Mapping[str, Any]) -> str:
    """How many instances there are, in words."""
    said = spec.get("scale_settings") or {}
    if said.get("type") != "target_utilization":
        return "By hand"
    low, high = said.get("min_instances"), said.get("max_instances")
    sleeps = f"asleep after {spoken(said.get('scale_to_zero_after') or 300)} without a request" if low == 0 else ""
    target = said.get("target_utilization_percentage")
    aim = f" at {target} % use" if target else " by use"
    return f"{1 if low is None else low}–{high or 1} instances{aim}" + (f", {sleeps}" if sleeps else "")
