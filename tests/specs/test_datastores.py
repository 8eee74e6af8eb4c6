"""Datastores as people write them: nine kinds, and credentials that nothing shows."""

import pytest

from services.core.errors import Invalid
from services.specs import datastores, source
from tests.specs.written import WRITTEN

CANARY = "canary-7f3a"
BLOB = {"type": "azure_blob", "name": "b", "account_name": "a", "container_name": "c"}


def read(text: str) -> datastores.Datastore:
    written = source.load(text, file="store.yml")
    return datastores.datastore(written.value, written)


SECRETS = {
    "azure_blob": {"account_key": CANARY},
    "azure_file": {"sas_token": CANARY},
    "azure_data_lake_gen2": {"tenant_id": "t", "client_id": "c", "client_secret": CANARY},
    "azure_data_lake_gen1": {"tenant_id": "t", "client_id": "c", "certificate": CANARY, "thumbprint": "x"},
    "s3": {"access_key_id": "id", "secret_access_key": CANARY, "session_token": CANARY},
    "gcs": {"service_account_key": CANARY},
    "sftp": {"private_key": CANARY, "passphrase": CANARY},
    "http": {"username": "ben", "password": CANARY},
}


def _written(kind: str) -> dict[str, object]:
    for text in WRITTEN.values():
        value = source.load(text).value
        if value.get("type") == kind:
            return value
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", SECRETS)
def test_credentials_are_told_only_to_who_asks_for_them(kind: str) -> None:
    spec = datastores.datastore({**_written(kind), "credentials": SECRETS[kind]})
    shown = [repr(spec), str(spec), str(spec.model_dump()), spec.model_dump_json(), f"{spec!r:>10}"]
    assert not any(CANARY in each for each in shown)
    assert datastores.disclosed(spec)["credentials"] == SECRETS[kind]
    assert datastores.secrets(spec) == SECRETS[kind]


@pytest.mark.parametrize(
    "credentials",
    [
        CANARY,
        [CANARY],
        {"account_key": [CANARY]},
        {"account_key": {"is": CANARY}},
        {"acount_key": CANARY},
        {"account_key": 7300073},
        {"sas_token": CANARY, "account_key": 1},
        {"account_key": CANARY, "client_id": CANARY},
    ],
)
def test_an_error_does_not_repeat_a_secret(credentials: object) -> None:
    with pytest.raises(Invalid) as caught:
        datastores.datastore({**BLOB, "credentials": credentials})
    cause = caught.value.__cause__
    for said in (str(caught.value), *caught.value.details, str(cause), repr(cause)):
        assert CANARY not in said
        assert "7300073" not in said


def test_a_door_without_a_lock_has_no_secrets() -> None:
    assert datastores.secrets(datastores.datastore(BLOB)) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\n", "'type' is required"),
        ("type: azure_blb\n", "Did you mean 'azure_blob'?"),
        ("type: azure_blob\nname: x\naccount_name: a\n", "'container_name' is required"),
        ("type: azure_blob\nname: x\naccount_name: a\ncontainer: c\n", "Did you mean 'container_name'?"),
        ("type: azure_blob\nname: ../x\naccount_name: a\ncontainer_name: c\n", "not a valid name"),
        ("type: azure_blob\nname: x\naccount_name: a\ncontainer_name: c\nprotocol: ftp\n", "protocol must be one of"),
        ("type: folder\nname: x\npath: data\n", "whole path"),
        ("type: folder\nname: x\npath: /srv/../etc\n", "without '..'"),
        ("type: http\nname: x\nurl: file:///etc\n", "must begin with http:// or https://"),
        ("type: http\nname: x\nurl: https://ben:canary-7f3a@h/\n", "must not hold a password"),
        ("type: sftp\nname: x\nhost: h\nport: 0\n", "port must be at least 1"),
        ("type: sftp\nname: x\nhost: h\nport: ssh\n", "whole number"),
        ("type: s3\nname: x\nbucket: b\nread_only: maybe\n", "must be true or false"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert said in str(caught.value)
    assert str(caught.value.where).startswith("store.yml:")
    assert CANARY not in str(caught.value) + "".join(caught.value.details)
