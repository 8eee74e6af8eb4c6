"""The notebook's frames: typed columns, aware times, numbers that JSON cannot say, over REST to a running studio."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app import frames
from services.core.errors import Invalid, NotFound
from tests.api.conftest import House, opened
from tests.conftest import Stage, make_stage
from tests.recorded import recorded

A, B = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    stage: Stage = make_stage(tmp_path_factory.mktemp("studio") / "home")
    recorded(stage, A, {"loss": [0.5, float("nan"), float("-inf")]}, params={"lr": "0.1"}, tags={"team": "vision"})
    recorded(stage, B, {"acc": [1.0]}, experiment="wine", start_time=1_700_000_100_000, end_time=None)
    with opened(stage) as made:
        yield made
    stage.studio.close()


@pytest.fixture(autouse=True)
def _notebook(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    monkeypatch.setenv("ATELIER_ENDPOINT", house.url)
    monkeypatch.setenv("ATELIER_TOKEN", house.token("cleo"))
    monkeypatch.setenv("ATELIER_WORKSPACE", "lab")


def test_the_table_of_runs_is_a_frame_with_types():
    frame = frames.runs(columns=["min(metrics.loss)", "metrics.acc", "params.lr", "starred", "duration"])

    assert list(frame["id"]) == [B, A]
    assert frame["created"][1] == pd.Timestamp("2023-11-14T22:13:20Z")
    assert str(frame["created"].dt.tz) == "UTC"
    assert frame["ended"].isna().tolist() == [True, False]
    assert frame["min(metrics.loss)"].dtype == np.float64
    assert frame["min(metrics.loss)"][1] == -np.inf
    assert frame["metrics.acc"].tolist()[0] == 1.0
    assert frame["params.lr"].isna().tolist() == [True, False]
    assert frame["params.lr"].dtype == "string"
    assert frame["duration"][1] == 60.0
    assert frame["starred"].dtype == "boolean"


def test_runs_are_chosen_by_experiment_filter_and_words():
    assert list(frames.runs("iris")["id"]) == [A]
    assert list(frames.runs(["iris", "wine"], order_by=["created"])["id"]) == [A, B]
    assert list(frames.runs(filter="metrics.acc > 0.5")["id"]) == [B]
    empty = frames.runs(filter="metrics.acc > 2", columns=["metrics.acc"])
    assert (len(empty), empty["metrics.acc"].dtype, str(empty["created"].dt.tz)) == (0, np.float64, "UTC")
    with pytest.raises(Invalid):
        frames.runs(filter="metrics.acc >")
    with pytest.raises(NotFound):
        frames.runs("nothing")


def test_histories_are_one_long_frame():
    points = frames.histories(frames.runs(), ["loss", "acc"])

    assert points[["run", "metric", "step"]].values.tolist() == [
        [B, "acc", 0],
        [A, "loss", 0],
        [A, "loss", 1],
        [A, "loss", 2],
    ]
    np.testing.assert_array_equal(points["value"], [1.0, 0.5, np.nan, -np.inf])
    assert points["time"][2] == pd.Timestamp("2023-11-14T22:13:21Z")
    assert len(frames.histories([A], "nothing")) == 0
    assert frames.histories([], "loss").dtypes.astype(str).to_dict()["value"] == "float64"
    with pytest.raises(NotFound):
        frames.histories(["nobody"], "loss")
