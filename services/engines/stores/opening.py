"""From a spec to a store: nothing is asked of the server yet, so that a placeholder may be named."""

from services.core.errors import EngineError
from services.engines.stores.folders import FolderStore
from services.engines.stores.specs import Credentials, Folder, StoreSpec
from services.engines.stores.store import Store


def opened(spec: StoreSpec, credentials: Credentials | None = None) -> Store:
    """The store, not yet connected. Raises EngineError for kinds that nothing here speaks to."""
    match spec:
        case Folder():
            return FolderStore(spec)
    raise EngineError(f"Datastore '{spec.name}' is of a kind that cannot be opened here.")
