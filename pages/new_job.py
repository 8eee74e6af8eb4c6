"""New job: form and YAML side by side, code from files or a folder, checked, then submitted."""

from pathlib import PurePosixPath

import pandas as pd
import streamlit as st

from app import context
from app.ui import address, jobform, parts, upload
from app.ui.text import plain, tag
from services import environments, experiments, jobs
from services.assets import AssetQuery
from services.core.errors import AtelierError, Invalid
from services.specs import source
from services.specs.jobs import CommandJob
from services.specs.problems import checked
from services.store.rows import Job

TABLES = {
    "inputs": ("Inputs", {"name": None, "type": jobform.INPUT_TYPES, "value": None, "mode": jobform.MODES}),
    "outputs": ("Outputs", {"name": None, "type": jobform.OUTPUT_TYPES, "path": None}),
    "environment_variables": ("Environment variables", {"name": None, "value": None}),
}


def form(copied: Job | None) -> upload.Sent | None:
    """The left side; what was sent as code, if anything."""
    with context.scope() as s:
        known = [f"azureml:{row.name}@latest" for row in environments.listed(s, AssetQuery(limit=1000)).rows]
        named = [each.experiment.name for each in experiments.listed(s)]
    one, two = st.columns(2, gap="small")
    one.text_input("Display name", key=jobform.box("display_name"), on_change=jobform.wrote, args=("display_name",))
    two.text_input(
        "Experiment",
        key=jobform.box("experiment_name"),
        on_change=jobform.wrote,
        args=("experiment_name",),
        help=plain(", ".join(named[:5])) or None,
    )
    st.text_area("Command", key=jobform.box("command"), height=96, on_change=jobform.wrote, args=("command",))
    st.html(tag("div", "Code", cls="at-label"))
    start = upload.Sent(copied.snapshot_id, f"the code of {copied.name}", 0) if copied and copied.snapshot_id else None
    sent = upload.area(f"code:{copied.name if copied else ''}", "code", "Drop a folder or files here", start=start)
    held = jobform.value().get("environment")
    chosen = jobform.environment_word(held)
    options = [*known, *([chosen] if chosen and chosen not in known else [])]
    st.selectbox(
        "Environment",
        options,
        key=jobform.box("environment"),
        accept_new_options=True,
        index=None,
        placeholder="As the YAML says" if held else "Choose one, or type an image such as python:3.11",
        on_change=jobform.wrote_environment,
    )
    for kind in TABLES:
        rows(kind)
    with st.expander("More"):
        st.text_area(
            "Description", key=jobform.box("description"), height=68, on_change=jobform.wrote, args=("description",)
        )
        st.text_input("Tags", key=jobform.box("tags"), placeholder="team=vision, seed=1", on_change=jobform.wrote_tags)
        one, two = st.columns(2, gap="small")
        one.text_input(
            "Compute", key=jobform.box("compute"), placeholder="local", on_change=jobform.wrote, args=("compute",)
        )
        two.number_input(
            "Timeout (hours)",
            key=jobform.box("timeout"),
            min_value=0.0,
            value=None,
            step=0.5,
            on_change=jobform.wrote_timeout,
        )
        data()
    return sent


def rows(kind: str) -> None:
    title, columns = TABLES[kind]
    held = jobform.rows(kind)
    with st.expander(f"{title} ({len(held)})" if held else title, expanded=bool(held)):
        st.data_editor(
            pd.DataFrame(held, columns=list(columns), dtype="object"),
            key=jobform.editor(kind),
            num_rows="dynamic",
            on_change=jobform.wrote_rows,
            args=(kind,),
            column_config={
                name: st.column_config.SelectboxColumn(name.capitalize(), options=list(options))
                if options
                else st.column_config.TextColumn(name.capitalize())
                for name, options in columns.items()
            },
        )


def data() -> None:
    """Local data becomes an input that lies in the workspace's default datastore."""
    st.html(tag("div", "Upload data as an input", cls="at-label"))
    sent = upload.area("data", "data", "Drop a data file or folder here")
    if sent is None or context.recall("data_sent") == sent.id:
        return
    context.remember("data_sent", sent.id)
    name = PurePosixPath(sent.name).stem.replace(" ", "_").replace(".", "_") or "data"
    kind, path = ("uri_file", f"{sent.id}/{sent.single}") if sent.single else ("uri_folder", f"{sent.id}/")
    context.remember("add_input", (name, {"type": kind, "path": f"azureml://uploads/{path}"}))
    st.rerun()


def spec() -> CommandJob:
    """What the YAML says, as a job. Raises Invalid with the line."""
    written = source.load(jobform.text(), file="job.yml")
    kind = written.value.get("type", "command")
    if kind != "command":
        raise Invalid(f"Jobs of type '{kind}' are not run by this version.", where=written.where(("type",)))
    found = checked(CommandJob, written.value, written)
    for name, each in found.data().items():
        if "://" not in each.path and not each.path.startswith("azureml:"):
            hint = "Upload it under 'More', or name a datastore path or a URL."
            raise Invalid(
                f"'{each.path}' is on your machine.", where=written.where(("inputs", name, "path")), hint=hint
            )
    return found.model_copy(update={"code": None})


def submit(code: upload.Sent | None) -> str | None:
    try:
        wanted = spec()
        with context.scope(write=True) as s:
            made = jobs.submit(s, wanted, source=jobform.text(), snapshot=code.id if code else None)
    except AtelierError as error:
        context.show(error)
        return None
    context.done(f"Job '{made.display_name}' was submitted.")
    jobform.over()
    return made.name


def check() -> None:
    try:
        found = spec()
        with context.scope(write=True) as s:
            environments.resolve(s, found.environment)
    except AtelierError as error:
        context.show(error)
        return
    for sentence in found.warnings():
        parts.banner("orange", sentence)
    parts.banner("green", "This can be submitted.")


copied = None
if origin := address.text("from"):
    with context.scope() as scope:
        copied = jobs.get(scope, origin)
written = {
    key: each for key, each in (copied.spec if copied else jobform.STARTER).items() if key not in {"name", "code"}
}
if (added := context.recall("add_input")) is not None:
    context.forget("add_input")
    jobform.add_input(*added)
jobform.begin(f"{context.workspace_name()}:{origin}", jobform.bare(written))
reason = context.may("jobs/write")
with parts.header(
    "New job",
    crumbs=[("Jobs", context.link("jobs"))],
    below=f"From {copied.display_name or copied.name}" if copied else None,
):
    parts.cli("atelier job create -f job.yml --stream")
    validate = st.button("Validate", icon=":material/rule:")
    send = st.button("Submit", type="primary", icon=":material/play_arrow:", disabled=bool(reason), help=reason or None)
answer = st.container()
left, right = st.columns([1, 1], gap="medium")
with left:
    code = form(copied)
with right, st.container(key="yaml"):
    st.text_area("job.yml", key=jobform.text_box(), height=640, on_change=jobform.typed)
with answer:
    name = submit(code) if send else None
    if validate:
        check()
if name:
    context.go("job", job=name)
