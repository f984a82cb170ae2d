"""A model of the gateway's list, as the generated list declares it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ListedModel:
    """A model that the gateway lists, with or without a spec here.

    Attributes:
        slug: The name of the model in URLs of the gateway.
        title: The name of the model for readers.
        summary: A sentence about it; None if there is none.
        modality: The kind of model, in the words of the list.
        average_cost: The average cost of a job in USD; None if the list has none.
        average_latency: The average time of a job in seconds; None if the list has none.

    """

    slug: str
    title: str
    summary: str | None
    modality: str
    average_cost: float | None
    average_latency: float | None
