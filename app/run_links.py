"""Where the links lead that MLflow's clients print: from an address of MLflow's own screens to a page of ours."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.api.caller import Asking
from app.ui.nav import href
from services import experiments, runs, workspaces
from services.core.errors import Denied, NotFound
from services.studio import Scope

ADDRESS = "/mlflow/"
# What stands behind the '#' never reaches a server, hence the script.
PAGE = '<!doctype html><meta charset="utf-8"><title>Atelier</title><script src="/app/static/run-link.js"></script>'
router = APIRouter(include_in_schema=False)


@router.get(ADDRESS)
def page() -> Response:
    return HTMLResponse(PAGE, headers={"Cache-Control": "no-store"})


@router.get("/files/run/{run}")
def run(asking: Asking, run: str) -> Response:
    """A job's own run is shown on the job's page."""

    def there(scope: Scope, workspace: str) -> str:
        lines = runs.lines(scope, [run])
        if not lines:
            return ""
        job = lines[0].job
        return href("job", ws=workspace, job=job) if job else href("run", ws=workspace, run=run)

    return RedirectResponse(_page_of(asking, there), 303)


@router.get("/files/experiment/{experiment}")
def experiment(asking: Asking, experiment: str) -> Response:
    def there(scope: Scope, workspace: str) -> str:
        return href("experiment", ws=workspace, experiment=experiments.name_of(scope, experiment))

    return RedirectResponse(_page_of(asking, there), 303)


def _page_of(asking: Asking, there: Callable[[Scope, str], str]) -> str:
    """In whichever of the caller's workspaces it is; the list of experiments when it is in none."""
    for name in _names(asking):
        try:
            with asking.scope(name) as scope:
                found = there(scope, name)
        except NotFound:
            continue
        if found:
            return found
    return href("experiments")


def _names(asking: Asking) -> list[str]:
    try:
        with asking.scope(None) as scope:
            return [row.name for row in workspaces.listed(scope)]
    except Denied:  # no role anywhere
        return []
