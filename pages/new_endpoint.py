"""Deploy a model: from a registered version to an address that answers, on one screen."""

from pathlib import Path

import streamlit as st

from app import context
from app.ui import endpoint_wizard, endpoint_words, parts
from app.ui.endpoint_wizard import BATCH, ONLINE, Wanted
from app.ui.text import join, plain, tag
from services import batch_endpoints, deployments, endpoints
from services.core.errors import AtelierError
from services.specs import source
from services.specs.deployments import ModelBatchDeployment, OnlineDeployment
from services.specs.endpoints import BatchEndpoint, OnlineEndpoint
from services.specs.problems import checked
from services.studio import Scope

SCHEMAS = "https://azuremlschemas.azureedge.net/latest/{}.schema.json"
ENDPOINTS = {ONLINE: "managedOnlineEndpoint", BATCH: "batchEndpoint"}
DEPLOYMENTS = {ONLINE: "managedOnlineDeployment", BATCH: "modelBatchDeployment"}
STYLE = Path(endpoint_wizard.__file__).parent / "assets" / "endpoints.css"


def written(wanted: Wanted) -> tuple[str, str]:
    """The YAML of both; the first is empty where the endpoint is there already."""
    first, second = (SCHEMAS.format(names[wanted.kind]) for names in (ENDPOINTS, DEPLOYMENTS))
    endpoint = source.dump({"$schema": first, **wanted.endpoint}) if wanted.existing is None else ""
    return endpoint, source.dump({"$schema": second, **wanted.deployment})


def review(wanted: Wanted) -> None:
    """What will be there, and what is missing still."""
    endpoint_wizard.step(7, "Review", done=not wanted.blocked)
    model, deployment = wanted.model, wanted.deployment
    count = deployment.get("instance_count") or (deployment.get("resources") or {}).get("instance_count", 1)
    sentence = join(
        (
            tag("b", plain(f"{model.name}:{model.version}", 120)),
            " as ",
            tag("b", plain(deployment["name"], 40)),
            " behind the new endpoint " if wanted.existing is None else " behind the endpoint ",
            tag("b", plain(deployment["endpoint_name"], 40)),
            f", {count} instance{'s' if count > 1 else ''}.",
        )
    )
    st.html(tag("p", sentence, cls="at-hint"))
    for each in wanted.wrong[:4]:
        st.html(tag("p", each, cls="at-wrong"))
    if wanted.missing:
        st.html(tag("p", tag("b", "Still needed: "), " ".join(wanted.missing), cls="at-hint"))


def create(wanted: Wanted) -> str:
    """The endpoint's name; empty after it was said what is wrong. Either both are made or nothing."""
    try:
        with context.scope(write=True) as s:
            (_batch if wanted.kind == BATCH else _online)(s, wanted)
    except AtelierError as error:
        context.show(error)
        return ""
    context.done(f"Deployment '{wanted.deployment['name']}' {'is there' if wanted.kind == BATCH else 'is on its way'}.")
    return str(wanted.deployment["endpoint_name"])


def _online(scope: Scope, wanted: Wanted) -> None:
    spec, code = checked(OnlineDeployment, wanted.deployment), wanted.code
    if wanted.existing is None:
        endpoints.create(scope, checked(OnlineEndpoint, wanted.endpoint))
    deployments.create(
        scope,
        wanted.deployment["endpoint_name"],
        spec,
        snapshot=code.id if code is not None else None,
        code_name=endpoint_wizard.code_name(code) if code is not None else "",
        all_traffic=wanted.is_first,
    )


def _batch(scope: Scope, wanted: Wanted) -> None:
    spec, code = checked(ModelBatchDeployment, wanted.deployment), wanted.code
    if wanted.existing is None:
        batch_endpoints.create(scope, checked(BatchEndpoint, wanted.endpoint))
    batch_endpoints.create_deployment(
        scope,
        wanted.deployment["endpoint_name"],
        spec,
        snapshot=code.id if code is not None else None,
        set_default=wanted.is_first,
    )


def hints(wanted: Wanted | None) -> list[str]:
    """The same on the command line."""
    kind, first = ("batch", "--set-default") if wanted and wanted.kind == BATCH else ("online", "--all-traffic")
    endpoint = f"atelier {kind}-endpoint create --file endpoint.yml"
    deployment = f"atelier {kind}-deployment create --file deployment.yml"
    line = f"{deployment} {first}" if wanted is None or wanted.is_first else deployment
    return [line] if wanted is not None and wanted.existing is not None else [endpoint, line]


st.html(STYLE)
actions = parts.header("Deploy a model", crumbs=[("Endpoints", context.link("endpoints"))])
left, right = st.columns([3, 2], gap="medium")
with left:
    answer = st.container()
    wanted = endpoint_wizard.filled(endpoint_wizard.kind(), endpoint_words.sizes(context.fact("engine")))
    if wanted is None:
        st.html(parts.button("Register model", context.link("new_model"), glyph="add", primary=True))
made = ""
with actions:
    parts.cli(*hints(wanted))
    if wanted is not None:
        action = f"{wanted.kind}Endpoints/deployments/write"
        if parts.act("Create", action, primary=True, blocked=wanted.blocked, glyph="rocket_launch"):
            with answer:
                made = create(wanted)
if wanted is not None:
    with right, st.container(key="endpoint_yaml"):
        review(wanted)
        above, below = written(wanted)
        if above:
            parts.section("endpoint.yml")
            st.code(above, "yaml", wrap_lines=True)
        parts.section("deployment.yml")
        st.code(below, "yaml", wrap_lines=True)
if made and wanted is not None:
    context.go("batch_endpoint" if wanted.kind == BATCH else "endpoint", name=made)
