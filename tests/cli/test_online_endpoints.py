"""Endpoints and deployments at the terminal; nothing is started here: the rows say what is wished."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Terminal
from tests.conftest import CENSUS

EXAMPLE = Path(__file__).parents[2] / "examples" / "serve"


@pytest.fixture
def here(terminal: Terminal, request: pytest.FixtureRequest) -> str:
    """An endpoint of this test."""
    name = "e" + request.node.name.removeprefix("test_").replace("_", "-").split("[")[0][:28].rstrip("-")
    terminal.ok("online-endpoint", "create", "--name", name)
    return name


def deployed(terminal: Terminal, endpoint: str, *words: str) -> dict[str, object]:
    file = str(EXAMPLE / "blue.yml")
    made: dict[str, object] = terminal.ok(
        "online-deployment", "create", "-f", file, "-e", endpoint, "--no-wait", *words
    )
    return made


def test_an_endpoint_of_a_file_under_another_name(terminal: Terminal) -> None:
    file = ("-f", str(EXAMPLE / "endpoint.yml"))
    made = terminal.ok("online-endpoint", "create", *file, "-n", "houses", "--set", "tags.team=one")
    assert (made["name"], made["auth_mode"], made["tags"]) == ("houses", "key", {"team": "one"})
    assert made["scoring_uri"].endswith("/lab/houses/score")
    assert "houses" in [row["name"] for row in terminal.ok("online-endpoint", "list")]
    said = terminal.run("online-endpoint", "show", "-n", "houses", "--query", "provisioning_state", "-o", "tsv")
    assert said.out == "Succeeded\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "An endpoint needs a name."),
        (("-n", "1st"), "starting with a letter"),
        (("-n", "houses-2", "--auth-mode", "password"), "auth_mode"),
        (("-n", "houses-2", "--set", "trafic.a=1"), "Did you mean 'traffic'?"),
        (("-n", "houses-2", "-f", "nowhere.yml"), "nowhere.yml"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(terminal: Terminal, words: tuple[str, ...], said: str) -> None:
    refused = terminal.run("online-endpoint", "create", *words)
    assert refused.code == 2
    assert said in refused.err


def test_credentials_are_keys_or_a_token(terminal: Terminal, here: str) -> None:
    keys = terminal.ok("online-endpoint", "get-credentials", "-n", here)
    assert keys.keys() == {"primaryKey", "secondaryKey"}
    shown = terminal.run("online-endpoint", "get-credentials", "-n", here, "-o", "tsv", "--query", "primaryKey")
    assert shown.out.strip() == keys["primaryKey"]
    terminal.ok("online-endpoint", "regenerate-keys", "-n", here, "--key-type", "secondary", "--yes")
    after = terminal.ok("online-endpoint", "get-credentials", "-n", here)
    assert after["primaryKey"] == keys["primaryKey"]
    assert after["secondaryKey"] != keys["secondaryKey"]
    terminal.ok("online-endpoint", "create", "-n", f"t-{here}"[:32].rstrip("-"), "--auth-mode", "aml_token")
    token = terminal.ok("online-endpoint", "get-credentials", "-n", f"t-{here}"[:32].rstrip("-"))
    assert token["accessToken"]


def test_those_who_look_get_no_keys(terminal: Terminal, here: str) -> None:
    terminal.sit("cleo")
    said = terminal.run("online-endpoint", "get-credentials", "-n", here)
    assert said.code == 4
    assert "onlineEndpoints/listKeys/action" in said.err


def test_a_deployment_with_its_code_and_model(terminal: Terminal, here: str) -> None:
    made = deployed(terminal, here, "--set", "instance_count=2", "environment_variables.ROUNDED=false")
    assert (made["name"], made["endpoint_name"]) == ("blue", here)
    assert (made["provisioning_state"], made["server"], made["instance_count"]) == ("Creating", "script", 2)
    shown = terminal.ok("online-deployment", "show", "-n", "blue", "--endpoint", here)
    assert shown["environment_variables"] == {"ROUNDED": "false"}
    assert [row["name"] for row in terminal.ok("online-deployment", "list", "-e", here)] == ["blue"]
    changed = terminal.ok(
        "online-deployment", "update", "-n", "blue", "-e", here, "--set", "instance_count=3", "--no-wait"
    )
    assert changed["instance_count"] == 3
    file = ("-f", str(EXAMPLE / "green.yml"), "-n", "blue", "-e", here)
    whole = terminal.ok("online-deployment", "update", *file, "--no-wait")
    assert (whole["instance_count"], whole["generation"]) == (1, 2)


def test_a_deployment_without_a_name_or_an_endpoint_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    spec = yaml.safe_load((EXAMPLE / "blue.yml").read_text())
    for missing, what in (("name", "a deployment"), ("endpoint_name", "an endpoint")):
        copy = tmp_path / f"{missing}.yml"
        copy.write_text(json.dumps({**spec, missing: None, "code_configuration": None, "model": "azureml:m:1"}))
        said = terminal.run("online-deployment", "create", "-f", str(copy))
        assert said.code == 2
        assert f"no name of {what}" in said.err


def test_traffic_is_shared_out_in_words_of_the_cloud(terminal: Terminal, here: str) -> None:
    deployed(terminal, here)
    refused = terminal.run("online-endpoint", "update", "-n", here, "--traffic", "blue=100")
    assert refused.code in {2, 5}
    assert "blue" in refused.err
    for words in ("blue=90 green=20", "blue", "blue=ten"):
        assert terminal.run("online-endpoint", "update", "-n", here, "--traffic", words).code == 2
    said = terminal.ok("online-endpoint", "update", "-n", here, "--traffic", "blue=0", "--description", "later")
    assert said["description"] == "later"
    changed = terminal.ok("online-endpoint", "update", "-n", here, "--set", "tags.a=b", "tags.level=2")
    assert changed["tags"] == {"a": "b", "level": "2"}


def test_a_model_of_mlflow_is_deployed_by_its_name(terminal: Terminal, here: str) -> None:
    if not CENSUS.is_dir():
        pytest.skip("the census of outside examples is not here")
    model = CENSUS / "endpoints" / "online" / "ncd" / "sklearn-diabetes" / "model"
    terminal.ok("model", "create", "--name", "diabetes", "--path", str(model))
    made = terminal.ok("model", "deploy", "diabetes:1", "--no-wait")
    assert (made["endpoint_name"], made["name"], made["server"]) == ("diabetes", "diabetes-1", "mlflow")
    again = terminal.ok("model", "deploy", "diabetes", "-e", here, "-n", "other", "--no-wait", "--traffic", "0")
    assert (again["endpoint_name"], again["name"]) == (here, "other")
    said = terminal.run("model", "deploy", "nobody", "--no-wait")
    assert said.code == 3


def test_a_request_to_nobody_says_what_is_missing(terminal: Terminal, here: str) -> None:
    said = terminal.run("online-endpoint", "invoke", "-n", here)
    assert said.code == 2
    assert "--request-file" in said.err
    said = terminal.run("online-endpoint", "invoke", "-n", here, "-r", str(EXAMPLE / "nowhere.json"))
    assert said.code == 2
    assert "cannot be read" in said.err


def test_secrets_are_put_in_and_never_shown(terminal: Terminal, tmp_path: Path) -> None:
    terminal.sit("ada")
    (tmp_path / "value").write_text("s3cr3t-of-ours")
    said = terminal.run("secret", "set", "-n", "door", "-f", str(tmp_path / "value"))
    assert said.code == 0, said.err
    listed = terminal.run("secret", "list", "-o", "json")
    assert [row["name"] for row in listed.document] == ["door"]
    assert "s3cr3t" not in said.out + listed.out
    assert terminal.run("secret", "delete", "-n", "door", "--yes").code == 0
    assert terminal.ok("secret", "list") == []
