"""The process that grows the forest: a question on its standard input, the answer on its standard output."""

import resource
import sys
from typing import Any

import numpy as np
import orjson
from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]

TREES = 200
ADDRESS_SPACE = 4 << 30
CPU_SECONDS = 120


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = orjson.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(orjson.dumps(importance(asked["columns"], asked["target"])))


def importance(columns: dict[str, list[Any]], target: list[float]) -> dict[str, Any]:
    """Breiman's: of each tree by the rows that it did not see, all columns of a category shuffled together."""
    parts = [_encoded(values) for values in columns.values()]
    places = np.cumsum([0, *(part.shape[1] for part in parts)])
    rows, wanted = np.concatenate(parts, axis=1).astype(np.float32), np.asarray(target, dtype=np.float64)
    forest = RandomForestRegressor(TREES, oob_score=True, min_samples_leaf=2, random_state=0).fit(rows, wanted)
    chance = np.random.default_rng(0)
    lost = np.zeros((len(forest.estimators_), len(parts)))
    for at, (tree, seen) in enumerate(zip(forest.estimators_, forest.estimators_samples_, strict=True)):
        unseen = np.setdiff1d(np.arange(len(rows)), seen)
        if not len(unseen):
            continue
        own, truth = rows[unseen], wanted[unseen]
        before = np.mean((tree.tree_.predict(own)[:, 0] - truth) ** 2)
        for place in range(len(parts)):
            shuffled = own.copy()
            inside = slice(places[place], places[place + 1])
            shuffled[:, inside] = own[chance.permutation(len(own)), inside]
            lost[at, place] = np.mean((tree.tree_.predict(shuffled)[:, 0] - truth) ** 2) - before
    lost /= np.var(wanted)
    shares = {
        name: (float(lost[:, place].mean()), float(lost[:, place].std() / np.sqrt(len(lost))))
        for place, name in enumerate(columns)
    }
    return {"r2": float(forest.oob_score_), "shares": shares}


def _encoded(values: list[Any]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """One column of numbers, or one of nought and one for each word."""
    if not isinstance(values[0], str):
        return np.asarray(values, dtype=np.float64).reshape(-1, 1)
    words = np.asarray(values)
    return np.asarray(words[:, None] == np.unique(words)[None, :], dtype=np.float64)


if __name__ == "__main__":
    main()
