"""Deploy a model: from a registered version to an address that answers, on one screen."""

from pathlib import Path

import streamlit as st

from app import context
from app.ui import endpoint_wizard, endpoint_words, parts
from app.ui.endpoint_wizard import Wanted
from app.ui.text import join, plain, tag
from services import deployments, endpoints
from services.core.errors import AtelierError
from services.specs import source
from services.specs.deployments import OnlineDeployment
from services.specs.endpoints import OnlineEndpoint
from services.specs.problems import checked

ENDPOINT = "https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json"
DEPLOYMENT = "https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json"
STYLE = Path(endpoint_wizard.__file__).parent / "assets" / "endpoints.css"


def written(wanted: Wanted) -> tuple[str, str]:
    """The YAML of both; the first is empty where the endpoint is there already."""
    endpoint = source.dump({"$schema": ENDPOINT, **wanted.endpoint}) if wanted.existing is None else ""
    return endpoint, source.dump({"$schema": DEPLOYMENT, **wanted.deployment})


def review(wanted: Wanted) -> None:
    """What will be there, and what is missing still."""
    endpoint_wizard.step(7, "Review", done=not wanted.wrong)
    model, deployment = wanted.model, wanted.deployment
    count = deployment["instance_count"]
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


def create(wanted: Wanted) -> str:
    """The endpoint's name; empty after it was said what is wrong. Either both are made or nothing."""
    try:
        spec = checked(OnlineDeployment, wanted.deployment)
        with context.scope(write=True) as s:
            if wanted.existing is None:
                endpoints.create(s, checked(OnlineEndpoint, wanted.endpoint))
            name = str(wanted.deployment["endpoint_name"])
            code = wanted.code
            deployments.create(
                s,
                name,
                spec,
                snapshot=code.id if code is not None else None,
                code_name=endpoint_wizard.code_name(code) if code is not None else "",
                all_traffic=wanted.all_traffic,
            )
    except AtelierError as error:
        context.show(error)
        return ""
    context.done(f"Deployment '{wanted.deployment['name']}' is on its way.")
    return name


def hints(wanted: Wanted | None) -> list[str]:
    """The same on the command line."""
    endpoint = "atelier online-endpoint create --file endpoint.yml"
    deployment = "atelier online-deployment create --file deployment.yml"
    if wanted is None:
        return [endpoint, f"{deployment} --all-traffic"]
    line = f"{deployment} --all-traffic" if wanted.all_traffic else deployment
    return [line] if wanted.existing is not None else [endpoint, line]


st.html(STYLE)
actions = parts.header("Deploy a model", crumbs=[("Endpoints", context.link("endpoints"))])
left, right = st.columns([3, 2], gap="medium")
with left:
    answer = st.container()
    wanted = endpoint_wizard.filled(endpoint_words.sizes(context.fact("engine")))
    if wanted is None:
        st.html(parts.button("Register model", context.link("new_model"), glyph="add", primary=True))
made = ""
with actions:
    parts.cli(*hints(wanted))
    if wanted is not None:
        blocked = wanted.wrong[0] if wanted.wrong else ""
        action = "onlineEndpoints/deployments/write"
        if parts.act("Create", action, primary=True, blocked=blocked, glyph="rocket_launch"):
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
if made:
    context.go("endpoint", name=made)
