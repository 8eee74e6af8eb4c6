"""What the cloud's machine sizes mean here: how many processors and how much memory one instance may use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

GIB = 1 << 30
# vCPU and GiB, as the cloud documents them.
SIZES: dict[str, tuple[float, float]] = {
    "standard_a1_v2": (1, 2),
    "standard_a2_v2": (2, 4),
    "standard_a4_v2": (4, 8),
    "standard_a8_v2": (8, 16),
    "standard_b1s": (1, 1),
    "standard_b1ms": (1, 2),
    "standard_b2s": (2, 4),
    "standard_b2ms": (2, 8),
    "standard_b4ms": (4, 16),
    "standard_b8ms": (8, 32),
    "standard_d1_v2": (1, 3.5),
    "standard_d2_v2": (2, 7),
    "standard_d3_v2": (4, 14),
    "standard_d4_v2": (8, 28),
    "standard_d5_v2": (16, 56),
    "standard_d11_v2": (2, 14),
    "standard_d12_v2": (4, 28),
    "standard_d13_v2": (8, 56),
    "standard_d14_v2": (16, 112),
    "standard_d15_v2": (20, 140),
    "standard_nc6": (6, 56),
    "standard_nc12": (12, 112),
    "standard_nc24": (24, 224),
    "standard_nc6s_v2": (6, 112),
    "standard_nc12s_v2": (12, 224),
    "standard_nc24s_v2": (24, 448),
    "standard_nc6s_v3": (6, 112),
    "standard_nc12s_v3": (12, 224),
    "standard_nc24s_v3": (24, 448),
    "standard_nc24rs_v3": (24, 448),
    "standard_nc4as_t4_v3": (4, 28),
    "standard_nc8as_t4_v3": (8, 56),
    "standard_nc16as_t4_v3": (16, 110),
    "standard_nc64as_t4_v3": (64, 440),
    "standard_nc24ads_a100_v4": (24, 220),
    "standard_nc48ads_a100_v4": (48, 440),
    "standard_nc96ads_a100_v4": (96, 880),
    "standard_nc40ads_h100_v5": (40, 320),
    "standard_nc80adis_h100_v5": (80, 640),
    "standard_nd40rs_v2": (40, 672),
    "standard_nd96asr_v4": (96, 900),
    "standard_nd96amsr_a100_v4": (96, 1900),
    "standard_nd96isr_h100_v5": (96, 1900),
    "standard_nv6": (6, 56),
    "standard_nv12": (12, 112),
    "standard_nv6ads_a10_v5": (6, 55),
    "standard_nv36ads_a10_v5": (36, 440),
}
# The number in the name is the number of processors; so much memory has each of them.
_FAMILIES = (
    (re.compile(r"\Astandard_d(?P<n>\d+)[a-z]*_v(?:[3-9]|\d\d)\Z"), 4.0),
    (re.compile(r"\Astandard_e(?P<n>\d+)(?:-\d+)?[a-z]*_v(?:[3-9]|\d\d)\Z"), 8.0),
    (re.compile(r"\Astandard_f(?P<n>\d+)[a-z]*(?:_v[2-9])?\Z"), 2.0),
    (re.compile(r"\Astandard_m(?P<n>\d+)[a-z]*(?:_v[2-9])?\Z"), 28.0),
    (re.compile(r"\Astandard_l(?P<n>\d+)[a-z]*(?:_v[2-9])?\Z"), 8.0),
)
_DS = re.compile(r"\Astandard_ds(\d+)_v2\Z")
_QUANTITY = re.compile(r"\A(?P<number>\d+(?:\.\d+)?)(?P<unit>m|k|[KMGTP]i|[MGTP])?\Z")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", 1)
}


@dataclass(frozen=True)
class Size:
    """Processors, and memory in bytes; `note` says where that is not what was asked for."""

    cpus: float
    memory: int
    note: str = ""


USUAL = Size(2, 7 * GIB)


def size_of(instance_type: str | None, resources: Mapping[str, Any] | None, *, cpus: int, memory: int) -> Size:
    """Of one instance, on a host with so many processors and so much memory: never more than that.

    `resources` are Kubernetes' `limits` (else `requests`) and count before the instance type.
    """
    wanted = _of_type(instance_type)
    asked = {**((resources or {}).get("requests") or {}), **((resources or {}).get("limits") or {})}
    notes = [wanted.note] if wanted.note and not {"cpu", "memory"} <= asked.keys() else []
    processors = float(quantity(asked["cpu"])) if "cpu" in asked else wanted.cpus
    bytes_ = int(quantity(asked["memory"])) if "memory" in asked else wanted.memory
    if processors > cpus or bytes_ > memory:
        notes.append(
            f"It asks for {processors:g} CPUs and {bytes_ / GIB:.3g} GiB; this host has {cpus} and {memory / GIB:.3g}."
        )
    return Size(max(0.01, min(processors, cpus)), max(32 << 20, min(bytes_, memory)), " ".join(notes))


def quantity(text: str) -> Decimal:
    """Kubernetes' numbers: `500m` is 0.5, `2Gi` are bytes. Raises ValueError."""
    found = _QUANTITY.match(str(text).strip())
    if found is None:
        raise ValueError(f"{str(text)[:40]!r} is not a quantity, such as '0.5', '500m' or '2Gi'")
    try:
        number = Decimal(found["number"])
    except InvalidOperation as cause:
        raise ValueError(f"{str(text)[:40]!r} is not a quantity") from cause
    return number / 1000 if found["unit"] == "m" else number * _UNITS[found["unit"] or ""]


def _of_type(name: str | None) -> Size:
    if not name or name == "defaultinstancetype":
        return USUAL
    folded = _DS.sub(r"standard_d\1_v2", name.strip().lower())
    if folded in SIZES:
        cpus, gibibytes = SIZES[folded]
        return Size(cpus, int(gibibytes * GIB))
    for family, each in _FAMILIES:
        if found := family.match(folded):
            return Size(int(found["n"]), int(int(found["n"]) * each * GIB))
    note = f"The size '{name[:80]}' is not known here; it gets {USUAL.cpus:g} CPUs and {USUAL.memory // GIB} GiB."
    return Size(USUAL.cpus, USUAL.memory, note)
