"""What of MLflow's interface is let through, and the permission that each call needs. Everything else is 404."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

RUN, EXPERIMENT, MODEL = "jobs", "experiments", "models"
Owned = Literal["", "run", "model", "people"]


@dataclass(frozen=True)
class Rule:
    """`action` is below workspaces/. `owned` says what a job's token must own to make this call: the run in the
    body, the logged model in the address, or nothing that a job could ever own ("people")."""

    methods: frozenset[str]
    path: re.Pattern[str]
    action: str
    owned: Owned = ""
    artifact: bool = False


def _rule(methods: str, path: str, action: str, *, owned: Owned = "", artifact: bool = False) -> Rule:
    return Rule(frozenset(methods.split()), re.compile(rf"\A{path}\Z", re.ASCII), action, owned, artifact)


_V = r"/api/[23]\.0/mlflow"
_ID = r"[A-Za-z0-9_.-]{1,255}"
RULES = (
    _rule("GET", r"/(?:health|version)", f"{RUN}/read"),
    _rule("GET", rf"{_V}/server-info", f"{RUN}/read"),
    _rule("GET", rf"{_V}/experiments/(?:get|get-by-name|list)", f"{EXPERIMENT}/read"),
    _rule("GET POST", rf"{_V}/experiments/search", f"{EXPERIMENT}/read"),
    _rule("POST", rf"{_V}/experiments/(?:create|set-experiment-tag)", f"{EXPERIMENT}/write"),
    _rule("POST", rf"{_V}/experiments/(?:update|restore)", f"{EXPERIMENT}/write", owned="people"),
    _rule("POST", rf"{_V}/experiments/(?:delete|delete-experiment-tag)", f"{EXPERIMENT}/delete", owned="people"),
    _rule("GET", rf"{_V}/runs/get", f"{RUN}/read"),
    _rule("POST", rf"{_V}/runs/search", f"{RUN}/read"),
    _rule("GET", rf"{_V}/metrics/(?:get-history|get-history-bulk|get-history-bulk-interval)", f"{RUN}/read"),
    _rule("GET", rf"{_V}/artifacts/list", f"{RUN}/read"),
    _rule("POST", rf"{_V}/runs/create", f"{RUN}/write"),
    _rule(
        "POST", rf"{_V}/runs/(?:update|set-tag|delete-tag|log-metric|log-batch|log-model)", f"{RUN}/write", owned="run"
    ),
    _rule("POST", rf"{_V}/runs/(?:log-parameter|log-inputs|outputs|log-outputs)", f"{RUN}/write", owned="run"),
    _rule("POST", rf"{_V}/runs/(?:delete|restore)", f"{RUN}/delete", owned="run"),
    _rule("POST", rf"{_V}/logged-models/search", f"{MODEL}/read"),
    _rule("GET", rf"{_V}/logged-models/{_ID}(?:/artifacts/directories)?", f"{MODEL}/read"),
    _rule("POST", rf"{_V}/logged-models", f"{MODEL}/write", owned="run"),
    _rule("POST", rf"{_V}/logged-models/{_ID}/params", f"{MODEL}/write", owned="model"),
    _rule("PATCH", rf"{_V}/logged-models/{_ID}(?:/tags)?", f"{MODEL}/write", owned="model"),
    _rule("DELETE", rf"{_V}/logged-models/{_ID}(?:/tags/[^/]{{1,255}})?", f"{MODEL}/delete", owned="model"),
    _rule("GET POST", rf"{_V}/(?:registered-models|model-versions)/(?:search|get-latest-versions)", f"{MODEL}/read"),
    _rule("GET", rf"{_V}/(?:registered-models|model-versions)/(?:get|alias|get-download-uri)", f"{MODEL}/read"),
    _rule("POST", rf"{_V}/(?:registered-models|model-versions)/(?:create|rename|set-tag|alias)", f"{MODEL}/write"),
    _rule("POST", rf"{_V}/registered-models/update|{_V}/model-versions/transition-stage", f"{MODEL}/write"),
    _rule("PATCH", rf"{_V}/(?:registered-models|model-versions)/update", f"{MODEL}/write"),
    _rule("DELETE", rf"{_V}/(?:registered-models|model-versions)/(?:delete-tag|alias)", f"{MODEL}/delete"),
    _rule("DELETE", rf"{_V}/(?:registered-models|model-versions)/delete", f"{MODEL}/delete", owned="people"),
    _rule("GET HEAD", r"/api/2\.0/mlflow-artifacts/artifacts(?:/.*)?", f"{RUN}/read", artifact=True),
    _rule("PUT", r"/api/2\.0/mlflow-artifacts/artifacts/.+", f"{RUN}/write", artifact=True),
    _rule("DELETE", r"/api/2\.0/mlflow-artifacts/artifacts/.+", f"{RUN}/delete", artifact=True),
    _rule("POST", r"/api/2\.0/mlflow-artifacts/mpu/(?:create|complete|abort)/.+", f"{RUN}/write", artifact=True),
)


@lru_cache(maxsize=1024)
def rule_for(method: str, path: str) -> Rule | None:
    """`path` is below the prefix, decoded once as the server decodes it."""
    return next((rule for rule in RULES if method in rule.methods and rule.path.match(path)), None)


def is_plain(path: str) -> bool:
    """Whether a path means the same however often it is decoded, and stays inside of where it points."""
    seen = path
    for _ in range(5):
        decoded = unquote(seen)
        if any(part in {"..", "."} for part in re.split(r"[/\\]", decoded)) or "\\" in decoded or "\0" in decoded:
            return False
        if any(char in decoded for char in "#?;"):
            return False
        if decoded == seen:
            return True
        seen = decoded
    return False
