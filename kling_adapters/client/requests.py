"""Request bodies from the parameters of calls; local media stays in them until a flow uploads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from kling_adapters.client import arguments
from kling_adapters.errors import ConfigError, ParamsInvalid
from kling_adapters.media.inputs import check_media, iter_media, replace_media
from kling_adapters.media.reader import MediaError
from kling_adapters.problems import Problem
from kling_adapters.protocol.batch_requests import Request
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.catalog import Catalog
from kling_adapters.schema.checks import REPEATED
from kling_adapters.schema.declared import read_declared
from kling_adapters.schema.fields import dump_set_fields
from kling_adapters.schema.params import Params
from kling_adapters.schema.unchecked import validate_others

Extra: TypeAlias = Mapping[str, Any] | None
"""Parameters that the spec of a model does not have yet. They are sent unchanged."""


class Prepared(NamedTuple):
    """A request that can be sent.

    Attributes:
        adapter: The facts of the model.
        body: The parameters, with local media.
        unchecked: The names of those that are sent without validation.

    """

    adapter: Adapter
    body: Mapping[str, Any]
    unchecked: tuple[str, ...] = ()


def prepare(
    catalog: Catalog, model: str | Params, params: Mapping[str, Any], extra: Extra, unchecked: Extra = None
) -> Prepared:
    """Return a checked request. Raises ConfigError, RetiredModel, UnknownModel or ParamsInvalid."""
    arguments.check_model(model, params)
    kind = catalog.find(model).load() if isinstance(model, str) else type(model)
    kind.adapter.check_retired()
    return _prepare(kind, model, params, extra or {}, unchecked or {})


def _prepare(
    kind: type[Params],
    model: str | Params,
    params: Mapping[str, Any],
    extra: Mapping[str, Any],
    unchecked: Mapping[str, Any],
) -> Prepared:
    for name, mapping in {"params": params, "extra": extra, "unchecked": unchecked}.items():
        arguments.check_mapping(name, mapping)
    context = None
    if isinstance(model, Params):
        # Validated again, because model_copy() and changed lists are not.
        params, context = dump_set_fields(model), REPEATED
    if unchecked:
        _check_json(kind.adapter.slug, unchecked)
        valid = validate_others(kind, params, unchecked, context)
    else:
        valid = kind.model_validate(params, context=context)
    slug = valid.adapter.slug
    spec_names = {*read_declared(type(valid)), *valid.adapter.renamed} if extra else ()
    problems = [
        Problem(name, "is a known parameter; pass it directly, not in extra")
        for name in extra
        if name in spec_names
    ]
    if problems:
        raise ParamsInvalid(slug, problems)
    body = {**_check_json(slug, extra), **dump_set_fields(valid)}
    return Prepared(valid.adapter, body, tuple(sorted(valid.unchecked)))


def prepare_raw(slug: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body for a model without a spec. Raises ConfigError or ParamsInvalid."""
    arguments.check_slug("slug", slug)
    arguments.check_mapping("params", params)
    return _check_json(slug, params)


def prepare_request(catalog: Catalog, request: Request) -> tuple[Adapter, Mapping[str, Any]]:
    """Return the adapter and the body of a request of a batch, also of a retired model. Raises as `prepare` does."""
    if isinstance(request, Params):
        return _prepare(type(request), request, {}, {}, {})[:2]
    if not isinstance(request, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            f"a request of type {type(request).__name__} cannot be sent; expected an object such as "
            'Kling2(...) or a mapping {"model": "kling-2", "prompt": ...}. Nothing was sent for it'
        )
    arguments.check_mapping("a request", request)
    params = dict(request)
    model = params.pop("model", None)
    if not isinstance(model, str):
        raise ConfigError(
            f'the model of a request is {model!r}; expected a slug, such as "kling-2". '
            "Nothing was sent for it"
        )
    return _prepare(catalog.find(model).load(), model, params, {}, {})[:2]


def _check_json(model: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a body that is JSON, apart from local media. Raises ParamsInvalid for any other."""
    problems: list[Problem] = []
    for name, value in body.items():
        try:
            for media in iter_media(value):
                check_media(media)
            json.dumps(replace_media(value, lambda _: ""), allow_nan=False)
        except MediaError as error:
            problems.append(Problem(str(name), str(error), value))
        except (TypeError, ValueError, RecursionError) as error:
            problems.append(Problem(str(name), f"cannot be written as JSON: {error}", value))
    if problems:
        raise ParamsInvalid(model, problems)
    return body
