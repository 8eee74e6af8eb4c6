"""Files of runs in the browser: images are shown, everything else is a download, nothing runs."""

import pytest

from services.store import metrics as store
from services.store.metrics import Run
from services.studio import run_root
from tests.api.conftest import House

RUN = "a" * 32
LOGGED = "images/k+step+1+timestamp+5+0b1c6a2e-1111-4222-8333-444455556666.png"
AT = f"/files/run-artifact/lab/{RUN}"


@pytest.fixture
def run(house: House) -> str:
    stage = house.stage
    with stage.scope() as scope:
        store.save_run(scope.session, Run(run_id=RUN, workspace_id=stage.lab.id, experiment_id="1"))
    for path in (LOGGED, "page.html", "drawing.svg", "plot.PNG"):
        target = run_root(stage.studio, stage.lab.id, "1", RUN) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"<svg onload=alert(1)>")
    return RUN


@pytest.mark.parametrize(
    ("path", "media", "cache"),
    [
        (LOGGED, "image/png", "private, max-age=604800, immutable"),
        ("plot.PNG", "image/png", "no-cache"),
        ("drawing.svg", "image/svg+xml", "no-cache"),
        ("page.html", "application/octet-stream", None),
    ],
)
def test_images_are_named_as_what_they_are_and_nothing_runs(
    house: House, run: str, path: str, media: str, cache: str | None
):
    answer = house.browser("cleo").get(AT, params={"path": path})
    assert (answer.status_code, answer.content) == (200, b"<svg onload=alert(1)>")
    assert (answer.headers["content-type"], answer.headers.get("cache-control")) == (media, cache)
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_outsiders_and_paths_outside_find_nothing(house: House, run: str):
    assert house.browser("dan").get(AT, params={"path": LOGGED}).status_code == 404
    for path in ("../secret", "/etc/passwd", "nothing.png", ""):
        assert house.browser("cleo").get(AT, params={"path": path}).status_code in {404, 422}
    partial = house.browser("cleo").get(AT, params={"path": LOGGED}, headers={"Range": "bytes=0-3"})
    assert (partial.status_code, partial.content) == (206, b"<svg")
