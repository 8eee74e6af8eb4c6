"""A model put behind an address: numbered steps on one screen, each filled in so that Create works at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app import context
from app.ui import address, endpoint_scaling, endpoint_words, forms, modelforms, upload
from app.ui.text import plain, tag
from services import assets, batch_endpoints, endpoints, environments, uploads
from services.assets import AssetQuery
from services.core.states import AssetKind
from services.engines.files import walk
from services.specs.endpoints import endpoint_name
from services.store.endpoints import EndpointQuery
from services.store.rows import Asset
from services.store.serving import Deployment, Endpoint
from services.studio import Scope

MOST = 500
ONLINE, BATCH = "online", "batch"
KINDS = {
    ONLINE: ("Real-time", "It answers at once, at an address of its own."),
    BATCH: ("Batch", "It works through whole files, as a job for each call."),
}
NEW, EXISTING = "New endpoint", "Existing endpoint"
MLFLOW = "mlflow_model"
SCRIPT = "score.py"
ACTIONS = {"append_row": "All rows in one file", "summary_only": "The script writes its own"}
COLLECTED = {"collections": {"model_inputs": {"enabled": True}, "model_outputs": {"enabled": True}}}


@dataclass
class Wanted:
    """What the steps say. `wrong` and `missing` are sentences for what keeps it from being created.

    `is_first` is for all of the traffic, or for the default deployment of a batch endpoint.
    """

    model: Asset
    kind: str = ONLINE
    existing: Endpoint | None = None
    endpoint: dict[str, Any] = field(default_factory=dict)
    deployment: dict[str, Any] = field(default_factory=dict)
    code: upload.Sent | None = None
    is_first: bool = True
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def blocked(self) -> str:
        """Why it cannot be created yet; empty when it can."""
        return next(iter([*self.wrong, *self.missing]), "")


def step(number: int, title: str, note: str = "", *, done: bool = False) -> None:
    st.html(
        tag(
            "div",
            tag("b", str(number)),
            tag("h2", title),
            tag("small", note) if note else None,
            cls="at-step",
            data_done=done or None,
        )
    )


def kind() -> str:
    """Real-time or batch, in the address."""
    key = "_wizard:kind"
    st.session_state[key] = BATCH if address.text("kind") == BATCH else ONLINE

    def changed() -> None:
        address.put(kind=BATCH if st.session_state[key] == BATCH else None, endpoint=None)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Kind",
            list(KINDS),
            key=key,
            format_func=lambda each: KINDS[each][0],
            on_change=changed,
            label_visibility="collapsed",
            required=True,
            width="content",
        )
        st.html(tag("span", KINDS[st.session_state[key]][1], cls="at-hint"))
    return str(st.session_state[key])


def filled(kind: str, sizes: Mapping[str, str]) -> Wanted | None:
    """Draws all steps; what they come to, None while there is no model. `sizes` are labels by the name of a size."""
    model = _model()
    if model is None:
        return None
    wanted = Wanted(model, kind)
    _endpoint(wanted)
    _deployment(wanted)
    _runs_on(wanted)
    if kind == BATCH:
        _instances(wanted)
        _default(wanted)
    else:
        _compute(wanted, sizes)
        _traffic(wanted)
    return wanted


def _model() -> Asset | None:
    with context.scope() as s:
        found = assets.listed(s, AssetKind.model, AssetQuery(limit=MOST)).rows
        named = address.text("model")
        if named and named not in {each.name for each in found}:
            found = [*found, assets.get(s, AssetKind.model, named)]
    step(1, "Model", done=bool(found))
    if not found:
        st.html(tag("div", "No model is registered yet: register one first.", cls="at-none at-panel"))
        return None
    one, two = st.columns([3, 1], gap="small")
    types = {each.name: modelforms.TYPES.get(each.type, each.type) for each in found}
    names = [each.name for each in sorted(found, key=lambda each: each.type != MLFLOW)]
    name = _chosen(one, "Model", "model", names, types, version=None)
    with context.scope() as s:
        versions = [
            each
            for each in assets.versions(s, AssetKind.model, name)
            if each.archived_at is None or each.version == address.text("version")
        ] or assets.versions(s, AssetKind.model, name)
    version = _chosen(two, "Version", "version", [each.version for each in versions], {})
    return next(each for each in versions if each.version == version)


def _chosen(
    place: Any, label: str, parameter: str, options: Sequence[str], notes: Mapping[str, str], **forgotten: None
) -> str:
    """One of some options, in the address; the first one while it says nothing."""
    key, now = f"_wizard:{parameter}", address.text(parameter)
    st.session_state[key] = now if now in options else options[0]

    def changed() -> None:
        address.put(**{parameter: st.session_state[key]}, **forgotten)

    def said(option: str) -> str:
        return plain(f"{option} · {notes[option]}" if option in notes else option, 200)

    place.selectbox(label, options, key=key, format_func=said, on_change=changed)
    return str(st.session_state[key])


def _endpoint(wanted: Wanted) -> None:
    is_batch = wanted.kind == BATCH
    query = EndpointQuery(order_by="-updated_at", limit=MOST)
    with context.scope() as s:
        rows = (batch_endpoints.listed(s, query) if is_batch else endpoints.listed(s, query)).rows
    known = [each for each in rows if each.desired != "delete"]
    taken = [each.name for each in rows]
    step(2, "Endpoint", "what is called", done=True)
    is_new = True
    if known:
        key, asked = "_wizard:which", address.text("endpoint")
        st.session_state[key] = EXISTING if asked else NEW

        def changed() -> None:
            address.put(endpoint=known[0].name if st.session_state[key] == EXISTING else None)

        st.segmented_control(
            "Endpoint", [NEW, EXISTING], key=key, label_visibility="collapsed", on_change=changed, required=True
        )
        is_new = st.session_state[key] != EXISTING
    if not is_new:
        notes = {each.name: endpoints.spoken(each.traffic) for each in known if any(each.traffic.values())}
        name = _chosen(st, "Existing endpoint", "endpoint", [each.name for each in known], notes)
        wanted.existing = next(each for each in known if each.name == name)
        return
    one, two = st.columns([3, 2], gap="small")
    name = one.text_input(
        "Endpoint name",
        endpoint_words.proposed(wanted.model.name, taken),
        key=f"endpoint_name:{wanted.model.name}",
        max_chars=32,
    ).strip()
    _check_name(one, wanted, name, taken, "An endpoint with this name exists already.")
    auth = "aad_token" if is_batch else _authentication(two)
    with st.expander("Description and tags"):
        description = st.text_input("Description", key="endpoint_description")
        tags = st.text_input("Tags", placeholder="team=vision", key="endpoint_tags")
    wanted.endpoint = {
        "name": name,
        **({} if is_batch else {"auth_mode": auth}),
        **({"description": description} if description else {}),
        **({"tags": forms.pairs(tags)} if tags else {}),
    }


def _authentication(place: Any) -> str:
    picked = place.segmented_control(
        "Authentication",
        ["key", "aml_token"],
        default="key",
        format_func=lambda each: endpoint_words.AUTH[each],
        key="endpoint_auth",
        required=True,
        help="Keys are valid until they are made anew; tokens for an hour.",
    )
    return str(picked or "key")


def _check_name(place: Any, wanted: Wanted, name: str, taken: Sequence[str], said: str) -> None:
    """Says at the field what is wrong with a name."""
    try:
        endpoint_name(name)
        sentence = said if name.casefold() in {each.casefold() for each in taken} else ""
    except ValueError:
        sentence = "3–32 letters, digits and dashes; a letter first, no dash last."
    if sentence:
        place.html(tag("p", sentence, cls="at-wrong", role="alert"))
        wanted.wrong.append(f"{name or 'The name'}: {sentence}")


def _deployment(wanted: Wanted) -> None:
    standing: list[str] = []
    if wanted.existing is not None:
        with context.scope() as s:
            standing = [each.name for each in _behind(s, wanted)]
    step(3, "Deployment", "the model behind it", done=True)
    one, two, three = st.columns([3, 2, 2], gap="small")
    place = wanted.existing.name if wanted.existing is not None else ""
    name = one.text_input(
        "Deployment name", endpoint_words.next_deployment(standing), key=f"deployment_name:{place}", max_chars=32
    ).strip()
    _check_name(one, wanted, name, standing, "This endpoint has a deployment with this name already.")
    wanted.deployment = {
        **({"type": "model"} if wanted.kind == BATCH else {}),
        "name": name,
        "endpoint_name": wanted.existing.name if wanted.existing is not None else wanted.endpoint["name"],
        "model": f"azureml:{wanted.model.name}:{wanted.model.version}",
        **(_batching(two, three) if wanted.kind == BATCH else _answering(two, three)),
    }


def _behind(scope: Scope, wanted: Wanted) -> list[Deployment]:
    if wanted.existing is None:
        return []
    if wanted.kind == BATCH:
        return batch_endpoints.listed_deployments(scope, wanted.existing.name)
    return endpoints.deployments_of(scope, wanted.existing)


def _answering(two: Any, three: Any) -> dict[str, Any]:
    """How long an answer may take, and how many are made at once."""
    timeout = two.number_input(
        "Time-out (ms)", 1, 24 * 3_600_000, 5000, step=1000, key="deployment_timeout", help="Later answers are a 408."
    )
    at_once = three.number_input(
        "At once", 1, 10_000, 1, key="deployment_at_once", help="Requests of one instance; more wait their turn."
    )
    collects = st.toggle(
        "Collect inputs and outputs",
        key="deployment_collects",
        help="They are kept in the workspace's datastore as a data asset.",
    )
    settings = {"request_timeout_ms": int(timeout), "max_concurrent_requests_per_instance": int(at_once)}
    return {
        **({"request_settings": settings} if (timeout, at_once) != (5000, 1) else {}),
        **({"data_collector": COLLECTED} if collects else {}),
    }


def _batching(two: Any, three: Any) -> dict[str, Any]:
    """How files are worked through, in the words of the YAML; what is as usual is left out."""
    files = two.number_input("Files at once", 1, 1_000_000, 10, key="batch_files", help="Of one mini-batch.")
    workers = three.number_input("Workers", 1, 1024, 1, key="batch_workers", help="At once, of one instance.")
    with st.expander("Results and errors"):
        one, two, three = st.columns(3, gap="small")
        action = one.selectbox("Results", list(ACTIONS), format_func=lambda each: ACTIONS[each], key="batch_action")
        file = two.text_input(
            "Result file", "predictions.csv", key="batch_file", disabled=action != "append_row", max_chars=255
        )
        most = three.number_input(
            "Failed files at most", -1, 1_000_000, -1, key="batch_errors", help="More end the job; -1 never does."
        )
        retries = one.number_input("Retries", 0, 1000, 3, key="batch_retries", help="Of a mini-batch that fails.")
        timeout = two.number_input("Time-out (s)", 1, 259_200, 30, key="batch_timeout", help="Of one mini-batch.")
    said = {
        "mini_batch_size": (int(files), 10),
        "max_concurrency_per_instance": (int(workers), 1),
        "output_action": (action, "append_row"),
        "output_file_name": (file.strip() or "predictions.csv", "predictions.csv"),
        "error_threshold": (int(most), -1),
    }
    settings: dict[str, Any] = {name: value for name, (value, usual) in said.items() if value != usual}
    if (retries, timeout) != (3, 30):
        settings["retry_settings"] = {"max_retries": int(retries), "timeout": int(timeout)}
    return {"settings": settings} if settings else {}


def _runs_on(wanted: Wanted) -> None:
    """Code and environment, which an MLflow model brings along."""
    is_mlflow = wanted.model.type == MLFLOW
    step(4, "Code and environment", "" if not is_mlflow else "the model brings both along", done=is_mlflow)
    if is_mlflow and not st.toggle(
        "Use a scoring script of my own",
        key="own_script",
        help="Without one, the model is loaded and asked as MLflow describes it.",
    ):
        return
    one, two = st.columns(2, gap="small")
    with one:
        st.html(tag("div", "Code", cls="at-label"))
        wanted.code = upload.area("endpoint_code", "code", "Drop the scoring script or its folder here")
    script = _script(two, wanted.code)
    environment = _environment(two)
    if wanted.code is not None and script:
        wanted.deployment["code_configuration"] = {"code": f"./{code_name(wanted.code)}", "scoring_script": script}
    if environment:
        wanted.deployment["environment"] = (
            environment if environment.startswith("azureml:") else {"image": environment.removeprefix("image: ")}
        )
    if wanted.code is None or not script:
        wanted.missing.append("Send a scoring script: a Python file with init() and run().")
    if not environment:
        wanted.missing.append("Choose an environment for the scoring script.")


def code_name(sent: upload.Sent) -> str:
    """What the folder is called in the container."""
    return sent.name if not sent.single and sent.name.isidentifier() else "code"


def _script(place: Any, sent: upload.Sent | None) -> str:
    """Which of the files that were sent; the one that looks like it, first."""
    if sent is None:
        place.selectbox("Scoring script", [], key="script:", placeholder="after the code is sent", disabled=True)
        return ""
    with context.scope() as s:
        root = uploads.require_snapshot(s, sent.id)
    found = sorted((file.path for file in walk(root) if file.path.endswith(".py")), key=_like_a_script)
    if not found:
        place.html(tag("p", "There is no Python file among what was sent.", cls="at-wrong", role="alert"))
        return ""
    return str(place.selectbox("Scoring script", found, format_func=plain, key=f"script:{sent.id}"))


def _like_a_script(path: str) -> tuple[bool, bool, int, str]:
    name = path.rpartition("/")[2]
    return name != SCRIPT, "score" not in name, path.count("/"), path


def _environment(place: Any) -> str:
    with context.scope() as s:
        found = environments.listed(s, AssetQuery(limit=MOST)).rows
    known = [f"azureml:{each.name}:{each.version}" for each in found]
    return str(
        place.selectbox(
            "Environment",
            known,
            index=None,
            key="endpoint_environment",
            accept_new_options=True,
            placeholder="Choose one, or type an image",
        )
        or ""
    ).strip()


def _compute(wanted: Wanted, sizes: Mapping[str, str]) -> None:
    step(5, "Compute", done=True)
    one, two = st.columns([3, 1], gap="small")
    size = one.selectbox(
        "Size of an instance", list(sizes), key="deployment_size", format_func=lambda each: sizes[each]
    )
    count = two.number_input("Instances", 1, 1000, 1, key="deployment_count")
    scale = endpoint_scaling.fields("deployment", {})
    wanted.deployment |= {
        **({"instance_type": size} if size else {}),
        "instance_count": int(count),
        **({"scale_settings": scale} if scale else {}),
    }


def _instances(wanted: Wanted) -> None:
    step(5, "Compute", "the machine of this studio", done=True)
    count = st.number_input("Instances", 1, 1024, 1, key="deployment_count", width=220)
    if count > 1:
        wanted.deployment["resources"] = {"instance_count": int(count)}


def _default(wanted: Wanted) -> None:
    step(6, "Default", done=True)
    with context.scope() as s:
        now = batch_endpoints.default_of(s, wanted.existing) if wanted.existing is not None else ""
    if not now:
        st.html(tag("p", "It is what is called when no deployment is named.", cls="at-hint"))
        return
    wanted.is_first = st.toggle("Call it when no deployment is named", key="deployment_default")
    st.html(tag("p", f"Now that is {plain(now, 40)}.", cls="at-hint"))


def _traffic(wanted: Wanted) -> None:
    existing = wanted.existing
    given = {name: percent for name, percent in (existing.traffic if existing else {}).items() if percent}
    step(6, "Traffic", done=True)
    name = wanted.deployment["name"] or "it"
    if not given:
        st.html(tag("p", f"All of it goes to {plain(name, 40)} as soon as it answers.", cls="at-hint"))
        return
    words = {"none": "None at first", "all": f"All of it once {plain(name, 40)} answers"}
    picked = st.segmented_control(
        "Traffic",
        list(words),
        default="none",
        format_func=lambda each: words[each],
        key="deployment_traffic",
        label_visibility="collapsed",
        required=True,
    )
    wanted.is_first = picked == "all"
    now = endpoints.spoken(given)
    said = (
        f"Until then it stays as it is: {now}."
        if wanted.is_first
        else f"It stays as it is: {now}. Try the new one first, then move traffic, mirror it, or start a rollout."
    )
    st.html(tag("p", said, cls="at-hint"))
