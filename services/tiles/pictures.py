"""Pictures: images that runs logged, by key and step, side by side."""

from collections.abc import Sequence

from services import run_files
from services.runs import RunLine
from services.specs.tiles import Images
from services.studio import Scope
from services.tiles.readings import Nothing, Picture, Pictures

MOST_RUNS = 50
MOST_KEYS = 200


def pictures(scope: Scope, tile: Images, runs: Sequence[RunLine]) -> Pictures | Nothing:
    """Of keys or paths that begin with the pattern; small copies where there are any."""
    shown = runs[:MOST_RUNS]
    found = run_files.images(scope, [run.id for run in shown], prefix=tile.pattern)
    keys = sorted({image.key for images in found.values() for image in images})
    if not keys:
        said = f" whose name begins with '{tile.pattern}'" if tile.pattern else ""
        return Nothing(f'None of the shown runs logged an image{said}. mlflow.log_image(image, key="…", step=…) does.')
    kept = set(keys[:MOST_KEYS])
    own = [(run, [_picture(each) for each in found.get(run.id, ()) if each.key in kept]) for run in shown]
    steps = sorted({picture.step for _, some in own for picture in some})
    notes = [f"The first {MOST_KEYS} of {len(keys)} images."] if len(keys) > MOST_KEYS else []
    notes += [f"The first {MOST_RUNS} runs."] if len(runs) > MOST_RUNS else []
    return Pictures(keys[:MOST_KEYS], steps, own, " ".join(notes))


def _picture(image: run_files.Image) -> Picture:
    return Picture(image.key, image.step, image.small or image.path)
