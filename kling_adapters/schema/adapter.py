"""The adapter of a model, as a generated module declares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kling_adapters.errors import RetiredModel
from kling_adapters.schema.facts import OutputKind, Retirement
from kling_adapters.schema.rules import Rule

__all__ = ["Adapter", "OutputKind", "Retirement"]


@dataclass(frozen=True)
class Adapter:
    """Facts about one model, beside its parameters.

    Attributes:
        slug: The name of the model in URLs of the gateway.
        title: The name of the model for readers.
        returns: The kind of its output.
        latency: The usual duration of a job in seconds, from the model's page; None if the page has none.
        rules: The conditions between its parameters.
        unseen: The part of the documentation that no copy shows; None if all of it was seen. Unknown parameters of
            such a model are accepted with a warning.
        renamed: The present name of each old name of a parameter. An old name is accepted with a warning.
        retired: The retirement of the model; None for a model that takes jobs.

    """

    slug: str
    title: str
    returns: OutputKind
    latency: float | None = None
    rules: Sequence[Rule] = ()
    unseen: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    retired: Retirement | None = None

    def check_retired(self) -> None:
        """Raise RetiredModel if the model takes no new jobs."""
        if self.retired is not None:
            raise RetiredModel(self.slug, self.retired.since, self.retired.use)
