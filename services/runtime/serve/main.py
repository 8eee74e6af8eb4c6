"""Starts the runner: `python main.py --port N`. The files beside it become one package that no script is named like."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "atelier_serve"


def package() -> None:
    """This folder as a package, and off sys.path: a script's own `main` or `answers` must not be found here."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != here]
    spec = importlib.util.spec_from_file_location(PACKAGE, here / "__init__.py", submodule_search_locations=[str(here)])
    if spec is None or spec.loader is None:
        raise SystemExit(f"{here} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    package()
    sys.exit(importlib.import_module(f"{PACKAGE}.workers").main())
