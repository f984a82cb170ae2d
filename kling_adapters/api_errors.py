"""Errors for the status codes of the gateway; errors.py has the whole tree."""

from __future__ import annotations

from typing import ClassVar

from kling_adapters.errors import KlingError


class ApiError(KlingError):
    """The gateway answered with an error status.

    Attributes:
        status: The HTTP status code.
        message: The gateway's message.
        meaning: The meaning of the status code in `GATEWAY_STATUSES`.
        request_id: The id of the job, which was started and goes on; None for a request that is not about one, such as
            a submit.
        advice: What to do next.

    """

    advice: ClassVar[str] = ""

    def __init__(
        self, status: int, message: str, *, meaning: str = "", request_id: str | None = None
    ) -> None:
        self.status = status
        self.message = message
        self.meaning = meaning
        self.request_id = request_id
        text = f"the gateway answered {status}" + (f" ({meaning})" if meaning else "")
        text += f": {message.rstrip('. ')}" if message else ""
        if request_id is None:
            text += ". No job was started and nothing is billed."
        else:
            text += f". Job {request_id} is not affected and may be billed; ask for it again within the hour."
        super().__init__(f"{text} {self.advice}".rstrip())


class BadRequest(ApiError):
    """400: the gateway rejected the parameters."""

    advice = "Compare the parameters with the page that `kling show` names. If the spec is wrong, please report it."


class Unauthorized(ApiError):
    """401: the API key is missing or invalid."""

    advice = "Check the API key (SEGMIND_API_KEY, or the api_key argument)."


class Forbidden(ApiError):
    """403: the account lacks the permission."""

    advice = "Ask for access to this model, or use the key of an account that has it."


class NotFound(ApiError):
    """404: there is no such model, or the account has no credit record."""

    advice = "Check the slug with `kling models`."


class MethodNotAllowed(ApiError):
    """405: the URL does not accept this HTTP method; usually base_url is wrong."""

    advice = "Check base_url."


class NotAcceptable(ApiError):
    """406: the gateway refused the request. InsufficientCredits if its message is about credits."""


class InsufficientCredits(NotAcceptable):
    """406 with a message about credits: the account cannot pay for the job."""

    advice = "Buy credits, or choose a cheaper job."


class ModelRetired(ApiError):
    """410: the model was withdrawn."""

    advice = "Choose another model: `kling models`."


class Unprocessable(ApiError):
    """422 in answer to a request that is not about a job. A job that FAILED raises JobFailed."""


class RateLimited(ApiError):
    """429, after the retries were used up."""

    advice = "Send fewer requests at once, or wait a minute."


class ServerError(ApiError):
    """500: an error inside the gateway, often caused by a value that it did not check."""

    advice = "Try again later. If the error persists, check the values."


class BadGateway(ApiError):
    """502: the gateway could not reach the service behind it."""

    advice = "Try again later."


class GatewayTimeout(ApiError):
    """504 in answer to a request that starts no job. For a submit it is SubmitUncertain."""

    advice = "Try again later."
