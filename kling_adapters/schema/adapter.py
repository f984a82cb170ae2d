"""The adapter of a model, as a generated module declares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kling_adapters.schema.rules import Rule

OutputKind = Literal["video", "image", "audio", "text"]
"""Kind of output of a model."""


@dataclass(frozen=True)
class Adapter:
    """Facts about one model, beside its parameters.

    Attributes:
        slug: The name of the model in URLs of the gateway.
        title: The name of the model for readers.
        returns: The kind of its output.
        latency: The usual duration of a job in seconds, from the model's page; None if the page has none.
        rules: The conditions between its parameters.
        renamed: The present name of each old name of a parameter. An old name is accepted with a warning.

    """

    slug: str
    title: str
    returns: OutputKind
    latency: float | None = None
    rules: Sequence[Rule] = ()
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
