"""What is public, pinned; and the tables that have to agree with each other."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kling_adapters
from kling_adapters import ApiError, errors
from kling_adapters.models import CATALOG, _gateway
from kling_adapters.protocol.failures import api_error
from kling_adapters.protocol.messages import Answer


def test_every_public_name_is_there() -> None:  # their order is ruff's affair
    assert all(getattr(kling_adapters, name) is not None for name in kling_adapters.__all__)


def test_every_error_is_public_and_in_the_tree_at_the_top_of_its_module() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KlingError)
    ]
    tree = (errors.__doc__ or "").splitlines()
    for kind in kinds:
        assert kind.__name__ in kling_adapters.__all__
        assert any(kind.__name__ in line.split() for line in tree), kind.__name__


@pytest.mark.parametrize("status", sorted(_gateway.STATUSES))
def test_every_status_of_the_gateways_table_has_the_error_class_it_names(status: int) -> None:
    error = api_error(Answer(status, {}, b'{"error": "no"}'))
    assert type(error).__name__ == _gateway.STATUSES[status].name
    assert isinstance(error, ApiError)
    assert _gateway.STATUSES[status].meaning in str(error)


def test_importing_the_package_imports_no_model_and_one_model_no_other() -> None:
    code = (
        "import sys, kling_adapters; kling_adapters.load_catalog();"
        "print([m for m in sys.modules if m.startswith('kling_adapters.models.kling')]);"
        "from kling_adapters.models import Kling2;"
        "print([m for m in sys.modules if m.startswith('kling_adapters.models.kling')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['kling_adapters.models.kling_2']"]


def test_a_model_that_is_not_there_is_an_attribute_error() -> None:
    from kling_adapters import models

    assert {entry.name for entry in CATALOG} < set(models.__all__)
    with pytest.raises(AttributeError, match="Kling99"):
        _ = models.Kling99
