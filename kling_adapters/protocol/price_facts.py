"""The price line of a model, and the properties of a request that may decide its price."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from kling_adapters.media.reader import is_local
from kling_adapters.models._gateway import CREDIT_CURRENCY, CREDIT_PRICE

Feature: TypeAlias = bool | float | str
Features: TypeAlias = Mapping[str, Feature]
"""Properties of a request by name: values of parameters, lengths of lists, and True for media that is there."""

DURATION: Final = "duration"
_DRIVERS: Final = frozenset({DURATION, "mode", "resolution"})
"""Names of parameters that decide the price of most models; so do those for sound."""
_SOUND: Final = re.compile("audio|sound")
_LONGEST_TEXT: Final = 100
_NUMBER: Final = re.compile(r"\d{1,9}(\.\d{1,9})?")
_SECONDS: Final = {"second": 1.0, "minute": 60.0}


@dataclass(frozen=True)
class PriceLine:
    """The price line of a model's page.

    Attributes:
        low: The lowest price of a unit, in credits.
        high: The highest price of a unit, in credits.
        unit: generation, second, minute, image or megapixel.
        is_approximate: Whether the page marks the price as approximate.

    """

    low: float
    high: float
    unit: str
    is_approximate: bool

    def count_units(self, features: Features) -> float | None:
        """Return the units of a request; None if its parameters do not say."""
        if self.unit in _SECONDS:
            seconds = features.get(DURATION)
            return seconds / _SECONDS[self.unit] if isinstance(seconds, float) else None
        return 1.0 if self.unit in ("generation", "image") else None


@dataclass(frozen=True)
class PriceFacts:
    """Facts of a model about its price.

    Attributes:
        line: The price line of its page; None if there is none in the currency of credits.
        drivers: The parameters that decide the price, as the page names them.
        defaults: The documented defaults.
        choices: The text parameters whose values are listed.
        renamed: The present name of each old name of a parameter.

    """

    line: PriceLine | None = None
    drivers: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    choices: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])


def read_price_facts(schema: Mapping[str, Any]) -> PriceFacts:
    """Return the facts in the packaged schema of a model."""
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    pricing: Mapping[str, Any] = schema["x-kling"].get("pricing", {})
    line = None
    if pricing.get("currency") == CREDIT_CURRENCY:
        low, high = pricing["from"] / CREDIT_PRICE, pricing["to"] / CREDIT_PRICE
        line = PriceLine(low, high, pricing["unit"], pricing.get("approximate", False))
    return PriceFacts(
        line,
        frozenset(pricing.get("depends_on", ())),
        {name: declared["default"] for name, declared in properties.items() if "default" in declared},
        frozenset(name for name, declared in properties.items() if "enum" in declared),
        {
            old: name
            for name, declared in properties.items()
            for old in declared.get("x-kling", {}).get("renamed_from", ())
        },
    )


def read_features(facts: PriceFacts, params: Mapping[str, Any]) -> Features:
    """Return the properties of a request, in which documented defaults count as sent, and "5" is 5."""
    sent = {facts.renamed.get(name, name): value for name, value in params.items()}
    features: dict[str, Feature] = {}
    for name, value in {**facts.defaults, **sent}.items():
        features.update(_iter_features(facts, name, value))
    return features


def is_usual_driver(name: str, feature: Feature) -> bool:
    """Return whether a property decides the price of most models."""
    last = name.rpartition(".")[2]
    return last in _DRIVERS or (isinstance(feature, bool) and _SOUND.search(last) is not None)


def is_duration(name: str) -> bool:
    """Return whether a property is a length in seconds."""
    return name.rpartition(".")[2] == DURATION


def _iter_features(facts: PriceFacts, name: str, value: Any) -> Iterator[tuple[str, Feature]]:
    """Yield the properties in the value of a parameter. Free text, and a seed, decide no price."""
    if value is None or name == "seed":
        return
    if isinstance(value, bool | int | float):
        yield name, value if isinstance(value, bool) else float(value)
    elif isinstance(value, str):
        if value.startswith(("http://", "https://", "data:")):
            yield name, True
        elif (name in facts.choices or name in _DRIVERS) and len(value) <= _LONGEST_TEXT:
            yield name, float(value) if _NUMBER.fullmatch(value) else value
    elif isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        yield f"{name}[]", float(len(items))
        seconds = sum(_read_seconds(item) for item in items)
        if seconds:
            yield f"{name}[].{DURATION}", seconds
    elif is_local(value):
        yield name, True


def _read_seconds(item: Any) -> float:
    """Return the duration of an item of a list, such as a shot; 0 if it has none."""
    value = str(cast("Mapping[str, Any]", item).get(DURATION)) if isinstance(item, Mapping) else ""
    return float(value) if _NUMBER.fullmatch(value) else 0.0
