"""`kling run`, `submit` and `submit-raw`: a new job from the command line."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

import click

from kling_adapters.cli.connection import connect
from kling_adapters.cli.options import (
    as_json,
    base_url,
    journal,
    rate_limit,
    sandbox,
    save_to,
    tag,
    timeout,
    unchecked,
)
from kling_adapters.cli.output import print_json, print_line
from kling_adapters.cli.results import open_client, print_result

if TYPE_CHECKING:
    from kling_adapters.client.client import Kling


parameters = click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")


@click.command()
@click.argument("slug")
@parameters
@save_to
@timeout
@tag
@unchecked
@base_url
@journal
@rate_limit
@sandbox
@as_json
@click.option("--raw", is_flag=True, help="Print the answer of the gateway, as JSON.")
def run(
    slug: str,
    arguments: tuple[str, ...],
    save_to: str | None,
    timeout: float | None,
    tag: str | None,
    unchecked: tuple[str, ...],
    base_url: str | None,
    journal: str | None,
    rate_limit: float | None,
    sandbox: bool,
    as_json: bool,
    raw: bool,
) -> None:
    """Submit a job, wait for it, and store its output.

    NAME=@FILE uploads the file where the model takes media, and reads it as text elsewhere; NAME=@@TEXT is text that
    starts with @. A list is JSON, or NAME=ITEM repeated.
    """
    if as_json and raw:
        raise click.UsageError("pass either --json or --raw")
    with ExitStack() as stack:
        client = connect(stack, base_url, journal, rate_limit=rate_limit, sandbox=sandbox, submits=True)
        kling = stack.enter_context(open_client(client, quiet=as_json or raw))
        with _read_call(kling, slug, arguments, unchecked) as call:
            result = kling.run_model(**call, save_to=save_to, timeout=timeout, tag=tag)
    if raw:
        print_json(result.body)
    else:
        print_result(result, as_json=as_json)


@click.command()
@click.argument("slug")
@parameters
@save_to
@tag
@unchecked
@base_url
@journal
@rate_limit
@as_json
def submit(
    slug: str,
    arguments: tuple[str, ...],
    save_to: str | None,
    tag: str | None,
    unchecked: tuple[str, ...],
    base_url: str | None,
    journal: str | None,
    rate_limit: float | None,
    as_json: bool,
) -> None:
    """Submit a job and print its request id.

    Within the hour, `kling wait` and `kling resume` store its output as --save-to says.
    """
    with ExitStack() as stack:
        client = connect(stack, base_url, journal, rate_limit=rate_limit, submits=True)
        kling = stack.enter_context(open_client(client, quiet=True))
        with _read_call(kling, slug, arguments, unchecked) as call:
            job = kling.submit_model(**call, save_to=save_to, tag=tag)
    _print_submitted(job.request_id, slug, as_json=as_json)


@click.command("submit-raw")
@click.argument("slug")
@parameters
@save_to
@tag
@base_url
@journal
@rate_limit
@as_json
def submit_raw(
    slug: str,
    arguments: tuple[str, ...],
    save_to: str | None,
    tag: str | None,
    base_url: str | None,
    journal: str | None,
    rate_limit: float | None,
    as_json: bool,
) -> None:
    """Submit a job of a model without a spec, and print its request id; parameters are not checked.

    A value that is JSON, such as 5 or true, is sent as such, and any other as text. NAME=@FILE uploads the file.
    """
    from kling_adapters.cli.values import ANYTHING, read_arguments

    params = read_arguments(arguments, ANYTHING)
    with ExitStack() as stack:
        client = connect(stack, base_url, journal, rate_limit=rate_limit, submits=True)
        kling = stack.enter_context(open_client(client, quiet=True))
        job = kling.submit_raw(slug, params, save_to=save_to, tag=tag)
    _print_submitted(job.request_id, slug, as_json=as_json)


def _print_submitted(request_id: str, slug: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"request_id": request_id, "model": slug}, indent=None)
    else:
        print_line(request_id)


class _Call(TypedDict):
    """Arguments of `submit_model` and `run_model`."""

    model: str
    params: Mapping[str, Any]
    unchecked: Mapping[str, Any]


@contextmanager
def _read_call(
    kling: Kling, slug: str, arguments: tuple[str, ...], unchecked: tuple[str, ...]
) -> Generator[_Call]:
    """Yield the call of a command line. Invalid parameters are explained in the words of the command line."""
    from kling_adapters.cli.explanations import explain_problems
    from kling_adapters.cli.values import read_arguments

    entry = kling.catalog.find(slug)
    entry.load().adapter.check_retired()
    schema = entry.json_schema()
    with explain_problems(schema):
        yield {
            "model": slug,
            "params": read_arguments(arguments, schema),
            "unchecked": read_arguments(unchecked, schema),
        }
