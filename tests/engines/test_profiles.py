"""Profiles against pandas, differences of two versions, and tables that an MLTable file describes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import Invalid
from services.engines.tables import ColumnProfile, Part, Profile, Source, diff, mltables, profile
from services.engines.tables.shapes import Diff


def source(folder: Path, paths: Sequence[str] | None = None, *, is_local: bool = True) -> Source:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    parts = [
        Part(path, (folder / path).stat().st_size, local=folder / path if is_local else None)
        for path in (paths or found)
    ]
    return Source(parts, lambda path: (folder / path).open("rb"))


def column(found: Profile, name: str) -> ColumnProfile:
    return next(each for each in found.columns if each.name == name)


def frame(rows: int = 5000, seed: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "normal": draw.normal(3, 2, rows),
            "skewed": draw.exponential(size=rows),
            "whole": draw.integers(0, 50, rows),
            "word": draw.choice(["red", "green", "blue"], rows, p=[0.6, 0.3, 0.1]),
            "flag": draw.random(rows) < 0.25,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 365, rows), unit="D"),
        }
    )
    made.loc[draw.choice(rows, rows // 10, replace=False), "normal"] = np.nan
    made.loc[draw.choice(rows, rows // 20, replace=False), "word"] = None
    return made


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl", "a.feather", "a.csv.gz"])
@pytest.mark.parametrize("is_local", [True, False])
def test_the_numbers_are_those_of_pandas(tmp_path: Path, name: str, is_local: bool) -> None:
    made = frame()
    writers = {
        "a.csv": lambda path: made.to_csv(path, index=False),
        "a.csv.gz": lambda path: made.to_csv(path, index=False),
        "a.parquet": made.to_parquet,
        "a.feather": made.to_feather,
        "a.jsonl": lambda path: made.to_json(
            path, orient="records", lines=True, date_format="iso", double_precision=15
        ),
    }
    writers[name](tmp_path / name)

    found = profile(source(tmp_path, is_local=is_local))

    assert (found.rows, found.total_rows, found.sampled) == (len(made), len(made), False)
    for each in ("normal", "skewed", "whole"):
        got, wanted = column(found, each), made[each]
        assert (got.count, got.missing) == (len(made), int(wanted.isna().sum()))
        assert got.distinct == wanted.nunique()
        moments = [got.minimum, got.maximum, got.mean, got.standard_deviation, got.variance, got.skewness, got.kurtosis]
        pandas = [wanted.min(), wanted.max(), wanted.mean(), wanted.std(), wanted.var(), wanted.skew(), wanted.kurt()]
        assert moments == pytest.approx([float(value) for value in pandas], rel=1e-6)
        quantiles = {each.percent: each.value for each in got.quantiles}
        assert quantiles[50] == pytest.approx(float(wanted.median()), rel=1e-6)
        assert quantiles[95] == pytest.approx(float(wanted.quantile(0.95)), rel=1e-6)
        assert sum(each.count for each in got.histogram) == got.count - got.missing
        assert got.histogram[0].low == pytest.approx(float(wanted.min()))
        assert got.histogram[-1].high == pytest.approx(float(wanted.max()))
    words = {each.value: each.count for each in column(found, "word").top}
    assert words == made["word"].value_counts().to_dict()
    assert column(found, "flag").type == "boolean"
    assert (
        column(found, "day").type == "text" if name == "a.jsonl" else column(found, "day").type in {"date", "timestamp"}
    )
    assert str(column(found, "day").minimum).startswith(str(made["day"].min())[:10])
    assert Profile.from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found


def test_what_is_not_finite_is_counted_and_spoils_no_moment(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0, 2.0, 3.0, np.inf, -np.inf, np.nan]}).to_parquet(tmp_path / "a.parquet")
    found = column(profile(source(tmp_path)), "a")
    assert (found.count, found.mean) == (6, pytest.approx(2.0))
    assert json.dumps(found.as_json(), allow_nan=False)


def test_several_files_are_one_table(tmp_path: Path) -> None:
    for part in range(3):
        frame(100, part).to_csv(tmp_path / f"{part}.csv", index=False)
    found = profile(source(tmp_path))
    assert found.rows == 300
    assert found.files == ("0.csv", "1.csv", "2.csv")


def test_a_sample_says_that_it_is_one(tmp_path: Path) -> None:
    frame(20_000).to_parquet(tmp_path / "a.parquet")
    found = profile(source(tmp_path), sample=500)
    assert found.sampled
    assert found.rows <= 500
    assert found.total_rows == 20_000
    assert column(found, "whole").mean == pytest.approx(24.5, rel=0.2)


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    frame(50).to_csv(tmp_path / "a.csv", index=False)
    assert [each.name for each in profile(source(tmp_path), columns=["word", "whole"]).columns] == ["word", "whole"]


def test_what_is_no_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(Invalid):
        profile(source(tmp_path))


def test_two_versions_differ_in_files_columns_rows_and_values(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    made = frame(100)
    made.to_csv(old / "a.csv", index=False)
    (old / "gone.csv").write_text(made.to_csv(index=False))
    (old / "same.csv").write_text("normal,word\n1,red\n")
    made = made.drop(columns=["flag"]).assign(more=1, word=range(100), normal=made["normal"] + 10)
    made.to_csv(new / "a.csv", index=False)
    (new / "same.csv").write_text("normal,word\n1,red\n")

    files = diff(source(old), source(new))
    assert (files.files_added, files.files_removed, files.files_same) == ((), ("gone.csv",), 1)
    assert [change.path for change in files.files_changed] == ["a.csv"]

    found = diff(source(old, ["a.csv"]), source(new, ["a.csv"]))
    assert found.is_tabular
    assert [each.name for each in found.columns_added] == ["more"]
    assert [each.name for each in found.columns_removed] == ["flag"]
    assert [(each.name, each.old, each.new) for each in found.columns_retyped] == [("word", "text", "integer")]
    assert (found.old_rows, found.new_rows) == (100, 100)
    drift = {each.name: each for each in found.drift}
    assert float(drift["normal"].new_mean or 0) - float(drift["normal"].old_mean or 0) == pytest.approx(10)
    assert drift["normal"].old_missing == pytest.approx(0.1)
    assert Diff.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_what_is_no_table_is_compared_as_files(tmp_path: Path) -> None:
    for name, text in (("old", b"\x89PNG1"), ("new", b"\x89PNG2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(text)
    found = diff(source(tmp_path / "old"), source(tmp_path / "new"))
    assert [change.path for change in found.files_changed] == ["a.png"]
    assert not found.is_tabular
    assert found.notes


def table(folder: Path, text: str) -> mltables.MLTableView:
    (folder / "MLTable").write_text(text)
    found = source(folder)
    return mltables.mltable_table(found, mltables.read_mltable(found))


def test_an_mltable_reads_what_it_says_and_how(tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "parts" / "a.csv").write_text("id;at;ok;junk\n1;2024-01-31;yes;x\n2;2024-02-01;no;x\n")
    (tmp_path / "parts" / "deep" / "b.csv").write_text("id;at;ok;junk\n3;2024-03-01;yes;x\n")
    (tmp_path / "parts" / "c.txt").write_text("no part of it")
    view = table(
        tmp_path,
        """
$schema: https://example.invalid/never/fetched.json
paths:
  - pattern: ./parts/**/*.csv
transformations:
  - read_delimited: {delimiter: ';', encoding: utf8, header: all_files_same_headers, include_path_column: true}
  - drop_columns: junk
  - convert_column_types:
      - columns: id
        column_type: string
      - columns: at
        column_type: {datetime: {formats: ['%Y-%m-%d']}}
      - columns: ok
        column_type: {boolean: {true_values: ['yes'], false_values: ['no']}}
  - take: 2
""",
    )
    found = view.preview()
    assert {each.name: each.type for each in found.columns} == {
        "Path": "text", "id": "text", "at": "timestamp", "ok": "boolean",
    }  # fmt: skip
    assert [row[1:2] + row[3:] for row in found.rows] == [("1", True), ("2", False)]
    assert column(view.profile(), "ok").count == 2


@pytest.mark.parametrize(
    ("paths", "read", "ids"),
    [
        ("- file: ./b.jsonl", "read_json_lines", [3, 4]),
        ("- folder: ./p", "read_parquet", [5, 6]),
        ("- file: ./a.csv", "read_delimited", [1, 2]),
        ("- file: ./a.csv\n- file: ./a.csv", "read_delimited", [1, 2]),
    ],
)
def test_each_kind_of_file_is_read(tmp_path: Path, paths: str, read: str, ids: list[int]) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n2\n")
    (tmp_path / "b.jsonl").write_text('{"id": 3}\n{"id": 4}\n')
    (tmp_path / "p").mkdir()
    pd.DataFrame({"id": [5, 6]}).to_parquet(tmp_path / "p" / "x.parquet")
    view = table(tmp_path, f"paths:\n{paths}\ntransformations:\n- {read}\n")
    assert [row[0] for row in view.preview().rows] == ids


def test_an_mltable_without_a_reader_lists_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    view = table(tmp_path, "paths:\n- pattern: '*.png'\n")
    assert view.preview().rows == (("a.png",),)
    with pytest.raises(Invalid, match="does not say how"):
        view.profile()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paths: []", "paths"),
        ("paths:\n- file: ../../token\n", "leads out"),
        ("paths:\n- file: /etc/passwd\n", "relative|absolute|leads"),
        ("paths:\n- pattern: ../**\n", "leads out"),
        ("paths:\n- {file: a.csv, folder: b}\n", "one of"),
        ("paths:\n- file: a.csv\ntransformations:\n- take: 1\n", "first transformation"),
        ("paths:\n- file: a.csv\ntransformations:\n- read_delimited\n- read_parquet\n", "stands first"),
        ("paths:\n- file: a.csv\ntransformations:\n- read_delimted: {}\n", "read_delimited"),
        ("paths:\n- file: a.csv\ntransformations:\n- read_delimited\n- filter: 'x > 1'\n", "filter"),
        ("paths:\n- file: a.csv\ntransformations:\n- read_delimited\n- take: -1\n", "take"),
        ("paths:\n- file: a.csv\ntransformations:\n- read_delimited: {delimiter: ab}\n", "delimiter"),
        ("paths:\n- file: gone.csv\ntransformations:\n- read_delimited\n", "No file is there"),
    ],
)
def test_a_bad_mltable_is_said_by_line_and_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    with pytest.raises(Invalid, match=says):
        table(tmp_path, text).preview()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=40))
def test_any_numbers_have_a_profile_that_json_can_hold(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    pd.DataFrame({"a": values}).to_parquet(folder / "a.parquet")
    found = column(profile(source(folder)), "a")
    assert found.count == len(values)
    assert json.dumps(found.as_json(), allow_nan=False)
