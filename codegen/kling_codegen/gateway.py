"""The language of gateway.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import MISSING, Field

from kling_codegen.closed import Closed, Text, iter_repeated
from kling_codegen.messages import LocatedMessage, Message
from kling_codegen.patterns import ADDRESS, CURRENCY, ORIGIN, PATH, REQUEST_PATH, SUBMIT_PATH


class Key(Closed):
    """Authentication of a request."""

    header: Annotated[Text, Field(description="The header that carries the key.")]
    environment: Annotated[Text, Field(description="The environment variable that holds the key.")]


class Paths(Closed):
    """The calls of the gateway, below its base URL."""

    submit: Annotated[str, Field(pattern=SUBMIT_PATH, description="Starts a job; has {slug}.")]
    sync: Annotated[
        str, Field(pattern=SUBMIT_PATH, description="Runs a job and answers with its output; has {slug}.")
    ]
    status: Annotated[str, Field(pattern=REQUEST_PATH, description="The state of a job; has {request_id}.")]
    result: Annotated[str, Field(pattern=REQUEST_PATH, description="The result of a job; has {request_id}.")]
    credits: Annotated[str, Field(pattern=PATH, description="The credits of the account.")]


class State(Closed):
    """A state of a job."""

    name: Annotated[Text, Field(description="The name in answers.")]
    meaning: Annotated[Text, Field(description="A description of the state.")]
    terminal: Annotated[bool, Field(description="Whether the state is final.")]


class Error(Closed):
    """A status code, and its meaning for a submit."""

    status: Annotated[int, Field(ge=400, le=599, description="The HTTP status.")]
    name: Annotated[Text, Field(description="The name in the documentation.")]
    meaning: Annotated[Text, Field(description="A description of the error.")]
    submit: Annotated[
        Literal["safe", "never", "uncertain"],
        Field(description="The submit may be repeated, will never succeed, or may have started a job."),
    ]
    source: Annotated[
        Literal["seed", "docs", "client", "digest"], Field(description="The source of the fact.")
    ]


Status: TypeAlias = Annotated[int, Field(ge=400, le=599)]
Statuses: TypeAlias = Annotated[list[Status], Field(min_length=1)]


class NoCredits(Closed):
    """A refusal because the account lacks credits."""

    status: Annotated[Status, Field(description="The HTTP status.")]
    words: Annotated[
        list[Text], Field(min_length=1, description="Lower-case words, one of which is in the message.")
    ]


class Credit(Closed):
    """The value of a credit, the unit of costs and balances."""

    currency: Annotated[str, Field(pattern=CURRENCY, description="Such as USD.")]
    price: Annotated[float, Field(gt=0, description="The price of one credit in the currency.")]
    source: Annotated[
        Literal["seed", "docs", "client", "digest"], Field(description="The source of the fact.")
    ]
    uncertain: Annotated[
        list[Text] | MISSING,
        Field(min_length=1, description="What is not known of credits, for readers."),
    ] = MISSING


Names: TypeAlias = Annotated[list[Text], Field(min_length=1)]


class HistoryFields(Closed):
    """Names of the members of a row of the request history, the likeliest first."""

    request_id: Annotated[Names, Field(description="The id of the request.")]
    model: Annotated[Names, Field(description="The slug of the model.")]
    state: Annotated[Names, Field(description="The state, one of `states`.")]
    cost: Annotated[Names, Field(description="The cost of the request, in credits.")]
    body: Annotated[Names, Field(description="The parameters of the request.")]
    url: Annotated[Names, Field(description="The address of an output.")]
    error: Annotated[Names, Field(description="The reason of a failure.")]
    created: Annotated[Names, Field(description="The time of the request.")]


class History(Closed):
    """The request history: a list of the requests of an account."""

    max_per_page: Annotated[int, Field(gt=0, description="Rows of a page at most.")]
    max_days: Annotated[int, Field(gt=0, description="Days of a query at most.")]
    lag_seconds: Annotated[int, Field(ge=0, description="The longest documented delay of a row, in seconds.")]
    states: Annotated[list[Text], Field(min_length=1, description="The states of a row.")]
    fields: Annotated[HistoryFields, Field(description="The names of the members of a row.")]
    uncertain: Annotated[
        list[Text] | MISSING,
        Field(min_length=1, description="What is not known of the history, for readers."),
    ] = MISSING


class StatusGroups(Closed):
    """Groups of statuses with one meaning for the client."""

    failed_job: Annotated[Status, Field(description="The job of a query has FAILED.")]
    query_retry: Annotated[
        Statuses,
        Field(description="A request that starts nothing may succeed later; any other 4xx is final."),
    ]
    key_refusal: Annotated[Statuses, Field(description="Another key may succeed.")]
    output_gone: Annotated[Statuses, Field(description="The gateway has deleted the output.")]
    no_credits: Annotated[NoCredits, Field(description="The account lacks credits.")]


class Gateway(Closed):
    """gateway.yaml: the facts that all models share."""

    essential = frozenset({"states", "errors"})

    base_url: Annotated[str, Field(pattern=ORIGIN, description="The address of the gateway.")]
    upload_url: Annotated[
        str,
        Field(
            pattern=ADDRESS,
            description="The address for uploads of media; other gateways have it below their base URL.",
        ),
    ]
    history_url: Annotated[
        str,
        Field(
            pattern=ADDRESS,
            description="The address of the request history; other gateways have it below their base URL.",
        ),
    ]
    models_url: Annotated[
        str | MISSING,
        Field(pattern=ADDRESS, description="The address of the list of models, for `kling-codegen drift`."),
    ] = MISSING
    key: Annotated[Key, Field(description="Authentication of a request.")]
    paths: Annotated[Paths, Field(description="The calls, below base_url.")]
    record_lifetime_seconds: Annotated[
        int, Field(gt=0, description="Seconds for which the gateway keeps the record of a job.")
    ]
    output_lifetime_seconds: Annotated[
        int, Field(gt=0, description="Seconds for which an output can be fetched.")
    ]
    credit: Annotated[Credit, Field(description="The value of a credit.")]
    history: Annotated[History, Field(description="The request history.")]
    states: Annotated[list[State], Field(min_length=1, description="The states of a job.")]
    errors: Annotated[list[Error], Field(min_length=1, description="The status codes.")]
    statuses: Annotated[StatusGroups, Field(description="Groups of statuses that the client treats alike.")]

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield states and status codes that are listed twice."""
        for index, name in iter_repeated(state.name for state in self.states):
            yield ("states", index, "name"), Message(f"the state {name} is listed twice")
        for index, status in iter_repeated(error.status for error in self.errors):
            yield ("errors", index, "status"), Message(f"the status {status} is listed twice")
