"""Archives by people who mean harm: refused with the reason or contained, and nothing half is left."""

import bz2
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.errors import Invalid
from services.engines import archives

Maker = Callable[[Path], None]
GOOD = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)), "naïve ü.txt": b"", "deep/run.sh": b"#!/bin/sh\n"}


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> Maker:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)

    return make


def special(name: str, kind: int, content: bytes = b"/etc/passwd") -> Maker:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return zipped((info, content))


def tarred(*members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> Maker:
    def make(path: Path) -> None:
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for member in members:
                info, content = member if isinstance(member, tuple) else (member, b"")
                if isinstance(info, str):
                    info = tarfile.TarInfo(info)
                    info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    return make


def member(name: str, type_: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info


def changed(make: Maker, change: Callable[[bytes], bytes]) -> Maker:
    def made(path: Path) -> None:
        make(path)
        path.write_bytes(change(path.read_bytes()))

    return made


def overlapping(path: Path) -> None:
    """Many names for the same bytes, as in the quoted-overlap bomb."""
    kernel = gzip.compress(b"\0" * (8 << 20))[10:-8]
    local = struct.pack("<4sHHHHHLLLHH", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(kernel), 8 << 20, 1, 0) + b"a" + kernel
    names = [f"{index:04}" for index in range(400)]
    directory = b"".join(
        struct.pack(
            "<4sHHHHHHLLLHHHHHLL", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(kernel), 8 << 20, 4, 0, 0, 0, 0, 0, 0
        )
        + name.encode()
        for name in names
    )
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, len(names), len(names), len(directory), len(local), 0)
    path.write_bytes(local + directory + end)


def million(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"")
    data = path.read_bytes()
    at = data.rfind(b"PK\x05\x06")
    path.write_bytes(data[: at + 8] + struct.pack("<HHL", 0xFFFF, 0xFFFF, 1 << 30) + data[at + 16 :])


def talkative(path: Path) -> None:
    """A header of 64 MB about a file of nothing."""
    info = tarfile.TarInfo("a")
    info.pax_headers = {"comment": "x" * (64 << 20)}
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)


HOSTILE: dict[str, tuple[Maker, str]] = {
    "zip: absolute": (zipped(("/etc/cron.d/x", b"")), "relative"),
    "zip: parent": (zipped(("../x", b"")), "leads out"),
    "zip: parent inside": (zipped(("a/../../x", b"")), "leads out"),
    "zip: backslash": (zipped(("..\\x", b"")), "relative"),
    "zip: drive": (zipped(("C:/x", b"")), "relative"),
    "zip: NUL in a name": (
        changed(zipped(("aXb", b"")), lambda data: data.replace(b"aXb", b"a\0b")),
        "relative|control",
    ),
    "zip: newline in a name": (zipped(("a\nb", b"")), "control"),
    "zip: link": (special("a", stat.S_IFLNK), "link"),
    "zip: device": (special("a", stat.S_IFCHR), "special"),
    "zip: twice": (changed(zipped(("a1", b"1"), ("a2", b"2")), lambda data: data.replace(b"a2", b"a1")), "twice"),
    "zip: two cases": (zipped(("Read.me", b"1"), ("read.ME", b"2")), "twice"),
    "zip: two Unicode forms": (zipped(("é", b"1"), ("e\u0301", b"2")), "twice"),
    "zip: file and folder": (zipped(("a", b"1"), ("a/b", b"2")), "twice"),
    "zip: encrypted": (
        changed(
            zipped(("a", b"1")), lambda data: data.replace(b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1")
        ),
        "encrypted",
    ),
    "zip: wrong checksum": (
        changed(zipped(("a", os.urandom(5000))), lambda data: data[:200] + b"\0" * 900 + data[1100:]),
        "damaged",
    ),
    "zip: cut": (changed(zipped(("a", b"1" * 5000)), lambda data: data[:-30]), "damaged"),
    "zip: long name": (zipped(("x" * 300, b"")), "too long"),
    "zip: long path": (zipped(("/".join(["d" * 100] * 60), b"")), "too long"),
    "zip: bomb": (zipped(("a", b"\0" * (96 << 20))), "more than"),
    "zip: overlapping bomb": (overlapping, "more than|damaged"),
    "zip: a million names": (million, "entries"),
    "tar: absolute": (tarred(("/etc/x", b"")), "relative"),
    "tar: parent": (tarred(("../x", b"")), "leads out"),
    "tar: symbolic link": (tarred(member("a", tarfile.SYMTYPE, "/etc"), ("a/passwd", b"")), "link"),
    "tar: hard link": (tarred(member("a", tarfile.LNKTYPE, "../../token")), "link"),
    "tar: device": (tarred(member("a", tarfile.CHRTYPE)), "special"),
    "tar: FIFO": (tarred(member("a", tarfile.FIFOTYPE)), "special"),
    "tar: twice": (tarred(("a", b"1"), ("a", b"2")), "twice"),
    "tar.gz: bomb": (tarred(("a", b"\0" * (96 << 20)), mode="w:gz"), "more than"),
    "tar.gz: talkative": (talkative, "says more"),
    "tar.gz: cut": (changed(tarred(("a", os.urandom(50_000)), mode="w:gz"), lambda data: data[:9000]), "damaged"),
    "tar: name that is no text": (
        changed(tarred(("aXb", b"")), lambda data: data.replace(b"aXb", b"a\xffb")),
        "damaged|no text",
    ),
    "a page": (lambda path: path.write_text("<html>") and None, "no archive"),
    "nothing": (lambda path: path.write_bytes(b"") and None, "no archive"),
    "gzip of no tar": (lambda path: path.write_bytes(gzip.compress(b"hello" * 999)) and None, "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    make, says = HOSTILE[name]
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "canary").write_text("alive")
    make(tmp_path / "archive")
    with pytest.raises(Invalid, match=says):
        archives.extract(tmp_path / "archive", room / "out", most_files=5000, most_bytes=64 << 20)
    assert list(room.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "canary", "room"]


@pytest.mark.parametrize(
    "make",
    [
        zipped(*GOOD.items()),
        tarred(*GOOD.items()),
        tarred(*GOOD.items(), mode="w:gz"),
        tarred(*GOOD.items(), mode="w:bz2"),
        changed(tarred(*GOOD.items()), bz2.compress),
    ],
)
def test_a_plain_archive_comes_out_as_it_went_in(tmp_path: Path, make: Maker) -> None:
    make(tmp_path / "archive")
    done = archives.extract(tmp_path / "archive", tmp_path / "out")
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == GOOD
    assert (done.files, done.size) == (len(GOOD), sum(map(len, GOOD.values())))


def test_a_large_zip_is_read_by_its_second_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 10)
        zipped(*GOOD.items())(tmp_path / "a.zip")
    assert b"PK\x06\x07" in (tmp_path / "a.zip").read_bytes()
    assert archives.extract(tmp_path / "a.zip", tmp_path / "out").files == len(GOOD)
    with pytest.raises(Invalid, match="entries"):
        archives.extract(tmp_path / "a.zip", tmp_path / "again", most_files=len(GOOD) - 1)


def test_folders_and_the_right_to_run_come_out_too(tmp_path: Path) -> None:
    info = tarfile.TarInfo("run.sh")
    info.mode, info.size = 0o4755, 2
    folder = tarfile.TarInfo("empty")
    folder.type = tarfile.DIRTYPE
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(folder)
        archive.addfile(info, io.BytesIO(b"#!"))
    archives.extract(tmp_path / "a.tar", tmp_path / "out")
    assert (tmp_path / "out" / "empty").is_dir()
    assert stat.S_IMODE((tmp_path / "out" / "run.sh").stat().st_mode) == 0o700


def test_what_a_broken_try_left_is_in_nobodys_way(tmp_path: Path) -> None:
    zipped(*GOOD.items())(tmp_path / "a.zip")
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "old").write_text("x")
    archives.extract(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out" / "old").exists()
