"""The spec language: the keys of a spec and of gateway.yaml. Those of a parameter are in schema.py and rules/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import MISSING, Field

from kling_codegen.closed import Closed, Text
from kling_codegen.keywords import HTTP_URL
from kling_codegen.life import Day, Retired
from kling_codegen.messages import LocatedMessage, Message, find_closest, format_location, format_number
from kling_codegen.patterns import CURRENCY, LINE, SENTENCE, SLUG
from kling_codegen.renames import rename_problems
from kling_codegen.rules.rule import Rule, rule_violations
from kling_codegen.schema import Input, violations

LintRule: TypeAlias = Literal[
    "no-description",
    "limit-in-prose",
    "rule-in-prose",
    "no-source",
    "sample-default",
    "unexplained",
    "unknown-about",
    "placeholder",
    "odd-form",
    "no-example",
    "unused-silence",
]


Price: TypeAlias = Annotated[float, Field(ge=0)]
# These become the first line of a docstring.
Line: TypeAlias = Annotated[str, Field(pattern=LINE, max_length=100)]
Sentence: TypeAlias = Annotated[str, Field(pattern=SENTENCE, max_length=100)]
Url: TypeAlias = Annotated[str, Field(pattern=HTTP_URL)]
Seconds: TypeAlias = Annotated[float, Field(gt=0)]


class Evidence(Closed):
    """A copy or a document beside the one that a spec is made from."""

    document: Annotated[Text, Field(description="The copy or the document.")]
    shows: Annotated[Text, Field(description="The facts in it.")]


class Source(Closed):
    """The source of the facts of a spec."""

    page: Annotated[Url, Field(description="The documentation page.")]
    document: Annotated[Text, Field(description="The stored copy of the page.")]
    read: Annotated[Day, Field(description="The day the page was read.")]
    unseen: Annotated[
        Text | MISSING, Field(description="The part of the documentation that no stored copy shows.")
    ] = MISSING
    evidence: Annotated[
        list[Evidence] | MISSING, Field(min_length=1, description="Further copies and documents.")
    ] = MISSING


class Pricing(Closed):
    """The price of one unit, as the page states it, from the lowest to the highest."""

    currency: Annotated[str, Field(pattern=CURRENCY, description="Such as USD.")]
    low: Annotated[Price, Field(alias="from", description="The lowest price of a unit.")]
    high: Annotated[Price, Field(alias="to", description="The highest; the same where there is one price.")]
    unit: Annotated[
        Literal["generation", "second", "minute", "image", "megapixel"],
        Field(description="The unit of the price."),
    ]
    depends_on: Annotated[
        list[Text] | MISSING, Field(min_length=1, description="The parameters that decide the price.")
    ] = MISSING
    approximate: Annotated[
        Literal[True] | MISSING, Field(description="The page marks its price as approximate.")
    ] = MISSING

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield a range of prices whose end is below its start."""
        if self.low > self.high:
            yield ("to",), Message(f"to {format_number(self.high)} is below from {format_number(self.low)}")


class Discrepancy(Closed):
    """A contradiction of the page, and the decision about it."""

    about: Annotated[
        Text,
        Field(
            description="The parameters, as in shots.prompt, with commas between them; or the title, tagline."
        ),
    ]
    page: Annotated[Text, Field(description="The contradiction on the page.")]
    decision: Annotated[Text, Field(description="The decision of this spec, and its reason.")]


class Silence(Closed):
    """A finding of `kling-codegen lint` that is accepted."""

    silence: Annotated[LintRule, Field(description="The rule, as in the brackets of the finding.")]
    about: Annotated[
        Text | MISSING,
        Field(description="The parameter, as in shots.prompt; without it, the spec as a whole."),
    ] = MISSING
    reason: Annotated[Text, Field(description="The reason why the finding is accepted.")]


class Example(Closed):
    """An input that the model accepts."""

    essential = frozenset({"input"})

    name: Annotated[Text, Field(description="The subject of the example.")]
    input: Annotated[dict[str, Any], Field(description="The parameters.")]


class Spec(Closed):
    """One model."""

    essential = frozenset({"slug", "input"})

    slug: Annotated[str, Field(pattern=SLUG, description="The name in the API's URL.")]
    title: Annotated[Line, Field(description="The name for people.")]
    summary: Annotated[Sentence, Field(description="One sentence of our own.")]
    returns: Annotated[Literal["video", "image", "audio", "text"], Field(description="The kind of result.")]
    latency_seconds: Annotated[
        Seconds | None, Field(description="The average on the page, in seconds; null where it has none.")
    ]
    pricing: Annotated[Pricing | MISSING, Field(description="The page's price line as figures.")] = MISSING
    source: Annotated[Source, Field(description="The source of the facts.")]
    retired: Annotated[
        Retired | MISSING, Field(description="Set for a model that the gateway no longer offers.")
    ] = MISSING
    input: Annotated[Input, Field(description="The parameters.")]
    rules: Annotated[list[Rule], Field(description="Conditions between parameters.")] = []
    discrepancies: Annotated[
        list[Discrepancy], Field(description="Contradictions of the page, and the decisions about them.")
    ] = []
    examples: Annotated[list[Example], Field(description="Inputs that the model accepts.")] = []
    lint: Annotated[list[Silence], Field(description="Findings of lint that are accepted.")] = []

    def _price_parameters(self) -> list[str]:
        pricing = self.pricing
        return [] if pricing is MISSING or pricing.depends_on is MISSING else pricing.depends_on

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield wrong old names, rules about unknown parameters, and examples that violate the schema or a rule."""
        properties, required = self.input.properties, self.input.required
        if self.retired is not MISSING and self.retired.use == self.slug:
            yield ("retired", "use"), Message(f"{self.slug} cannot be its own successor")
        for index, name in enumerate(self._price_parameters()):
            if name not in properties:
                text = f"{name} is not a parameter of this model"
                yield ("pricing", "depends_on", index), Message(text, "", find_closest(name, properties))
        for at, message in rename_problems(properties):
            yield ("input", *at), message
        reference_errors = [
            (("rules", index, *at), message)
            for index, rule in enumerate(self.rules)
            for at, message in rule.reference_errors(properties, required)
        ]
        yield from reference_errors
        for index, example in enumerate(self.examples):
            errors = list(violations(self.input.as_schema(), example.input))
            if not errors and not reference_errors:
                errors = [((), message) for message in rule_violations(self.rules, example.input, properties)]
            for at, message in errors:
                subject = f"the example: {format_location(at)}".rstrip()
                yield ("examples", index, "input", *at), message.with_subject(subject)
