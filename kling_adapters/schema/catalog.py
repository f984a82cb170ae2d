"""Slug to adapter, lazily: a model is imported when it is first used."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from kling_adapters.errors import ConfigError, UnknownModel
from kling_adapters.schema.adapter import OutputKind
from kling_adapters.schema.params import Params


@dataclass(frozen=True)
class CatalogEntry:
    """Where the adapter of a model is, and what a list of models shows; `latency` in seconds, None if not known.

    The package of `module` holds the JSON Schema of the model as `schemas/<slug>.json`.
    """

    slug: str
    title: str
    returns: OutputKind
    latency: float | None
    module: str
    name: str

    def load(self) -> type[Params]:
        """Import and return the parameter model."""
        model: type[Params] = getattr(importlib.import_module(self.module), self.name)
        return model

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the parameters; `x-kling` holds what the spec says beyond it."""
        package = self.module.rpartition(".")[0]
        schema: dict[str, Any] = json.loads(
            (files(package) / "schemas" / f"{self.slug}.json").read_text("utf-8")
        )
        return schema


class Catalog(Mapping[str, CatalogEntry]):
    """Every model that can be submitted, by slug, in the order of the slugs."""

    def __init__(self) -> None:
        self._entries: dict[str, CatalogEntry] = {}

    def register(self, entry: CatalogEntry) -> None:
        """Add a model. Raises ConfigError, naming both, if another model has its slug."""
        known = self._entries.setdefault(entry.slug, entry)
        if known is not entry:
            raise ConfigError(
                f"{entry.module}.{entry.name} has the slug {entry.slug}, "
                f"which is that of {known.module}.{known.name}"
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
        """Return the entry of `slug`. Raises UnknownModel with the closest slug that is known."""
        if slug in self._entries:
            return self._entries[slug]
        close = difflib.get_close_matches(slug, list(self._entries), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; `kling models` lists them."
        raise UnknownModel(
            f"no adapter for {slug!r}{hint} A model without a spec takes submit_raw(). Nothing was sent."
        )


def lazy_exports(entries: Sequence[CatalogEntry]) -> Callable[[str], type[Params]]:
    """Return a module `__getattr__` that imports an adapter class when its name is first used."""
    by_name = {entry.name: entry for entry in entries}

    def get(name: str) -> type[Params]:
        if name not in by_name:
            raise AttributeError(f"no adapter class is called {name}")
        return by_name[name].load()

    return get
