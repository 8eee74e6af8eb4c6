"""Where the links lead that MLflow's clients print: from an address of MLflow's own screens to a page of ours."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.api.caller import Asking
from app.ui.nav import href
from services import experiments, workspaces
from services.core.errors import Denied, NotFound

ADDRESS = "/mlflow/"
# What stands behind the '#' never reaches a server, hence the script.
PAGE = '<!doctype html><meta charset="utf-8"><title>Atelier</title><script src="/app/static/run-link.js"></script>'
router = APIRouter(include_in_schema=False)


@router.get(ADDRESS)
def page() -> Response:
    return HTMLResponse(PAGE, headers={"Cache-Control": "no-store"})


@router.get("/files/run/{run}")
def run(asking: Asking, run: str) -> Response:
    return RedirectResponse(_page_of(asking, run=run), 303)


@router.get("/files/experiment/{experiment}")
def experiment(asking: Asking, experiment: str) -> Response:
    return RedirectResponse(_page_of(asking, experiment=experiment), 303)


def _page_of(asking: Asking, *, run: str = "", experiment: str = "") -> str:
    """In whichever of the caller's workspaces it is; the list of experiments when it is in none."""
    for name in _names(asking):
        try:
            with asking.scope(name) as scope:
                place = experiments.place_of(scope, run=run, experiment=experiment)
        except NotFound:
            continue
        if place.job:
            return href("job", ws=name, job=place.job)
        return href("experiment", ws=name, experiment=place.experiment)
    return href("experiments")


def _names(asking: Asking) -> list[str]:
    try:
        with asking.scope(None) as scope:
            return [row.name for row in workspaces.listed(scope)]
    except Denied:  # no role anywhere
        return []
