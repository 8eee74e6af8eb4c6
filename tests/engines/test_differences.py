"""Texts and folders compared line by line: what is shown can be put together again, and nothing takes long."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import Invalid
from services.engines import differences

texts = st.lists(st.sampled_from(["a", "b", "c", "d", ""]), max_size=40)


@given(before=texts, after=texts)
def test_a_difference_tells_both_sides(before: list[str], after: list[str]):
    found = differences.of_texts(before, after)
    assert (found == []) == (before == after)
    for line in found:
        if line.before is not None:
            assert before[line.before - 1] == line.text
        if line.after is not None:
            assert after[line.after - 1] == line.text
    gone = {line.before for line in found if line.kind == "removed"}
    come = {line.after for line in found if line.kind == "added"}
    assert [text for at, text in enumerate(before, 1) if at not in gone] == [
        text for at, text in enumerate(after, 1) if at not in come
    ]


def test_what_is_far_from_a_change_is_left_out():
    before = [str(number) for number in range(100)]
    after = [*before[:50], "new", *before[50:]]
    found = differences.of_texts(before, after)
    assert [line.text for line in found] == ["@@ -48,6 +48,7 @@", "47", "48", "49", "new", "50", "51", "52"]
    assert found[4] == differences.Line("added", "new", None, 51)


def test_texts_that_differ_in_thousands_of_lines_are_not_compared():
    many = [str(number) for number in range(differences.MOST_COMPARED + 10)]
    with pytest.raises(Invalid):
        differences.of_texts(many, [f"{line}!" for line in many])
    assert len(differences.of_texts(many, [*many[:-1], "x"])) == 6


def test_long_and_unreadable_files_are_named_with_the_reason(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, byte in ((one, b"a"), (other, b"b")):
        folder.mkdir()
        (folder / "large.txt").write_bytes(byte * (differences.MOST_BYTES + 1))
        (folder / "binary").write_bytes(b"\0" + byte)
        (folder / "latin").write_bytes(b"\xe9\n" + byte)
    (one / "ends.txt").write_bytes(b"a\n")
    (other / "ends.txt").write_bytes(b"a\r\n")
    found = {each.path: each for each in differences.unified(one, other)}
    assert found["large.txt"].note.startswith("Too large")
    assert found["binary"].note.startswith("Binary")
    assert found["ends.txt"].note == "Only line ends differ."
    assert [line.text for line in found["latin"].lines][1:] == ["\ufffd", "a", "b"]
    assert [each.note for each in differences.unified(one, other, most_lines=0) if each.path == "latin"] == [
        "Left out: what is shown above is long enough."
    ]
    assert [each.path for each in differences.unified(None, other, most_files=2)] == ["binary", "ends.txt"]
