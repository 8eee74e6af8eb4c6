"""Where a store is and how one enters it: small frozen values, one per kind, without a secret in any repr."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Folder:
    """A local folder or a mount. `name` is in every message, here and below: it is the datastore's."""

    name: str
    root: str


@dataclass(frozen=True)
class S3:
    """A bucket of anything that speaks S3; without `endpoint` it is Amazon's. `prefix` is a folder in the bucket."""

    name: str
    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"


@dataclass(frozen=True)
class AzureBlob:
    """A container of a storage account (blob or data lake gen2); `endpoint` is the account's URL, for Azurite."""

    name: str
    account: str
    container: str
    prefix: str = ""
    endpoint: str = ""


@dataclass(frozen=True)
class AzureFile:
    """A file share: registers, but nothing here speaks to it. Every use says how to mount it instead."""

    name: str
    account: str
    share: str


@dataclass(frozen=True)
class DataLakeGen1:
    """A data lake of the first generation: registers, but the service was closed in 2024."""

    name: str
    account: str


@dataclass(frozen=True)
class GoogleStorage:
    """A bucket of Google Cloud Storage; `endpoint` is for emulators."""

    name: str
    bucket: str
    prefix: str = ""
    endpoint: str = ""


@dataclass(frozen=True)
class Sftp:
    """A folder on an SSH server. `fingerprint` is the host key's, as `ssh-keygen -l` prints it (`SHA256:…`).

    Without one nobody is let in: the error says which fingerprint the server has shown.
    """

    name: str
    host: str
    user: str
    root: str = "."
    port: int = 22
    fingerprint: str = ""


@dataclass(frozen=True)
class Web:
    """Files below an http(s) URL, read-only. Folders are listed where the server shows an index of them."""

    name: str
    url: str


StoreSpec = Folder | S3 | AzureBlob | AzureFile | DataLakeGen1 | GoogleStorage | Sftp | Web


@dataclass(frozen=True)
class AccessKey:
    """For S3."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class AccountKey:
    """For Azure: the account's own key."""

    account_key: str = field(repr=False)


@dataclass(frozen=True)
class SasToken:
    """For Azure: `sv=…&sig=…`, with or without the leading question mark."""

    sas_token: str = field(repr=False)


@dataclass(frozen=True)
class ServicePrincipal:
    """For Azure: an application that was given a role on the account."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class ServiceAccount:
    """For Google: the whole JSON text of a service account's key."""

    key_json: str = field(repr=False)


@dataclass(frozen=True)
class Password:
    """For SFTP, or for a web server that asks for a name and a password (`user` is used there alone)."""

    password: str = field(repr=False)
    user: str = ""


@dataclass(frozen=True)
class PrivateKey:
    """For SFTP: a key in OpenSSH's or PEM's text form."""

    private_key: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


Credentials = AccessKey | AccountKey | SasToken | ServicePrincipal | ServiceAccount | Password | PrivateKey


def secrets_of(credentials: Credentials | None) -> frozenset[str]:
    """What must never be in a message: the values that no repr shows, and what is the secret of a longer one."""
    if credentials is None:
        return frozenset()
    fields = credentials.__dataclass_fields__.values()
    values = {getattr(credentials, one.name) for one in fields if not one.repr}
    if isinstance(credentials, SasToken):
        values |= set(parse_qs(credentials.sas_token.lstrip("?")).get("sig", []))
    return frozenset(values - {""})
