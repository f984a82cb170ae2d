"""The language of catalogue.yaml: the gateway's list of models, those without a spec included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import MISSING, Field

from kling_codegen.closed import Closed, Text, iter_repeated
from kling_codegen.language import Line, Price, Seconds, Sentence, Source
from kling_codegen.messages import LocatedMessage, Message
from kling_codegen.patterns import SLUG


class ListedModel(Closed):
    """A model of the gateway's list."""

    slug: Annotated[str, Field(pattern=SLUG, description="The name in the API's URL.")]
    title: Annotated[Line, Field(description="The name for people.")]
    summary: Annotated[Sentence | MISSING, Field(description="One sentence of our own.")] = MISSING
    modality: Annotated[Text, Field(description="The kind of model, in the words of the list.")]
    average_cost: Annotated[
        Price | MISSING, Field(description="The average cost of a job on the list, in USD.")
    ] = MISSING
    average_latency: Annotated[
        Seconds | MISSING, Field(description="The average time of a job on the list, in seconds.")
    ] = MISSING


class Catalogue(Closed):
    """The gateway's list of models."""

    essential = frozenset({"models"})

    source: Annotated[Source, Field(description="The source of the list.")]
    models: Annotated[list[ListedModel], Field(min_length=1, description="The models of the list.")]

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield slugs that are listed twice."""
        for index, slug in iter_repeated(model.slug for model in self.models):
            yield ("models", index, "slug"), Message(f"the slug {slug} is listed twice")
