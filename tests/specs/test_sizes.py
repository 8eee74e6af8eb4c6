"""Machine sizes of the cloud, and Kubernetes' quantities."""

import pytest

from services.specs.sizes import GIB, Size, quantity, size_of

HOST = {"cpus": 64, "memory": 512 * GIB}


@pytest.mark.parametrize(
    ("name", "cpus", "gibibytes"),
    [
        ("Standard_DS3_v2", 4, 14),
        ("STANDARD_DS3_V2", 4, 14),
        ("Standard_DS2_v2", 2, 7),
        ("Standard_D4s_v3", 4, 16),
        ("Standard_D2as_v4", 2, 8),
        ("Standard_E4s_v3", 4, 32),
        ("Standard_F4s_v2", 4, 8),
        ("Standard_F2s", 2, 4),
        ("Standard_NC6s_v3", 6, 112),
        ("Standard_NC4as_T4_v3", 4, 28),
    ],
)
def test_a_size_is_what_the_cloud_says_it_is(name: str, cpus: float, gibibytes: float) -> None:
    assert size_of(name, None, **HOST) == Size(cpus, int(gibibytes * GIB))


def test_nothing_gets_more_than_the_host_has() -> None:
    small = size_of("Standard_NC24s_v3", None, cpus=2, memory=8 * GIB)
    assert (small.cpus, small.memory) == (2, 8 * GIB)
    assert "this host has 2" in small.note


def test_an_unknown_size_is_an_ordinary_one_and_says_so() -> None:
    found = size_of("Standard_Q9", None, **HOST)
    assert (found.cpus, found.memory) == (2, 7 * GIB)
    assert "'Standard_Q9' is not known" in found.note
    assert size_of(None, None, **HOST).note == ""


def test_limits_count_before_requests_and_both_before_the_size() -> None:
    asked = {"requests": {"cpu": "0.1", "memory": "0.5Gi"}, "limits": {"cpu": "500m"}}
    assert size_of("defaultinstancetype", asked, **HOST) == Size(0.5, GIB // 2)


@pytest.mark.parametrize(("text", "number"), [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1Gi", GIB), ("10M", 10**7)])
def test_quantities_are_kubernetes_own(text: str, number: float) -> None:
    assert float(quantity(text)) == number


@pytest.mark.parametrize("text", ["", "-1", "two", "1gb", "1e3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)
