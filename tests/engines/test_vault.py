"""The vault: what is sealed opens with its own key, in its own place, unchanged, and nowhere else."""

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import Conflict, EngineError
from services.engines.vault import KeyFile, Ring, Sealed

RING = Ring({1: bytes(range(32))})
HERE = b"lab|s1|1"


@given(value=st.binary(max_size=4096), place=st.binary(max_size=200))
def test_what_is_sealed_opens_again(value: bytes, place: bytes):
    sealed = RING.seal(value, place)
    assert RING.open(sealed, place) == value
    assert len(value) < 8 or value not in sealed.sealed + sealed.wrapped


@given(value=st.binary(min_size=1, max_size=64), data=st.data())
def test_any_changed_byte_is_refused(value: bytes, data: st.DataObject):
    sealed = RING.seal(value, HERE)
    part = data.draw(st.sampled_from(["wrapped", "sealed"]))
    found = bytearray(getattr(sealed, part))
    at = data.draw(st.integers(0, len(found) - 1))
    found[at] ^= data.draw(st.integers(1, 255))
    parts = {"wrapped": sealed.wrapped, "sealed": sealed.sealed, part: bytes(found)}
    with pytest.raises(EngineError):
        RING.open(Sealed(**parts, key_version=1), HERE)


@given(one=st.binary(max_size=64), other=st.binary(max_size=64), length=st.integers(0, 40))
def test_parts_of_another_secret_and_shortened_ones_are_refused(one: bytes, other: bytes, length: int):
    mine, theirs = RING.seal(one, HERE), RING.seal(other, b"lab|s2|1")
    for mixed in (
        theirs,
        Sealed(mine.wrapped, theirs.sealed, 1),
        Sealed(theirs.wrapped, mine.sealed, 1),
        Sealed(mine.wrapped[:length], mine.sealed, 1),
        Sealed(mine.wrapped, mine.sealed[: min(length, len(mine.sealed) - 1)], 1),
    ):
        with pytest.raises(EngineError):
            RING.open(mixed, HERE)


@pytest.mark.parametrize("place", [b"lab|s1|2", b"lab|s2|1", b"den|s1|1", b""])
def test_a_secret_opens_in_its_place_only(place: bytes):
    with pytest.raises(EngineError):
        RING.open(RING.seal(b"x", HERE), place)


def test_equal_values_look_different_and_no_key_is_used_twice():
    made = [RING.seal(b"the same", HERE) for _ in range(50)]
    assert len({each.sealed for each in made}) == len({each.wrapped for each in made}) == 50


def test_rewrapping_moves_the_key_and_not_the_value():
    both = Ring({**RING.keys, 2: bytes(32)})
    old = RING.seal(b"kept", HERE)
    new = both.rewrap(old, HERE)
    assert (new.sealed, new.key_version) == (old.sealed, 2)
    assert Ring({2: bytes(32)}).open(new, HERE) == b"kept" == both.open(old, HERE)
    with pytest.raises(EngineError, match="master key 1, which is not in the key file"):
        Ring({2: bytes(32)}).open(old, HERE)
    with pytest.raises(EngineError):
        both.open(Sealed(old.wrapped, old.sealed, 2), HERE)


def test_no_repr_and_no_error_shows_a_key_or_a_value(tmp_path: Path):
    file = KeyFile(tmp_path / "master.key")
    ring = file.make()
    shown = f"{ring!r} {file!r}"
    with pytest.raises(EngineError) as refused:
        RING.open(ring.seal(b"canary-value", HERE), HERE)
    words = shown + str(refused.value)
    assert "canary" not in words
    assert file.path.read_text().split()[1] not in words


def test_the_key_file_is_its_owners_alone(tmp_path: Path):
    file = KeyFile(tmp_path / "master.key")
    file.make()
    file.add()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_a_second_key_stands_beside_the_first_until_that_is_dropped(tmp_path: Path):
    file = KeyFile(tmp_path / "master.key")
    first = file.make()
    both = file.add()
    assert (set(both.keys), both.current, both.keys[1]) == ({1, 2}, 2, first.keys[1])
    assert file.drop_old().keys == {2: both.keys[2]}


def test_processes_that_make_the_first_key_at_once_agree(tmp_path: Path):
    rings: list[Ring] = []
    threads = [
        threading.Thread(target=lambda: rings.append(KeyFile(tmp_path / "master.key").make())) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({ring.keys[1] for ring in rings}) == 1 == len({ring.fingerprint(1) for ring in rings})


@pytest.mark.parametrize("text", ["", "\n", "1\n", "1 abc\n", "0 " + "A" * 43 + "=\n", "é", "-----BEGIN KEY-----\n"])
def test_another_file_is_not_taken_for_a_key(tmp_path: Path, text: str):
    (tmp_path / "master.key").write_text(text, encoding="utf-8")
    with pytest.raises(EngineError, match=r"master\.key"):
        KeyFile(tmp_path / "master.key").read()
    assert (tmp_path / "master.key").read_text(encoding="utf-8") == text


def test_one_process_at_a_time_changes_the_keys(tmp_path: Path):
    one, other = KeyFile(tmp_path / "master.key"), KeyFile(tmp_path / "master.key")
    with one.alone(), pytest.raises(Conflict), other.alone():
        pytest.fail("two were let in")
