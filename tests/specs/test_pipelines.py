"""Pipelines as people write them: what steps may name, in which order they run, and what files in the wild hold."""

import time

import pytest

from services.core.errors import Invalid
from services.specs import source
from services.specs.pipelines import PipelineJob
from services.specs.problems import checked
from services.specs.steps import Bound, order, waits_for

STEP = "    command: ls\n    environment: azureml:e:1\n"


def read(text: str) -> PipelineJob:
    written = source.load(text, file="p.yml")
    return checked(PipelineJob, written.value, written)


def chain(**needs: str) -> str:
    """Steps, each with the one that it reads from."""
    text = "jobs:\n"
    for name, other in needs.items():
        text += f"  {name}:\n{STEP}    outputs: {{o: }}\n"
        if other:
            text += f"    inputs: {{i: '${{{{parent.jobs.{other}.outputs.o}}}}'}}\n"
    return text


def test_only_data_puts_steps_in_an_order() -> None:
    job = read(chain(c="b", a="", b="a", alone=""))
    assert job.jobs is not None
    names = order(job.jobs)
    assert names.index("a") < names.index("b") < names.index("c")
    assert [sorted(waits_for(step)) for step in job.jobs.values()] == [["b"], [], ["a"], []]


def test_an_output_without_a_value_has_the_defaults() -> None:
    job = read(chain(a=""))
    assert job.jobs is not None
    assert job.jobs["a"].outputs == {"o": Bound()}


def test_a_misspelling_of_the_wild_is_read_and_told() -> None:
    job = read("settings: {default_datestore: azureml:x}\n" + chain(a=""))
    assert "default_datastore" in job.warnings()[0]


def test_a_step_without_a_type_is_a_command_and_a_pipeline_may_be_one_component() -> None:
    assert read("component: azureml:x@latest\ninputs: {a: 1}\n").jobs is None
    job = read(chain(a=""))
    assert job.jobs is not None
    assert job.jobs["a"].type == "command"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (chain(a="a"), "the steps wait for each other: a → a"),
        (chain(a="b", b="a"), "the steps wait for each other:"),
        (chain(a="z"), "jobs.a: there is no step 'z'. Defined: a"),
        (chain(a="", b="a").replace("outputs.o}}", "outputs.p}}"), "step 'a' has no output 'p'. Defined: o"),
        (chain(a="").replace("ls", "ls ${{inputs.x}}"), "Unknown input 'x'. Defined: none"),
        (chain(a="").replace("ls", "ls ${{parent.inputs.x}}"), "only understood in the steps of a pipeline"),
        (chain(a="") + "    inputs: {i: '${{parent.inputs.x}}'}\n", "the pipeline has no input 'x'. Defined: none"),
        (chain(a="") + "    inputs: {i: '${{parent.input.x}}'}\n", "is not understood; write"),
        (chain(a="") + "    compute: ${{parent.inputs.where}}\n", "the pipeline has no input 'where'"),
        (chain(a="").replace("{o: }", "{o: '${{parent.outputs.x}}'}"), "the pipeline has no output 'x'"),
        (chain(a="").replace("{o: }", "{o: {path: ./here}}"), "datastore URI"),
        (chain(a="").replace("command: ls", "comand: ls"), "Did you mean 'command'?"),
        (chain(a="") + "    component: ./x.yml\n", "a 'component' or a 'command' of its own"),
        ("jobs:\n  a: {type: command}\n", "a 'component' or a 'command' of its own"),
        ("jobs:\n  a: {command: ls}\n", "needs an 'environment'"),
        ("jobs:\n  a: {type: comand, command: ls}\n", "Did you mean 'command'?"),
        ("jobs:\n  a: {type: spark, code: x}\n", "a step of type 'spark' is not run by this version"),
        ("jobs:\n  a: {type: automl}\n", "a step of type 'automl' is not run by this version"),
        ("jobs:\n  a: ls\n", "a step must be a mapping"),
        ("jobs: {}\n", "jobs must not be empty"),
        ("type: pipeline\n", "a pipeline has 'jobs' or a 'component'"),
        ("component: x.yml\n" + chain(a=""), "a pipeline has 'jobs' or a 'component'"),
        ("jobs:\n  a: {type: parallel, component: ./x.yml, mini_batch_size: many}\n", "is not a mini-batch"),
        ("jobs:\n  a: {type: parallel, component: ./x.yml, mini_batch_size: 0}\n", "is not a mini-batch"),
        ("jobs:\n  a: {type: parallel, component: ./x.yml, error_threshold: -2}\n", "must be at least -1"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert said in " ".join([str(caught.value), *caught.value.details])


def test_a_problem_in_a_step_names_its_line() -> None:
    with pytest.raises(Invalid) as caught:
        read(chain(a="", b="") + "    limits: {timeout: soon}\n")
    assert str(caught.value.where) == "p.yml:10"


def test_too_many_steps_and_long_circles_are_refused_quickly() -> None:
    started = time.process_time()
    with pytest.raises(Invalid, match="at most 10000 entries"):
        read("jobs:\n" + "".join(f"  s{n}: {{component: a}}\n" for n in range(30_001)))
    circle = {f"s{n}": f"s{(n + 1) % 1500}" for n in range(1500)}
    with pytest.raises(Invalid, match="wait for each other"):
        read(chain(**circle))
    assert time.process_time() - started < 30  # each takes about a second; growing with the square takes minutes


def test_a_problem_between_steps_names_the_line_of_the_step_that_says_it() -> None:
    with pytest.raises(Invalid) as caught:
        read(chain(a="", b="z"))
    assert str(caught.value.where) == "p.yml:6"
    with pytest.raises(Invalid) as caught:
        read(chain(a="", b="").replace("ls", "ls ${{inputs.x}}"))
    assert str(caught.value.where) == "p.yml:3"
