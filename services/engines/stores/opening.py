"""From a spec to a store: nothing is asked of the server yet, so that a placeholder may be named."""

from collections.abc import Collection

from services.core.errors import EngineError, Invalid
from services.engines.stores.folders import FolderStore
from services.engines.stores.google import GoogleStore
from services.engines.stores.objects import azure_blob, s3
from services.engines.stores.specs import (
    S3,
    AzureBlob,
    AzureFile,
    Credentials,
    DataLakeGen1,
    Folder,
    GoogleStorage,
    Sftp,
    StoreSpec,
    Web,
)
from services.engines.stores.store import Store
from services.engines.stores.web import WebStore


def opened(spec: StoreSpec, credentials: Credentials | None = None, *, allowed_hosts: Collection[str] = ()) -> Store:
    """The store, not yet connected. `allowed_hosts` are those inside of the network that `Web` may name.

    Raises Invalid for credentials of another kind of store, EngineError for kinds that nothing here speaks to.
    """
    match spec:
        case Folder():
            if credentials is not None:
                raise Invalid(f"Datastore '{spec.name}' is a folder and takes no credentials.", where="credentials")
            return FolderStore(spec)
        case S3():
            return s3(spec, credentials)
        case AzureBlob():
            return azure_blob(spec, credentials)
        case GoogleStorage():
            return GoogleStore(spec, credentials)
        case Sftp():
            from services.engines.stores.sftp import SftpStore  # its library loads slower than all others together

            return SftpStore(spec, credentials)
        case Web():
            return WebStore(spec, credentials, allowed_hosts)
        case AzureFile():
            raise EngineError(
                f"Datastore '{spec.name}' is a file share, which is not spoken to from here.",
                hint=f"Mount the share '{spec.share}' on the studio's machine and register the mount as a folder.",
            )
        case DataLakeGen1():
            raise EngineError(
                f"Datastore '{spec.name}' is a data lake of the first generation; that service was closed in 2024.",
                hint="Register the account that its data was moved to.",
            )
