"""Sweeps as people write them."""

import pytest

from services.core.errors import Invalid
from services.specs import source
from services.specs.problems import checked
from services.specs.sweeps import SweepJob

GOOD = """
trial: {command: "t ${{search_space.x}}", environment: "azureml:e:1"}
search_space:
  x: {type: uniform, min_value: 0, max_value: 1}
objective: {goal: minimize, primary_metric: loss}
"""


def read(text: str) -> SweepJob:
    written = source.load(text, file="s.yml")
    return checked(SweepJob, written.value, written)


def test_what_is_left_out_is_what_the_cloud_takes() -> None:
    job = read(GOOD)
    assert job.sampling_algorithm.type == "random"
    assert (job.limits.max_total_trials, job.limits.max_concurrent_trials, job.limits.timeout) == (1000, None, 5184000)


def test_an_exponent_that_looks_like_a_value_is_told() -> None:
    assert "mean 1 to 2.718" in read(GOOD.replace("uniform", "loguniform")).warnings()[0]
    assert read(GOOD).warnings() == []


X = "type: uniform, min_value: 0, max_value: 1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("\n  x: {" + X + "}", " {}"), "search_space must not be empty"),
        (GOOD.replace("search_space:\n  x: {" + X + "}\n", ""), "'search_space' is required"),
        (GOOD.replace("search_space.x", "search_space.y"), "Unknown search_space 'y'. Defined: x"),
        (GOOD.replace("search_space.x", "inputs.a"), "Unknown input 'a'. Defined: none"),
        (GOOD.replace("uniform", "unifrom"), "Did you mean 'uniform'?"),
        (GOOD.replace("max_value: 1", "max_value: 0"), "min_value 0 must be less than max_value 0"),
        (GOOD.replace(X, "type: loguniform, min_value: 0, max_value: 1000"), "too large a number"),
        (GOOD.replace(X, "type: quniform, min_value: 0, max_value: 1"), "quniform needs 'q'"),
        (GOOD.replace(X, X + ", q: 1"), "uniform takes no 'q'"),
        (GOOD.replace(X, "type: choice, values: []"), "values must not be empty"),
        (GOOD.replace(X, "type: randint, upper: 0"), "must be at least 1"),
        (GOOD.replace(X, "type: normal, mu: 0, sigma: 0"), "must be more than 0"),
        (GOOD.replace(X, "values: [1]"), "needs a 'type'"),
        (GOOD + "limits: {max_total_trials: 2, max_concurrent_trials: 3}\n", "is more than max_total_trials 2"),
        (GOOD + "limits: {timeout: -1}\n", "must be at least 1"),
        (GOOD + "sampling_algorithm: grid\n", "grid takes only choices"),
        (GOOD + "sampling_algorithm: randm\n", "Did you mean 'random'?"),
        (GOOD.replace("minimize", "lower"), "objective.goal must be one of"),
        (GOOD + "early_termination: {type: bandit}\n", "'slack_factor' or a 'slack_amount'"),
        (GOOD + "early_termination: {type: median_stopping, slack_factor: 1}\n", "slack is for bandit"),
        (GOOD + "early_termination: {type: truncation_selection}\n", "needs 'truncation_percentage'"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert said in " ".join([str(caught.value), *caught.value.details])
