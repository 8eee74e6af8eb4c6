"""What kinds of datastores and ways to sign in are called, and which fields each of them has."""

from dataclasses import dataclass

from services import datastores
from services.store.rows import Datastore

TYPES = {
    "folder": "Folder of this machine",
    "s3": "S3",
    "azure_blob": "Azure Blob",
    "azure_data_lake_gen2": "Azure Data Lake Gen2",
    "gcs": "Google Cloud Storage",
    "sftp": "SFTP",
    "http": "Web server (HTTP)",
    "azure_file": "Azure file share",
    "azure_data_lake_gen1": "Azure Data Lake Gen1",
}
AUTHENTICATIONS = {
    "none": "None",
    "account_key": "Account key",
    "sas_token": "SAS token",
    "service_principal": "Service principal",
    "certificate": "Certificate",
    "access_key": "Access key",
    "service_account": "Service account",
    "password": "User and password",
    "private_key": "Private key",
    "token": "Bearer token",
}


@dataclass(frozen=True)
class Field:
    """`is_secret`: typed without being seen; `is_long`: several lines, such as a key file."""

    name: str
    label: str
    example: str = ""
    is_secret: bool = False
    is_long: bool = False


_ACCOUNT = Field("account_name", "Storage account", "mystorageaccount")
_BUCKET = (Field("bucket", "Bucket", "team-data"), Field("prefix", "Folder in the bucket (optional)", "experiments"))
_TENANT = (Field("tenant_id", "Tenant"), Field("client_id", "Client (application)"))
PLACES = {
    "folder": (Field("path", "Folder", "/srv/data"),),
    "s3": (
        *_BUCKET,
        Field("endpoint", "Endpoint (when it is not Amazon's)", "https://minio.example.org"),
        Field("region", "Region (optional)", "us-east-1"),
    ),
    "azure_blob": (
        _ACCOUNT,
        Field("container_name", "Container", "data"),
        Field("endpoint", "Endpoint (optional)", "core.windows.net"),
    ),
    "azure_data_lake_gen2": (
        _ACCOUNT,
        Field("filesystem", "File system", "data"),
        Field("endpoint", "Endpoint (optional)", "core.windows.net"),
    ),
    "gcs": (*_BUCKET, Field("endpoint", "Endpoint (optional)")),
    "sftp": (
        Field("host", "Host", "files.example.org"),
        Field("port", "Port (optional)", "22"),
        Field("path", "Folder there", "/"),
        Field("host_key", "Public key of the host", "what 'ssh-keyscan HOST' prints, or SHA256:…"),
    ),
    "http": (Field("url", "URL", "https://example.org/data/"),),
    "azure_file": (_ACCOUNT, Field("file_share_name", "File share", "share")),
    "azure_data_lake_gen1": (Field("store_name", "Store", "mystore"),),
}
KEYS = {
    "none": (),
    "account_key": (Field("account_key", "Account key", is_secret=True),),
    "sas_token": (Field("sas_token", "SAS token", is_secret=True),),
    "service_principal": (*_TENANT, Field("client_secret", "Client secret", is_secret=True)),
    "certificate": (
        *_TENANT,
        Field("thumbprint", "Thumbprint"),
        Field("certificate", "Certificate (PEM)", is_secret=True, is_long=True),
    ),
    "access_key": (
        Field("access_key_id", "Access key id"),
        Field("secret_access_key", "Secret access key", is_secret=True),
        Field("session_token", "Session token (optional)", is_secret=True),
    ),
    "service_account": (
        Field("service_account_key", "Key file of the service account (JSON)", is_secret=True, is_long=True),
    ),
    "password": (Field("username", "User"), Field("password", "Password", is_secret=True)),
    "private_key": (
        Field("username", "User"),
        Field("private_key", "Private key", is_secret=True, is_long=True),
        Field("passphrase", "Passphrase (optional)", is_secret=True),
    ),
    "token": (Field("token", "Token", is_secret=True),),
}
DOORS = {
    "folder": ("none",),
    "s3": ("access_key", "none"),
    "azure_blob": ("account_key", "sas_token", "service_principal", "none"),
    "azure_data_lake_gen2": ("service_principal", "account_key", "sas_token", "certificate", "none"),
    "gcs": ("service_account", "none"),
    "sftp": ("private_key", "password"),
    "http": ("none", "password", "token"),
    "azure_file": ("account_key", "sas_token", "none"),
    "azure_data_lake_gen1": ("service_principal", "certificate", "none"),
}


def kind(row: Datastore) -> str:
    return TYPES.get(row.type, row.type)


def door(row: Datastore) -> str:
    """How it is entered, in words."""
    found = str(row.spec.get("authentication", {}).get("type", "none"))
    return AUTHENTICATIONS.get(found, found)


def is_tried(type: str) -> bool:
    """Whether one of this kind is always tried before it is registered."""
    return type not in datastores.CLOUD
