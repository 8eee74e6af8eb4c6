"""The door to stored files, here and far away: a folder, S3, Azure, Google, SFTP and the web, all alike.

    store = opened(S3(name="lake", bucket="data", endpoint="https://…"), AccessKey(…))
    for entry in store.list("2024"): ...
    with store.open("2024/days.parquet") as file: ...

`opened` itself never speaks to the server: a placeholder fails on use. `probe` says what the store can do.
"""

from services.engines.stores.entries import Entry, Moved
from services.engines.stores.opening import opened
from services.engines.stores.probes import Report, Row, probe
from services.engines.stores.specs import (
    S3,
    AccessKey,
    AccountKey,
    AzureBlob,
    AzureFile,
    Credentials,
    DataLakeGen1,
    Folder,
    GoogleStorage,
    Password,
    PrivateKey,
    SasToken,
    ServiceAccount,
    ServicePrincipal,
    Sftp,
    StoreSpec,
    Web,
)
from services.engines.stores.store import Store

__all__ = [
    "S3",
    "AccessKey",
    "AccountKey",
    "AzureBlob",
    "AzureFile",
    "Credentials",
    "DataLakeGen1",
    "Entry",
    "Folder",
    "GoogleStorage",
    "Moved",
    "Password",
    "PrivateKey",
    "Report",
    "Row",
    "SasToken",
    "ServiceAccount",
    "ServicePrincipal",
    "Sftp",
    "Store",
    "StoreSpec",
    "Web",
    "opened",
    "probe",
]
