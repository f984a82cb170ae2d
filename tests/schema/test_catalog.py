"""The catalog of models, and the package that has their classes."""

from __future__ import annotations

import pytest

from kling_adapters import UnknownModel, load_catalog, models
from kling_adapters.schema.catalog import Catalog

CATALOG = load_catalog()


def test_slug_without_a_spec_is_named_in_the_error() -> None:
    catalog = Catalog(lambda: ["kling-9"])
    with pytest.raises(UnknownModel) as caught:
        catalog.find("kling-9")
    assert str(caught.value) == "kling-9 has no spec. Submit it with submit_raw(). Nothing was sent."
    with pytest.raises(UnknownModel) as caught:
        catalog.find("kling-8")
    assert str(caught.value) == (
        "no adapter for 'kling-8'; `kling models` lists them. "
        "Submit a model without a spec with submit_raw(). Nothing was sent."
    )


def test_model_names_its_package() -> None:
    assert {entry.package for entry in CATALOG.values()} == {"kling_adapters"}


def test_adapters_agree_with_the_catalog() -> None:
    for slug, entry in CATALOG.items():
        adapter = entry.load().adapter
        assert (adapter.slug, adapter.title) == (slug, entry.title)
        assert (adapter.returns, adapter.latency) == (entry.returns, entry.latency)


def test_package_has_the_class_of_each_model() -> None:
    assert [getattr(models, entry.name).adapter.slug for entry in CATALOG.values()] == list(CATALOG)
    with pytest.raises(AttributeError, match="no model has a class Kling99"):
        getattr(models, "Kling99")  # noqa: B009  type checkers would refuse the attribute
