"""What an endpoint takes and answers, as Swagger 2 and OpenAPI 3."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

ANYTHING = {"type": "object", "example": {}}
ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}
ALIASES = {"2": ("2", "2.0"), "3": ("3", "3.0", "3.1")}
FILES = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",)}
FAILED = "The service failed to execute due to an error."
SCORED = "The service processed the input correctly and provided a result prediction, if applicable."


def is_decorated(run: Callable[..., Any]) -> bool:
    """By `@input_schema` or `@output_schema`. Without inference-schema imported, nothing can be."""
    return "inference_schema.schema_decorators" in sys.modules and bool(_schemas().is_schema_decorated(run))


def of_script(run: Callable[..., Any], root: Path) -> dict[str, bytes]:
    """By version; what the script's folder brings replaces what its decorators say."""
    if not is_decorated(run):
        return {**documents(ANYTHING, ANYTHING), **of_folder(root)}
    schemas = _schemas()
    made = documents(schemas.get_input_schema(run), schemas.get_output_schema(run))
    told = schemas.get_supported_versions(run)
    made = {version: each for version, each in made.items() if f"{float(version)}" in told or version in told}
    return {**made, **of_folder(root)}


def of_folder(root: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for version, names in FILES.items():
        path = next((root / name for name in names if (root / name).is_file()), None)
        if path is not None:
            document = orjson.dumps(json.loads(path.read_text(encoding="utf-8")))
            found.update(dict.fromkeys(ALIASES[version], document))
    return found


def documents(taken: Any, given: Any) -> dict[str, bytes]:
    """By version, of the schemas of input and output."""
    two, three = orjson.dumps(_two(taken, given)), orjson.dumps(_three(taken, given))
    return {**dict.fromkeys(ALIASES["2"], two), **dict.fromkeys(ALIASES["3"], three)}


def _schemas() -> Any:
    return importlib.import_module("inference_schema.schema_util")


def _info() -> dict[str, str]:
    name = os.environ.get("SERVICE_NAME") or os.environ.get("ATELIER_DEPLOYMENT") or "ML service"
    about = f"API specification for the service {name}"
    return {"title": name, "description": about, "version": os.environ.get("SERVICE_VERSION") or "1.0"}


def _two(taken: Any, given: Any) -> dict[str, Any]:
    def answered(about: str, schema: Any) -> dict[str, Any]:
        failed = {"description": FAILED, "schema": {"$ref": "#/definitions/ErrorResponse"}}
        return {"200": {"description": about, "schema": schema}, "default": failed}

    score = {
        "operationId": "RunMLService",
        "description": "Run web service's model and get the prediction output",
        "security": [{"Bearer": []}],
        "parameters": [{"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}],
        "responses": answered(SCORED, {"$ref": "#/definitions/ServiceOutput"}),
    }
    return {
        "swagger": "2.0",
        "info": _info(),
        "schemes": ["https", "http"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "paths": {
            "/": {"get": {"operationId": "ServiceHealthCheck", "responses": answered("Healthy", {"type": "string"})}},
            "/score": {"post": score},
        },
        "definitions": {"ServiceInput": taken, "ServiceOutput": given, "ErrorResponse": ERROR},
    }


def _three(taken: Any, given: Any) -> dict[str, Any]:
    def content(schema: Any, kind: str = "application/json") -> dict[str, Any]:
        return {"content": {kind: {"schema": schema}}}

    def answered(about: str, body: dict[str, Any]) -> dict[str, Any]:
        failed = {"description": FAILED, **content({"$ref": "#/components/schemas/ErrorResponse"})}
        return {"200": {"description": about, **body}, "default": failed}

    health = answered("Healthy", content({"type": "string"}, "text/plain"))
    score = {
        "operationId": "RunMLService",
        "description": "Run web service's model and get the prediction output",
        "requestBody": content({"$ref": "#/components/schemas/ServiceInput"}),
        "responses": answered(SCORED, content({"$ref": "#/components/schemas/ServiceOutput"})),
    }
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.0.3",
        "info": _info(),
        "security": [{"Bearer": []}],
        "paths": {
            "/": {"get": {"operationId": "ServiceHealthCheck", "responses": health}},
            "/score": {"post": score},
        },
        "components": {
            "schemas": {"ServiceInput": taken, "ServiceOutput": given, "ErrorResponse": ERROR},
            "securitySchemes": {"Bearer": bearer},
        },
    }
