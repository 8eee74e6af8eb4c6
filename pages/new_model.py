"""Register a model: where its files are, what it is called, and what was found in them."""

import streamlit as st

from app import context
from app.ui import modelforms, parts
from app.ui.text import plain, tag
from services.core.errors import AtelierError

with parts.header("Register model", crumbs=[("Models", context.link("models"))]):
    parts.cli(
        "atelier model create --name iris --path ./model",
        "atelier model create --name iris --path azureml://jobs/JOB/outputs/artifacts/paths/model",
        "atelier model create --name iris --path runs:/RUN/model",
    )
left, right = st.columns([3, 2], gap="small")
with left:
    parts.section("1 Files")
    path = modelforms.place()
    facts = modelforms.seen(path) if path else None
    parts.section("2 Settings")
    given = modelforms.settings("mlflow_model" if facts and "flavors" in facts else "custom_model")
    parts.section("3 Review")
    blocked = "" if facts is not None else "Say first where its files are."
    blocked = blocked or ("" if given["name"] else "Give it a name.")
    if parts.act("Register", "models/write", primary=True, blocked=blocked):
        made = None
        try:
            made = modelforms.create(path, given)
        except AtelierError as error:
            context.show(error)
        if made is not None:
            context.done(f"Model '{made.name}:{made.version}' was registered.")
            context.go("model", name=made.name, version=made.version)
with right:
    if facts is None:
        st.html(parts.panel("What is there", tag("div", "Nothing is chosen yet.", cls="at-none")))
    else:
        lines = [("Path", tag("span", plain(path, 500), cls="at-mono")), *modelforms.found(facts)]
        st.html(parts.panel("What is there", parts.properties(lines)))
        if facts == {}:
            sentence = "The files lie elsewhere and are not looked at before they are used."
            st.html(tag("p", sentence, cls="at-muted"))
