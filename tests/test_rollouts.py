"""Rollouts: steps are writes of the traffic; nobody else moves it meanwhile, and one click brings it back."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import deployments, endpoints, rollouts, workspaces
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import ProvisioningState, RolloutState
from services.specs.problems import checked
from services.specs.rollouts import Rollout as RolloutSpec
from services.specs.workspaces import Workspace
from services.store.serving import Rollout
from services.studio import Scope
from tests.conftest import Stage
from tests.rolling import ENDPOINT, deployment_of, endpoint_of, opened, told


def begun(stage: Stage, **fields: object) -> Rollout:
    with stage.scope(stage.ben) as scope:
        return rollouts.start(scope, ENDPOINT, RolloutSpec.model_validate({"deployment": "green", **fields}))


def test_the_first_step_is_taken_at_once(stage: Stage):
    opened(stage, blue=100, green=0)
    row = begun(stage, steps=[10, 50, 100], bake_seconds=60)
    assert (row.state, row.step, row.before) == (RolloutState.Running, 0, {"blue": 100, "green": 0})
    assert endpoint_of(stage).traffic == {"blue": 90, "green": 10}
    assert told(stage)[-1] == "A rollout to 'green' started with 10 % for 60 s, then 50 %, 100 %"


def test_the_target_is_found_in_any_case(lite: Stage):
    opened(lite, blue=100, green=0)
    assert begun(lite, deployment="GREEN").target == "green"


def test_one_at_a_time(stage: Stage):
    opened(stage, blue=100, green=0)
    begun(stage)
    with pytest.raises(Conflict, match="A rollout to 'green' is under way"):
        begun(stage)


def test_nobody_else_moves_the_traffic_meanwhile(stage: Stage):
    opened(stage, blue=100, green=0)
    begun(stage)
    with stage.scope() as scope, pytest.raises(Conflict) as refused:
        endpoints.set_traffic(scope, ENDPOINT, {"blue": 0, "green": 100})
    assert "cancel it" in (refused.value.hint or "")
    with stage.scope() as scope:
        rollouts.cancel(scope, ENDPOINT)
    with stage.scope() as scope:
        endpoints.set_traffic(scope, ENDPOINT, {"blue": 0, "green": 100})
    assert endpoint_of(stage).traffic["green"] == 100


@pytest.mark.parametrize(
    ("traffic", "target", "error", "says"),
    [
        ({"blue": 100}, "green", NotFound, "no deployment 'green'"),
        ({"blue": 0, "green": 0}, "green", Conflict, "No deployment has traffic"),
        ({"blue": 0, "green": 100}, "green", Conflict, "all of the traffic already"),
    ],
)
def test_a_rollout_that_cannot_be_is_refused(
    lite: Stage, traffic: dict[str, int], target: str, error: type[Exception], says: str
):
    opened(lite, **traffic)
    with pytest.raises(error, match=says):
        begun(lite, deployment=target)


def test_a_target_that_does_not_answer_is_refused(lite: Stage):
    opened(lite, blue=100, green=0)
    with lite.scope() as scope:
        row = deployment_of(lite, "green")
        row.provisioning_state = ProvisioningState.Updating
        scope.session.merge(row)
    with pytest.raises(Conflict, match="'green' is Updating"):
        begun(lite)


def test_a_stopped_endpoint_rolls_nothing_out(lite: Stage):
    opened(lite, blue=100, green=0)
    with lite.scope() as scope:
        endpoints.stop(scope, ENDPOINT)
    with pytest.raises(Conflict, match="is stopped"):
        begun(lite)


def test_promotion_goes_on_step_by_step_to_the_end(stage: Stage):
    opened(stage, blue=70, red=30, green=0)
    begun(stage, steps=[20, 60, 100])
    seen = [endpoint_of(stage).traffic]
    for _ in range(3):
        with stage.scope() as scope:
            row = rollouts.promote(scope, ENDPOINT)
        seen.append(endpoint_of(stage).traffic)
    assert seen[:3] == [
        {"blue": 56, "red": 24, "green": 20},
        {"blue": 28, "red": 12, "green": 60},
        {"blue": 0, "red": 0, "green": 100},
    ]
    assert (seen[3], row.state) == (seen[2], RolloutState.Succeeded)
    assert row.finished_at is not None
    assert told(stage)[-1] == "The rollout to 'green' succeeded; it has all of the traffic"
    assert "The rollout to 'green' went on to 60 %" in told(stage)


def test_full_promotion_is_the_end(stage: Stage):
    opened(stage, blue=100, green=0)
    begun(stage, type="linear", percent=10)
    with stage.scope() as scope:
        assert rollouts.promote(scope, ENDPOINT, full=True).state == RolloutState.Succeeded
    assert endpoint_of(stage).traffic == {"blue": 0, "green": 100}


def test_steps_that_would_take_traffic_away_are_left_out(lite: Stage):
    opened(lite, blue=60, green=40)
    row = begun(lite, type="linear", percent=25)
    assert rollouts.percents(row) == [50, 75, 100]
    assert endpoint_of(lite).traffic == {"blue": 50, "green": 50}


def test_canceling_leaves_the_traffic_and_one_click_brings_it_back(stage: Stage):
    opened(stage, blue=100, green=0)
    begun(stage, percent=30)
    with stage.scope() as scope:
        assert rollouts.cancel(scope, ENDPOINT).state == RolloutState.Canceled
    assert endpoint_of(stage).traffic == {"blue": 70, "green": 30}
    with stage.scope() as scope:
        rollouts.rollback(scope, ENDPOINT)
    assert endpoint_of(stage).traffic == {"blue": 100, "green": 0}


def test_one_click_turns_a_running_rollout_back(stage: Stage):
    opened(stage, blue=100, green=0)
    begun(stage, percent=30)
    with stage.scope(stage.ben) as scope:
        rollouts.rollback(scope, ENDPOINT)
    with stage.scope(write=False) as scope:
        row = rollouts.get(scope, ENDPOINT)
    assert (row.state, row.message) == (RolloutState.RolledBack, "Rolled back at 30 %: ben asked for it.")
    assert endpoint_of(stage).traffic == {"blue": 100, "green": 0}
    with stage.scope() as scope, pytest.raises(Conflict, match="no traffic to come back to"):
        rollouts.rollback(scope, ENDPOINT)


def test_one_click_after_the_end_goes_back_to_what_was_before_the_start(stage: Stage):
    opened(stage, blue=80, red=20, green=0)
    begun(stage, steps=[10, 50, 100])
    with stage.scope() as scope:
        rollouts.promote(scope, ENDPOINT, full=True)
    with stage.scope() as scope:
        rollouts.rollback(scope, ENDPOINT)
    assert endpoint_of(stage).traffic == {"blue": 80, "red": 20, "green": 0}


def test_one_click_undoes_a_change_by_hand(stage: Stage):
    opened(stage, blue=100, green=0)
    with stage.scope() as scope:
        endpoints.set_traffic(scope, ENDPOINT, {"green": 100})
        assert rollouts.rollback(scope, ENDPOINT).traffic == {"blue": 100, "green": 0}


def test_there_is_no_way_back_to_what_does_not_answer(lite: Stage):
    opened(lite, blue=100, green=0)
    with lite.scope() as scope:
        endpoints.set_traffic(scope, ENDPOINT, {"green": 100})
        row = deployment_of(lite, "blue")
        row.provisioning_state = ProvisioningState.Failed
        scope.session.merge(row)
        scope.session.flush()
        with pytest.raises(Conflict, match="'blue' is Failed"):
            rollouts.rollback(scope, ENDPOINT)


def test_what_a_rollout_may_need_stays(lite: Stage):
    opened(lite, blue=100, green=0, old=0)
    begun(lite, steps=[50, 100])
    with lite.scope() as scope:
        rollouts.promote(scope, ENDPOINT)
        with pytest.raises(Conflict, match="that needs deployment 'blue'"):
            deployments.delete(scope, ENDPOINT, "blue")
        deployments.delete(scope, ENDPOINT, "old")
        rollouts.promote(scope, ENDPOINT)
        deployments.delete(scope, ENDPOINT, "blue")
    assert endpoint_of(lite).traffic == {"green": 100}


@pytest.mark.parametrize("ask", [rollouts.promote, rollouts.cancel])
def test_without_a_rollout_there_is_none_to_move(lite: Stage, ask: Callable[[Scope, str], Rollout]):
    opened(lite, blue=100, green=0)
    with lite.scope() as scope, pytest.raises(Conflict, match="No rollout is under way on 'shop'"):
        ask(scope, ENDPOINT)


def test_readers_look_and_change_nothing(stage: Stage):
    opened(stage, blue=100, green=0)
    begun(stage)
    with stage.scope(stage.cleo, write=False) as scope:
        assert [row.target for row in rollouts.listed(scope, ENDPOINT)] == ["green"]
    asks: list[Callable[[Scope, str], object]] = [rollouts.promote, rollouts.cancel, rollouts.rollback]
    for ask in asks:
        with stage.scope(stage.cleo) as scope, pytest.raises(Denied):
            ask(scope, ENDPOINT)


def test_another_workspace_has_none_of_it(stage: Stage):
    opened(stage, blue=100, green=0)
    row = begun(stage)
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, Workspace(name="other"))
    with stage.scope(workspace="other") as scope:
        for ask in (lambda: rollouts.get(scope, ENDPOINT, row.id), lambda: rollouts.cancel(scope, ENDPOINT)):
            with pytest.raises(NotFound):
                ask()


def test_a_rollout_is_told_as_json(lite: Stage):
    opened(lite, blue=100, green=0)
    begun(lite, percent=25, bake_seconds=30)
    with lite.scope(write=False) as scope:
        told_ = rollouts.as_json(scope, rollouts.get(scope, ENDPOINT))
    shown = {key: told_[key] for key in ("deployment", "state", "steps", "step", "percent", "before", "message")}
    assert shown == {
        "deployment": "green",
        "state": "Running",
        "steps": [25, 100],
        "step": 1,
        "percent": 25,
        "before": {"blue": 100, "green": 0},
        "message": "Step 1 of 2: 'green' has 25 % of the traffic.",
    }
    assert told_["next_at"] > told_["step_at"]


@pytest.mark.parametrize("steps", [[50, 10, 100], [10, 50], [10, 10, 100], [0, 100], [10, 101]])
def test_steps_rise_to_all_of_it(steps: list[int]):
    with pytest.raises(Invalid):
        checked(RolloutSpec, {"deployment": "green", "steps": steps})


shares = st.dictionaries(st.sampled_from(["blue", "red", "gold", "green"]), st.integers(0, 100), max_size=4)


@given(before=shares, percent=st.integers(1, 100))
def test_shares_are_whole_keep_their_proportions_and_sum_to_all(before: dict[str, int], percent: int):
    found = rollouts.shared(before, "green", percent)
    others = {name: share for name, share in before.items() if name != "green"}
    total = sum(others.values())
    assert sum(found.values()) == 100
    assert found["green"] == (percent if total else 100)
    assert all(abs(found[name] - share * (100 - percent) / total) < 1 for name, share in others.items() if total)
    assert all(found[name] == 0 for name, share in others.items() if not share)
