"""The suite of promises explains its failures as tests do."""

import pytest

pytest.register_assert_rewrite("tests.engines.suite")
