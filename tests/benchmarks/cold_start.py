"""How long a request waits for a deployment that sleeps, with scikit-learn: `python -m tests.benchmarks.cold_start`.

Prints the median and the p95 of the requests that woke it, beside those that came right after. No bar is asserted; the
wanted p95 is below 3 s on an idle machine.
"""

import statistics
import sys
import time

from tests.benchmarks.stack import Running, atelier, until
from tests.benchmarks.v3 import CODE, ENDPOINT, asked, deploy, opened, sent, state

ROUNDS = 10
SCALE = {"type": "target_utilization", "min_instances": 0, "max_instances": 1, "scale_to_zero_after": 1}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with atelier() as studio:
        key, uri = opened(studio)
        deploy(studio, "sleepy", sent(studio, CODE.encode()), scale_settings=SCALE)
        until(lambda: state(studio, "sleepy") == "Succeeded", pause=0.1)
        cold, warm = [], []
        for _ in range(rounds):
            until(lambda: sleeps(studio), pause=0.1)
            cold.append(waited(uri, key))
            warm.append(waited(uri, key))
            print(f"cold {cold[-1]:.2f} s, then {warm[-1] * 1000:.1f} ms", file=sys.stderr, flush=True)
    p95 = statistics.quantiles(cold, n=20)[-1] if len(cold) > 1 else cold[0]
    print(f"cold start: median {statistics.median(cold):.2f} s, p95 {p95:.2f} s, n={len(cold)}")


def sleeps(studio: Running) -> bool:
    found = studio.client.get(f"/online-endpoints/{ENDPOINT}/deployments/sleepy").raise_for_status().json()
    return bool(found["is_asleep"]) and not studio.engine.found({"atelier.kind": "replica"})


def waited(uri: str, key: str) -> float:
    """Seconds until the answer, which must be a good one."""
    start = time.perf_counter()
    assert asked(uri, key, "sleepy") == 200
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
