"""PROFILE_MILLION: every column of a million rows by twenty, against pandas' `describe` and `nunique` of them.

Both read the same Parquet file from this disk and are processes of their own, as a person who asks would wait for
them; ours finds quantiles, skew, kurtosis, histograms and the commonest values as well. Run it alone:
`python -m tests.benchmarks.profile_million`.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from services.engines import tables
from tests.benchmarks.metering import Cost, Meter

PEER = "pandas read_parquet, describe(include='all') and nunique"
UNIT = "wall"
ROUNDS = 5
BAR = 1.5
ROWS = 1_000_000
SECONDS = 5.0
_PANDAS = """
import sys, pandas as pd
frame = pd.read_parquet(sys.argv[1])
print(frame.describe(include="all"), frame.nunique())
"""


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        path = Path(folder) / "million.parquet"
        million().to_parquet(path)
        for _ in range(rounds):
            yield ours(path), theirs(path)


def million() -> pd.DataFrame:
    """Eight numbers, four whole numbers, four texts, two dates, two claims; some are missing."""
    draw = np.random.default_rng(7)
    frame = pd.DataFrame({f"number_{at}": draw.normal(at, 1 + at, ROWS) for at in range(8)})
    for at in range(4):
        frame[f"whole_{at}"] = draw.integers(0, 10 ** (at + 2), ROWS)
        words = np.array([f"word {word}" for word in range(5 * 10**at)])
        frame[f"text_{at}"] = words[draw.integers(0, len(words), ROWS)]
    for at in range(2):
        frame[f"date_{at}"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 10**8, ROWS), unit="s")
        frame[f"claim_{at}"] = draw.random(ROWS) < 0.3
        frame.loc[draw.random(ROWS) < 0.05, f"number_{at}"] = None
    return frame


def ours(path: Path) -> Cost:
    meter = Meter()
    found = tables.profile(
        tables.Source([tables.Part(path.name, path.stat().st_size, local=path)], lambda _: path.open("rb"))
    )
    cost = meter.read()
    assert (found.rows, len(found.columns), found.sampled) == (ROWS, 20, False)
    return cost


def theirs(path: Path) -> Cost:
    meter = Meter()
    subprocess.run([sys.executable, "-c", _PANDAS, str(path)], check=True, stdout=subprocess.DEVNULL)
    return meter.read()


def main() -> None:
    """One line: seconds on the clock, and the ratio."""
    pairs = list(run(ROUNDS))
    mine, other = (sorted(cost.wall for cost in side)[ROUNDS // 2] for side in zip(*pairs, strict=True))
    ratios = sorted(ours.wall / theirs.wall for ours, theirs in pairs)
    met = "met" if mine < SECONDS else "missed"
    print(
        f"PROFILE_MILLION {mine:.2f} s (bar {SECONDS:g} s {met}), {PEER}: {other:.2f} s, "
        f"ratio {ratios[ROUNDS // 2]:.2f} [{ratios[0]:.2f}–{ratios[-1]:.2f}] n={ROUNDS}"
    )


if __name__ == "__main__":
    main()
