"""Catalog of models by slug; a model is imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kling_adapters._lazy_types import lazy_type
from kling_adapters.errors import ConfigError, UnknownModel
from kling_adapters.schema.facts import OutputKind, Retirement

if TYPE_CHECKING:
    from kling_adapters.schema.params import Params
else:
    Params = lazy_type("schema.params", "Params")


@dataclass(frozen=True)
class CatalogEntry:
    """A model of the catalog.

    Attributes:
        slug: The name of the model in URLs of the gateway.
        title: The name of the model for readers.
        returns: The kind of its output.
        latency: The usual duration of a job in seconds, from the model's page; None if the page has none.
        module: The module of the parameter model; its package has the JSON Schema as `schemas/<slug>.json`.
        name: The class of the parameter model.
        retired: The retirement of the model; None for a model that takes jobs.

    """

    slug: str
    title: str
    returns: OutputKind
    latency: float | None
    module: str
    name: str
    retired: Retirement | None = None

    @property
    def package(self) -> str:
        """The Python package that has the model, such as kling_adapters."""
        return self.module.partition(".")[0]

    def load(self) -> type[Params]:
        """Import the parameter model.

        Returns:
            The class.

        """
        model: type[Params] = getattr(importlib.import_module(self.module), self.name)
        return model

    def json_schema(self) -> dict[str, Any]:
        """Read the JSON Schema (2020-12) of the parameters.

        Returns:
            The schema; `x-kling` has the rules and other facts of the spec.

        """
        import json  # slow to import, as is the next
        from importlib.resources import files

        package = self.module.rpartition(".")[0]
        schema: dict[str, Any] = json.loads(
            (files(package) / "schemas" / f"{self.slug}.json").read_text("utf-8")
        )
        return schema


class Catalog(Mapping[str, CatalogEntry]):
    """Mapping of slugs to models, sorted by slug.

    Args:
        list_slugs: Returns the slugs of the gateway's list that have no spec.

    """

    def __init__(self, list_slugs: Callable[[], Collection[str]] = tuple) -> None:
        self._entries: dict[str, CatalogEntry] = {}
        self._list_slugs = list_slugs

    def register(self, entry: CatalogEntry) -> None:
        """Add a model.

        Args:
            entry: The model.

        Raises:
            ConfigError: Another model has its slug.

        """
        existing = self._entries.setdefault(entry.slug, entry)
        if existing is not entry:
            raise ConfigError(
                f"{entry.module}.{entry.name} has the slug {entry.slug}, "
                f"which is that of {existing.module}.{existing.name}"
            )

    def __getitem__(self, slug: str) -> CatalogEntry:
        return self._entries[slug]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Catalog of {len(self)} models>"

    def find(self, slug: str) -> CatalogEntry:
        """Find a model.

        Args:
            slug: The slug of the model.

        Returns:
            The model.

        Raises:
            UnknownModel: No adapter has this slug. The message suggests the closest one, or submit_raw().

        """
        if slug in self._entries:
            return self._entries[slug]
        if slug in self._list_slugs():
            raise UnknownModel(f"{slug} has no spec. Submit it with submit_raw(). Nothing was sent.")
        import difflib  # only for an unknown slug

        close = difflib.get_close_matches(slug, list(self._entries))
        hint = f"; did you mean {close[0]}?" if close else "; `kling models` lists them."
        raise UnknownModel(
            f"no adapter for {slug!r}{hint} Submit a model without a spec with submit_raw(). "
            "Nothing was sent."
        )


def lazy_exports(entries: Sequence[CatalogEntry]) -> Callable[[str], type[Params]]:
    """Return a module `__getattr__` that imports a parameter model when its name is first used."""
    by_name = {entry.name: entry for entry in entries}

    def load_model(name: str) -> type[Params]:
        if name not in by_name:
            raise AttributeError(f"no model has a class {name}")
        return by_name[name].load()

    return load_model
