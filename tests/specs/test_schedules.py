"""Schedules as people write them: cron and recurrences that can happen, zones that exist."""

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.core.errors import Invalid
from services.specs import cron, source, timezones
from services.specs.problems import checked
from services.specs.schedules import RecurrenceTrigger, Schedule

CRON = "trigger: {type: cron, expression: '0 * * * *'}\ncreate_job: azureml:j\n"
EVERY = "trigger: {type: recurrence, frequency: day, interval: 1}\ncreate_job: azureml:j\n"


def read(text: str) -> Schedule:
    written = source.load(text, file="s.yml")
    return checked(Schedule, written.value, written)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * * * * *", "not cron of five fields"),
        ("* * * *", "not cron of five fields"),
        ("", "must not be empty"),
        ("@reboot", "not cron of five fields"),
        ("R R * * *", "'R' is no minute"),
        ("H * * * *", "'H' is no minute"),
        ("0 0 31 2 *", "'0 0 31 2 *' never occurs"),
        ("0 0 30 2 *", "never occurs"),
        ("0 0 31 4,6,9,11 *", "never occurs"),
        ("60 * * * *", "'60' is no minute: 0 to 59"),
        ("0 24 * * *", "is no hour"),
        ("0 0 0 * *", "is no day"),
        ("0 0 * 13 *", "is no month"),
        ("0 0 * * 8", "is no weekday"),
        ("9-1 * * * *", "runs backwards"),
        ("*/0 * * * *", "is no minute"),
        ("0 0 L * *", "is no day"),
        ("0 0 * * mon#2", "is no weekday"),
    ],
)
def test_cron_that_cannot_be_meant_is_refused(expression: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(CRON.replace("0 * * * *", expression))
    assert said in str(caught.value)


def test_cron_is_five_sets() -> None:
    found = cron.parse("*/20 8-10,18 1 jan-mar MON,7")
    assert (sorted(found.minutes), sorted(found.hours)) == ([0, 20, 40], [8, 9, 10, 18])
    assert (sorted(found.days), sorted(found.months), sorted(found.week_days)) == ([1], [1, 2, 3], [0, 1])
    assert cron.parse("0 0 31 2 fri").week_days == {5}  # a Friday in February does occur
    assert cron.parse("0 0 29 2 *").days == {29}


@given(some.text(alphabet="0123456789*/-, abcMON@?#LWRH", max_size=30))
def test_any_text_is_cron_or_an_error_of_ours(text: str) -> None:
    try:
        found = cron.parse(text)
    except ValueError:
        return
    assert found.minutes <= set(range(60))
    assert found.days <= set(range(1, 32))
    assert found.week_days <= set(range(7))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (EVERY.replace("interval: 1", "interval: 0"), "must be at least 1"),
        (EVERY.replace("day", "fortnight"), "frequency must be one of"),
        (EVERY.replace("interval: 1", "interval: 1, schedule: {hours: 24}"), "must be at most 23"),
        (EVERY.replace("interval: 1", "interval: 1, schedule: {minutes: [0, 60]}"), "must be at most 59"),
        (EVERY.replace("interval: 1", "interval: 1, schedule: {week_days: [mon]}"), "must be one of 'monday'"),
        (EVERY.replace("interval: 1", "interval: 1, schedule: {}, pattern: {}"), "mean the same"),
        (EVERY.replace("interval: 1", "interval: 1, time_zone: Mars/Base"), "is no time zone"),
        (EVERY.replace("interval: 1", "interval: 1, start_time: soon"), "is no time"),
        (
            EVERY.replace("interval: 1", "interval: 1, start_time: '2026-02-01', end_time: '2026-01-01'"),
            "is not before end_time",
        ),
        ("trigger: {type: daily}\ncreate_job: x\n", "type must be one of 'cron', 'recurrence'"),
        ("trigger: {type: cron, expression: '0 * * * *'}\n", "'create_job' is required"),
        (CRON.replace("azureml:j", "{job: azureml:j, imputs: {}}"), "Did you mean 'inputs'?"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert said in " ".join([str(caught.value), *caught.value.details])


def test_one_hour_is_a_list_of_one() -> None:
    trigger = read(EVERY.replace("interval: 1", "interval: 1, schedule: {hours: 3, minutes: 15}")).trigger
    assert isinstance(trigger, RecurrenceTrigger)
    assert trigger.schedule is not None
    assert (trigger.schedule.hours, trigger.schedule.minutes) == ([3], [15])


def test_windows_names_are_zones_that_exist() -> None:
    assert set(timezones.WINDOWS.values()) <= available_timezones()
    assert timezones.zone("Pacific Standard Time").key == "America/Los_Angeles"
    assert timezones.zone("Europe/Berlin").key == "Europe/Berlin"
