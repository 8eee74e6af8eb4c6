"""A datastore as people write it: where data lies, and what opens the door there.

The cloud's four kinds register unmodified; folder, s3, gcs, sftp and http are ours. Credentials are never shown:
not in a repr, not in a dump, not in an error. `disclosed` is the one way to their text.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from services.specs.fields import UNSPOKEN, AssetName, Description, Flag, Secret, Spec, Texts, Whole
from services.specs.problems import chosen
from services.specs.source import Source


class Credentials(Spec):
    """What opens the door of a datastore."""

    model_config = ConfigDict(hide_input_in_errors=True)


class AccountKey(Credentials):
    """An Azure storage account's key."""

    account_key: Secret


class SasToken(Credentials):
    """A shared access signature of Azure storage."""

    sas_token: Secret


class ServicePrincipal(Credentials):
    """An Azure application with a secret."""

    tenant_id: str
    client_id: str
    client_secret: Secret
    resource_url: str | None = None
    authority_url: str | None = None


class Certificate(Credentials):
    """An Azure application with a certificate."""

    tenant_id: str
    client_id: str
    certificate: Secret
    thumbprint: str
    resource_url: str | None = None
    authority_url: str | None = None


class AccessKey(Credentials):
    """An S3 key pair."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class ServiceAccount(Credentials):
    """The JSON key of a Google service account, as one text."""

    service_account_key: Secret


class Password(Credentials):
    """A password, for SFTP or HTTP."""

    username: str | None = None
    password: Secret


class PrivateKey(Credentials):
    """A private key in OpenSSH's or PEM form, for SFTP."""

    username: str | None = None
    private_key: Secret
    passphrase: Secret | None = None


class BearerToken(Credentials):
    """A token that HTTP requests carry."""

    token: Secret


class _Datastore(Spec):
    model_config = ConfigDict(hide_input_in_errors=True)

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: AssetName | None = None
    description: Description | None = None
    tags: Texts = {}
    properties: Texts = {}
    read_only: Flag = False


class AzureBlob(_Datastore):
    """A container of Azure Blob storage, or of an emulator when `endpoint` is a whole URL."""

    type: Literal["azure_blob"]
    account_name: str = Field(min_length=1)
    container_name: str = Field(min_length=1)
    endpoint: str = "core.windows.net"
    protocol: Literal["https", "http", "wasbs", "wasb"] = "https"
    credentials: Annotated[AccountKey | SasToken | ServicePrincipal | None, UNSPOKEN] = None


class AzureFile(_Datastore):
    """A share of Azure Files."""

    type: Literal["azure_file"]
    account_name: str = Field(min_length=1)
    file_share_name: str = Field(min_length=1)
    endpoint: str = "core.windows.net"
    protocol: Literal["https", "http"] = "https"
    credentials: Annotated[AccountKey | SasToken | None, UNSPOKEN] = None


class AzureDataLakeGen2(_Datastore):
    """A file system of Azure Data Lake Storage Gen2."""

    type: Literal["azure_data_lake_gen2"]
    account_name: str = Field(min_length=1)
    filesystem: str = Field(min_length=1)
    endpoint: str = "core.windows.net"
    protocol: Literal["https", "http", "abfss", "abfs"] = "https"
    credentials: Annotated[ServicePrincipal | Certificate | AccountKey | SasToken | None, UNSPOKEN] = None


class AzureDataLakeGen1(_Datastore):
    """A store of Azure Data Lake Storage Gen1, which the cloud has retired: it registers, and fails when used."""

    type: Literal["azure_data_lake_gen1"]
    store_name: str = Field(min_length=1)
    credentials: Annotated[ServicePrincipal | Certificate | None, UNSPOKEN] = None


class Folder(_Datastore):
    """A folder of the studio's machine, or a network mount there, below a registered root."""

    type: Literal["folder"]
    path: str = Field(min_length=1, max_length=4096)

    @field_validator("path")
    @classmethod
    def absolute(cls, path: str) -> str:
        if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise ValueError("a folder is named by its whole path, such as /srv/data, without '..'")
        return path


class S3(_Datastore):
    """A bucket of an S3-compatible store; `endpoint` is its URL when it is not Amazon's."""

    type: Literal["s3"]
    bucket: str = Field(min_length=1)
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    path_style: Flag = False
    credentials: Annotated[AccessKey | None, UNSPOKEN] = None


class Gcs(_Datastore):
    """A bucket of Google Cloud Storage."""

    type: Literal["gcs"]
    bucket: str = Field(min_length=1)
    prefix: str = ""
    endpoint: str | None = None
    credentials: Annotated[ServiceAccount | None, UNSPOKEN] = None


class Sftp(_Datastore):
    """A folder of an SFTP server; `host_key` is the server's public key, which must be known."""

    type: Literal["sftp"]
    host: str = Field(min_length=1)
    port: Whole = Field(default=22, ge=1, le=65535)
    username: str | None = None
    path: str = "/"
    host_key: str | None = None
    credentials: Annotated[Password | PrivateKey | None, UNSPOKEN] = None


class Http(_Datastore):
    """A folder of a web server; it can be read, and listed only where the server does."""

    type: Literal["http"]
    url: str = Field(max_length=2048)
    credentials: Annotated[Password | BearerToken | None, UNSPOKEN] = None

    @field_validator("url")
    @classmethod
    def of_the_web(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise PydanticCustomError("url_type", "must begin with http:// or https://")
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise PydanticCustomError("url_type", "must not hold a password; write it under 'credentials'")
        return url


Datastore = AzureBlob | AzureFile | AzureDataLakeGen2 | AzureDataLakeGen1 | Folder | S3 | Gcs | Sftp | Http
KINDS: Mapping[str, type[Datastore]] = {
    "azure_blob": AzureBlob,
    "azure_file": AzureFile,
    "azure_data_lake_gen2": AzureDataLakeGen2,
    "azure_data_lake_gen1": AzureDataLakeGen1,
    "folder": Folder,
    "s3": S3,
    "gcs": Gcs,
    "sftp": Sftp,
    "http": Http,
}

SHOWN = frozenset({"id", "storage", "authentication", "is_default", "report", "creation_context"})
"""What `show` prints beside what was written: passed over, so that its output can be registered elsewhere."""


def datastore(value: Any, source: Source | None = None) -> Datastore:
    """`value` as the spec that its `type` names. Raises Invalid."""
    if isinstance(value, Mapping):
        value = {key: inner for key, inner in value.items() if key not in SHOWN}
    return chosen(KINDS, value, source, what="datastore")


def disclosed(spec: Datastore) -> dict[str, Any]:
    """As JSON with the credentials' text: for the vault and for the wire, never for a log or a page."""
    return spec.model_dump(mode="json", exclude_none=True, context={"secrets": True})


def secrets(spec: Datastore) -> dict[str, str]:
    """The credentials alone, by field; empty where the door is open."""
    found: dict[str, str] = disclosed(spec).get("credentials", {})
    return found
