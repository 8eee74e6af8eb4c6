"""Starts the driver, or with the word `worker` one of its processes; scripts see no module of this folder."""

import importlib
import importlib.util
import os
import sys

NAME = "atelier_batch"


def _package() -> None:
    """This folder as a package of a name that nobody else has, and not on the path where scripts look for theirs."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (as sys.path has it)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]  # noqa: PTH100
    file = os.path.join(here, "__init__.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location(NAME, file, submodule_search_locations=[here])
    if spec is None or spec.loader is None:
        raise ImportError(file)
    package = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _package()
    is_worker = sys.argv[1:2] == ["worker"]
    part = importlib.import_module(f"{NAME}.{'worker' if is_worker else 'driver'}")
    sys.exit(part.main(sys.argv[2 if is_worker else 1 :]))
