"""Hooks of schemathesis: the typed client decides what JSON Schema cannot express; it shares no code with the sandbox.

Rules are beyond JSON Schema, so a body that the schema allows may be refused. The text form of an integer is taken, and
of a URL only its pattern counts: by the standard, a `format` constrains nothing.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import schemathesis
from kling_sandbox import history
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

from kling_adapters import CatalogEntry, ParamsInvalid, load_catalog

MODELS = {f"/{version}/{slug}": entry for slug, entry in load_catalog().items() for version in ("v1", "v2")}


def body_of(response: Response) -> Any:
    """Return the body of the request as a reader of JSON gets it, or None."""
    sent = response.request.body
    try:
        return json.loads(sent) if isinstance(sent, str | bytes) else None
    except ValueError:
        return None


def wire(model: CatalogEntry, body: Any) -> dict[str, Any] | None:
    """Return what the client would send for a body, or None if it refuses it."""
    try:
        return model.load().model_validate(body).wire()
    except ParamsInvalid:
        return None


def whole(value: Any) -> Any:
    """Return `value` with 5.0 as 5: an integer for JSON Schema, none for the client; a known difference."""
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.check
def a_submit_is_taken_if_the_client_would_send_it(
    _: CheckContext, response: Response, case: Case[Any]
) -> None:
    """And only then."""
    model = MODELS.get(case.path)
    if model and response.status_code in {200, 400}:
        body = body_of(response)
        verdicts = {wire(model, form) is not None for form in (body, whole(body)) if isinstance(form, dict)}
        assert (response.status_code == 200) in (verdicts or {False}), body


@schemathesis.hook
def filter_failure(_: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Tell whether what schemathesis takes for a failure is one."""
    model = MODELS.get(case.path)
    if isinstance(failure, RejectedPositiveData):
        if model:
            return wire(model, body_of(response)) is not None
        if case.path == "/media/{name}":  # a range that ends before it begins, or that the file does not have
            return response.status_code not in {400, 416}
        if case.path == history.PATH:  # a day that does not exist, or a window that is too long
            return "_date" not in response.text
        # A job that FAILED as it was asked to, unless the renderer gave a reason.
        return response.status_code != 422 or "The worker failed:" in response.text
    if isinstance(failure, AcceptedNegativeData) and model:
        sent = wire(model, body_of(response))
        return sent is None or not jsonschema_rs.is_valid(model.json_schema(), sent)
    return True
