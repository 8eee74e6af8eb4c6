"""Benchmarks by name: `scripts/bench I1 M3`, or all; one line each on stdout, what it comes from on stderr.

A benchmark is a module beside this one, named as SPEED calls it in small letters (`i1.py` is I1):

    PEER = "what it is compared with"
    UNIT = "cpu"        # or "wall", or a unit of its own, such as "MB", for plain numbers
    ROUNDS = 5          # unless --rounds says otherwise
    BAR = 0.25          # the ratio that is wanted, printed on stderr; may be left out
    def run(rounds: int) -> Iterable[tuple[Cost, Cost]]:    # or of two floats
        '''Ours and theirs, side by side in every round.'''

Nothing here is a test: a ratio above its bar is printed, not failed.
"""

import argparse
import importlib
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from tests.benchmarks.metering import Cost, Number, number


def names() -> list[str]:
    """Of every benchmark that is here."""
    found = (path.stem for path in Path(__file__).parent.glob("[a-z][0-9]*.py"))
    return sorted(name.upper() for name in found)


def benchmark(name: str) -> ModuleType:
    return importlib.import_module(f"tests.benchmarks.{name.lower()}")


def line(name: str, ratios: list[float], peer: str) -> str:
    """`ID ratio [min–max] n=… vs PEER`: the median of the rounds and how far they lie apart."""
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return f"{name} {middle:.3g} [{low:.3g}–{high:.3g}] n={len(ratios)} vs {peer}"


def measured(name: str, rounds: int | None) -> None:
    """Runs one and prints its line; every round is told as it ends."""
    module = benchmark(name)
    pairs: Iterable[tuple[Number, Number]] = module.run(rounds or getattr(module, "ROUNDS", 5))
    ratios = []
    for ours, theirs in pairs:
        ratios.append(number(ours, module.UNIT) / number(theirs, module.UNIT))
        say(f"{name} round {len(ratios)}: ours {_told(ours, module.UNIT)}, theirs {_told(theirs, module.UNIT)}")
    if not ratios:
        print(f"{name} left out: {module.PEER} is not to be had here", flush=True)
        return
    print(line(name, ratios, module.PEER), flush=True)
    if hasattr(module, "BAR"):
        middle = statistics.median(ratios)
        say(f"{name} bar ≤ {module.BAR:g}: {'met' if middle <= module.BAR else 'missed'}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _told(value: Number, unit: str) -> str:
    if isinstance(value, Cost):
        return f"{value.cpu:.3f} CPU-s, {value.wall:.3f} s on the clock"
    return f"{value:.4g} {unit}"


def main() -> int:
    known = names()
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Paired benchmarks, one line each.")
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    asked = parser.parse_args()
    wanted = [each.upper() for each in asked.ids] or known
    unknown = [each for each in wanted if each not in known]
    if unknown:
        say(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(known)}.")
        return 2
    for name in wanted:
        measured(name, asked.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
