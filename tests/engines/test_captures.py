"""Captures: where the cloud would put them, in its envelope, without what is to be left out."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from services.engines import captures
from services.engines.captures import Captured, Captures, line, records, without
from services.engines.routes import Capture

AT = 1_767_225_599.5  # 2025-12-31T23:59:59.5Z
BODY = b'{"input_data": {"columns": ["age", "name"], "index": [0, 1], "data": [[31, "Ada"], [45, "Ben"]]}}'
ASKED = Captured(AT, "request-1", BODY, b"[0.25, 0.75]", client_request_id="mine", path="/score?x=1")


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    folder = tmp_path / "workspaceblobstore" / "modelDataCollector" / "credit" / "blue"
    return Capture(dict.fromkeys(captures.SIDES, 1.0), str(folder))


def lines(capture: Capture, collection: str) -> list[dict]:
    files = sorted((Path(capture.folder) / collection).rglob("*.jsonl"))
    return [json.loads(text) for file in files for text in file.read_text().splitlines()]


def test_inputs_and_outputs_lie_by_the_hour_in_the_clouds_envelope(capture: Capture):
    kept = Captures()

    assert kept.write(capture, "model_inputs", [ASKED, replace(ASKED, at=AT + 1)]) == 2
    assert kept.write(capture, "model_outputs", [ASKED]) == 1

    found = sorted(str(each.relative_to(capture.folder)) for each in Path(capture.folder).rglob("*.jsonl"))
    assert found == [
        f"model_inputs/2025/12/31/23/{kept.instance}.jsonl",
        f"model_inputs/2026/01/01/00/{kept.instance}.jsonl",
        f"model_outputs/2025/12/31/23/{kept.instance}.jsonl",
    ]
    event = lines(capture, "model_inputs")[0]
    assert event.pop("id")
    assert event == {
        "specversion": "1.0",
        "source": "/onlineEndpoints/credit/deployments/blue",
        "type": "azureml.inference.model_inputs",
        "datacontenttype": "application/json",
        "time": "2025-12-31T23:59:59Z",
        "data": [{"age": 31, "name": "Ada"}, {"age": 45, "name": "Ben"}],
        "path": "/score?x=1",
        "method": "POST",
        "contentrange": f"bytes 0-{len(BODY) - 1}/{len(BODY)}",
        "correlationid": "mine",
        "xrequestid": "request-1",
        "agent": "atelier",
    }
    (answer,) = lines(capture, "model_outputs")
    assert (answer["data"], answer["type"]) == ([0.25, 0.75], "azureml.inference.model_outputs")


def test_payload_collections_keep_the_body_as_it_came(capture: Capture):
    Captures().write(capture, "request", [ASKED])
    Captures().write(capture, "response", [ASKED])

    assert lines(capture, "request")[0]["data"] == json.loads(BODY)
    assert lines(capture, "response")[0]["data"] == [0.25, 0.75]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('[{"age": 1, "name": "Ada"}]', [{"age": 1}]),
        ('{"rows": [{"who": {"name": "Ada", "age": 1}}]}', {"rows": [{"who": {"age": 1}}]}),
        ('{"columns": ["name", "age"], "data": [["Ada", 1], ["Ben"]]}', {"columns": ["age"], "data": [[1], []]}),
        ('{"dataframe_split": {"columns": ["age", "name"], "data": [[1, "Ada", 2]]}}',
         {"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}),
        ("[[1, 2]]", [[1, 2]]),
    ],
)  # fmt: skip
def test_dropped_columns_are_gone_in_every_form_of_a_table(capture: Capture, body: str, kept: object):
    dropping = replace(capture, drop=frozenset({"name"}))

    event = json.loads(line(dropping, "request", replace(ASKED, request=body.encode())))

    assert event["data"] == kept
    assert "Ada" not in json.dumps(event)


def test_a_body_that_is_no_json_is_kept_as_text_up_to_a_limit(capture: Capture):
    image = b"\x89PNG\r\n" + bytes(1000)

    event = json.loads(line(capture, "request", replace(ASKED, request=image, request_type="image/png")))
    large = json.loads(line(capture, "request", replace(ASKED, request=bytes(captures.TEXT_LIMIT + 1))))
    dropping = json.loads(line(replace(capture, drop=frozenset({"name"})), "request", replace(ASKED, request=image)))

    assert base64.b64decode(event["data_base64"]) == image
    assert (event["data"], event["datacontenttype"]) == (None, "image/png")
    assert "data_base64" not in large
    assert large["contentrange"] == f"bytes 0-{captures.TEXT_LIMIT}/{captures.TEXT_LIMIT + 1}"
    assert "data_base64" not in dropping


@pytest.mark.parametrize("body", [None, b"", b"[" * 900 + b"]" * 900, b" " * captures.JSON_LIMIT + b"[1]", b"NaN"])
def test_what_cannot_be_kept_leaves_a_line_without_it(capture: Capture, body: bytes | None):
    dropping = replace(capture, drop=frozenset({"name"}))
    assert json.loads(line(dropping, "model_inputs", replace(ASKED, request=body)))["data"] is None


def test_records_are_made_of_whole_tables_only():
    assert records({"input_data": {"columns": ["a", "a"], "data": [[1, 2]]}}) == {
        "columns": ["a", "a"],
        "data": [[1, 2]],
    }
    assert records({"columns": ["a"], "data": [[1, 2]]}) == {"columns": ["a"], "data": [[1, 2]]}
    assert records({"input_data": [[1, 2]]}) == [[1, 2]]
    assert records([1]) == [1]
    assert without(7, frozenset({"a"})) == 7


def test_a_full_file_is_followed_by_another(capture: Capture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(captures, "FILE_LIMIT", 1000)
    kept = Captures()

    for number in range(6):
        kept.write(capture, "request", [replace(ASKED, request_id=str(number))])

    files = list(Path(capture.folder).rglob("*.jsonl"))
    assert len(files) > 1
    assert all(file.stat().st_size < 1000 + 600 for file in files)
    assert sorted(each["xrequestid"] for each in lines(capture, "request")) == list("012345")


@pytest.mark.parametrize("collection", ["../outside", "scores", "", "a/b", "model_inputs/.."])
def test_only_the_collections_of_the_gateway_are_written(capture: Capture, collection: str):
    assert Captures().write(capture, collection, [ASKED]) == 0
    assert not Path(capture.folder).exists()


def test_no_link_that_a_job_left_there_is_followed(capture: Capture, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = Path(capture.folder)
    folder.mkdir(parents=True)
    (folder / "request").symlink_to(outside)
    (folder / "response" / "2025/12/31/23").mkdir(parents=True)
    kept = Captures()
    target = outside / "target"
    target.write_bytes(b"")
    (folder / "response" / "2025/12/31/23" / f"{kept.instance}.jsonl").symlink_to(target)

    assert kept.write(capture, "request", [ASKED]) == 0
    assert kept.write(capture, "response", [ASKED]) == 0
    assert kept.dropped == 2
    assert list(outside.iterdir()) == [target]
    assert target.read_bytes() == b""


def test_texts_of_callers_are_stored_whatever_they_are(capture: Capture):
    odd = replace(ASKED, client_request_id="caf\udce9", path="/\udcff")
    assert json.loads(line(capture, "request", odd))["correlationid"] == "caf?"
    assert orjson.loads(line(capture, "request", odd))["path"] == "/?"
