"""The models that jobs can be made for: those of the catalog, plugins included, and those of a folder of specs."""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kling_adapters import (
    CatalogEntry,
    OutputKind,
    Params,
    ParamsInvalid,
    Problem,
    UnknownModel,
    load_catalog,
)

log = logging.getLogger("kling_serve")

SPECS: Final = "specs"
"""Origin of the models of a folder of specs."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model as forms and interfaces need it.

    Attributes:
        entry: The entry of its catalog: slug, title, kind of output, usual duration.
        schema: The packaged JSON Schema, whose `x-kling` has the rules and other facts of the spec.
        origin: The Python package that has it, or `specs`.

    """

    entry: CatalogEntry
    schema: Mapping[str, Any] = field(repr=False)
    origin: str

    @property
    def slug(self) -> str:
        """The name in URLs of the gateway."""
        return self.entry.slug

    @property
    def title(self) -> str:
        """The name for readers."""
        return self.entry.title

    @property
    def returns(self) -> OutputKind:
        """The kind of its output."""
        return self.entry.returns

    @property
    def kind(self) -> type[Params]:
        """The class of its parameters, which validates them; imported when it is first used."""
        return self.entry.load()

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts of the spec that JSON Schema has no keyword for."""
        facts: Mapping[str, Any] = self.schema["x-kling"]
        return facts

    @property
    def is_retired(self) -> bool:
        """True if the model takes no new jobs."""
        return "retired" in self.facts

    @property
    def image_parameters(self) -> list[str]:
        """The parameters that take an image or a list of images, required ones first."""
        required = self.schema.get("required", ())
        names = [
            name
            for name, declared in self.schema["properties"].items()
            if declared.get("items", declared).get("x-kling", {}).get("media") == "image"
        ]
        return sorted(names, key=lambda name: name not in required)

    def make_params(self, values: Mapping[str, Any]) -> Params:
        """Return the parameters of a job. Raises ParamsInvalid with every problem."""
        return self.kind.model_validate(dict(values))

    def find_problems(self, values: Mapping[str, Any]) -> list[Problem]:
        """Return the problems of parameters, an empty list for valid ones."""
        try:
            self.make_params(values)
        except ParamsInvalid as error:
            return list(error.problems)
        return []


class Models(Mapping[str, Model]):
    """The models by slug, in the order of their slugs; each is loaded when it is first used.

    Models of a folder of specs are added and replaced while the application runs. Any thread can use it.
    """

    def __init__(self) -> None:
        self._catalog = load_catalog()
        self._models: dict[str, Model | None] = {}
        self._dropped: dict[str, Model] = {}
        self._lock = threading.Lock()

    def set_dropped(self, models: Mapping[str, Model]) -> None:
        """Replace the models of the folder of specs, which hide models of the catalog with the same slug."""
        self._dropped = dict(models)

    def __getitem__(self, slug: str) -> Model:
        if slug in self._dropped:
            return self._dropped[slug]
        model = self._load(slug)
        if model is None:
            raise KeyError(slug)
        return model

    def _load(self, slug: str) -> Model | None:
        """Return a model of the catalog; None, with a warning, for one whose package is damaged."""
        with self._lock:
            if slug not in self._models:
                entry = self._catalog[slug]
                try:
                    self._models[slug] = Model(entry, entry.json_schema(), entry.package)
                except Exception as error:  # noqa: BLE001  of another package
                    log.warning("the model %s of %s cannot be loaded: %s", slug, entry.package, error)
                    self._models[slug] = None
            return self._models[slug]

    def __iter__(self) -> Iterator[str]:
        slugs = [slug for slug in self._catalog if slug in self._dropped or self._load(slug) is not None]
        return iter(sorted({*slugs, *self._dropped}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, slug: str) -> Model:
        """Return a model. Raises UnknownModel, which suggests the closest slug."""
        if slug in self:
            return self[slug]
        if slug in self._catalog:
            package = self._catalog[slug].package
            raise UnknownModel(
                f"{slug} of {package} cannot be loaded; the log has the reason. Nothing was sent."
            )
        close = difflib.get_close_matches(slug, self, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UnknownModel(f"unknown model {slug[:100]!r}.{hint} Nothing was sent.")

    def list_entries(self) -> list[CatalogEntry]:
        """Return the entry of each model, without loading any."""
        entries = dict(self._catalog) | {slug: model.entry for slug, model in self._dropped.items()}
        return [entries[slug] for slug in sorted(entries)]


class Schemas(Mapping[str, Mapping[str, Any]]):
    """The JSON Schemas of models by slug, read when needed, for the sandbox."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def __getitem__(self, slug: str) -> Mapping[str, Any]:
        return self._models[slug].schema

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)
