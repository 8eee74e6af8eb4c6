"""Points as columns of bytes: packed while they come in, one array a column once they lie still."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.store import downsampling

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Packed = npt.NDArray[np.void]

POINT = np.dtype([("key", "<u4"), ("step", "<i8"), ("time", "<i8"), ("value", "<f8")])
CHUNK = 8192
ROLLED = 2000
_LARGEST_OFFSET = 2**32 - 1


@dataclass(frozen=True)
class Series:
    """One metric of one run, as arrays of one length. `time` is in milliseconds."""

    step: Steps
    time: Steps
    value: Values

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> "Series":
        return Series(self.step[which], self.time[which], self.value[which])

    @classmethod
    def of(cls, points: Packed) -> "Series":
        return cls(points["step"].astype(np.int64), points["time"].astype(np.int64), points["value"].astype(np.float64))

    @classmethod
    def joined(cls, parts: Iterable["Series"]) -> "Series":
        """In the order given."""
        held = list(parts)
        if len(held) == 1:
            return held[0]
        if not held:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
        return cls(
            np.concatenate([part.step for part in held]),
            np.concatenate([part.time for part in held]),
            np.concatenate([part.value for part in held]),
        )

    def in_order(self) -> "Series":
        """By step, then time; what is equal in both stays as it came."""
        if np.all(self.step[1:] > self.step[:-1]):  # as nearly all are, and quickly seen
            return self
        forward = np.diff(self.step)
        if np.all((forward > 0) | ((forward == 0) & (np.diff(self.time) >= 0))):
            return self
        return self[np.lexsort((self.time, self.step))]

    def distinct(self) -> "Series":
        """Without exact duplicates, as MLflow keeps it: −0 is 0 and ±Inf the largest number there."""
        ordered = self.in_order()
        if not np.any((np.diff(ordered.step) == 0) & (np.diff(ordered.time) == 0)):
            return ordered
        stored = np.nan_to_num(ordered.value, nan=0.0) + 0.0
        is_nan = np.isnan(ordered.value)
        order = np.lexsort((is_nan, stored, ordered.time, ordered.step))
        again = np.ones(len(order), dtype=bool)
        again[0] = False
        for column in (ordered.step, ordered.time, stored, is_nan):
            again[1:] &= column[order][1:] == column[order][:-1]
        keep = np.ones(len(order), dtype=bool)
        keep[order[again]] = False
        return ordered[keep]

    def between(self, start: int | None, end: int | None) -> "Series":
        """Steps from `start` to `end`, both included."""
        if start is None and end is None:
            return self
        inside = np.ones(len(self), dtype=bool)
        if start is not None:
            inside &= self.step >= start
        if end is not None:
            inside &= self.step <= end
        return self[inside]

    def drawn(self, most: int) -> "Series":
        """At most so many points, the extremes, gaps and ends among them."""
        return self if len(self) <= most else self[downsampling.kept(self.value, most)]


@dataclass(frozen=True)
class Chunk:
    """At most CHUNK points at rest. `step` is left out when its stride `ds` is constant."""

    n: int
    s0: int
    ds: int
    t0: int
    step: bytes | None
    value: bytes
    time: bytes

    @classmethod
    def of(cls, series: Series) -> "Chunk":
        strides = np.diff(series.step)
        even = not len(strides) or bool(np.all(strides == strides[0]))
        t0 = int(series.time.min())
        small = int(series.time.max()) - t0 <= _LARGEST_OFFSET
        return cls(
            n=len(series),
            s0=int(series.step[0]),
            ds=int(strides[0]) if len(strides) and even else 0,
            t0=t0,
            step=None if even else series.step.astype("<i8").tobytes(),
            value=series.value.astype("<f8").tobytes(),
            time=(series.time - t0).astype("<u4").tobytes() if small else series.time.astype("<i8").tobytes(),
        )

    def series(self) -> Series:
        step = np.frombuffer(self.step, "<i8") if self.step else self.s0 + self.ds * np.arange(self.n, dtype=np.int64)
        if len(self.time) == 4 * self.n:
            time = np.frombuffer(self.time, "<u4").astype(np.int64) + self.t0
        else:  # a span of more than 49 days is kept whole
            time = np.frombuffer(self.time, "<i8")
        return Series(step, time, np.frombuffer(self.value, "<f8"))


def chunks(series: Series) -> list[Chunk]:
    return [Chunk.of(series[slice(at, at + CHUNK)]) for at in range(0, len(series), CHUNK)]


def rolled(series: Series) -> bytes | None:
    """The line in ROLLED points, for series that are longer."""
    if len(series) <= ROLLED:
        return None
    few = series.drawn(ROLLED)
    return few.step.astype("<i8").tobytes() + few.time.astype("<i8").tobytes() + few.value.astype("<f8").tobytes()


def unrolled(blob: bytes) -> Series:
    n = len(blob) // 24
    return Series(
        np.frombuffer(blob, "<i8", n), np.frombuffer(blob, "<i8", n, 8 * n), np.frombuffer(blob, "<f8", n, 16 * n)
    )


def by_key(points: Packed) -> dict[int, Series]:
    """The series of each key, in order of arrival."""
    if not len(points):
        return {}
    order = np.argsort(points["key"], kind="stable")
    keys, starts = np.unique(points["key"][order], return_index=True)
    parts = np.split(order, starts[1:])
    return {int(key): Series.of(points[part]) for key, part in zip(keys, parts, strict=True)}
