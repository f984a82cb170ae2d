"""`kling run`, `submit`, `status` and `wait`: one job from the command line."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypedDict

import click

from kling_adapters._text import format_number
from kling_adapters.cli.connection import ClientOptions, connect
from kling_adapters.cli.options import as_json, base_url, journal, sandbox, save_to, tag, timeout, unchecked
from kling_adapters.cli.output import print_fields, print_json, print_line

if TYPE_CHECKING:
    from kling_adapters.client.client import Kling
    from kling_adapters.client.result import Result


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
        client = connect(stack, base_url, journal, sandbox=sandbox, submits=True)
        kling = stack.enter_context(_open_client(client, quiet=as_json or raw))
        with _read_call(kling, slug, arguments, unchecked) as call:
            result = kling.run_model(**call, save_to=save_to, timeout=timeout, tag=tag)
    if raw:
        print_json(result.body)
    else:
        _print_result(result, as_json=as_json)


@click.command()
@click.argument("slug")
@parameters
@save_to
@tag
@unchecked
@base_url
@journal
@as_json
def submit(
    slug: str,
    arguments: tuple[str, ...],
    save_to: str | None,
    tag: str | None,
    unchecked: tuple[str, ...],
    base_url: str | None,
    journal: str | None,
    as_json: bool,
) -> None:
    """Submit a job and print its request id.

    Within the hour, `kling wait` collects its output, and `kling resume` stores it as --save-to says.
    """
    with ExitStack() as stack:
        client = connect(stack, base_url, journal, submits=True)
        kling = stack.enter_context(_open_client(client, quiet=True))
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
@as_json
def submit_raw(
    slug: str,
    arguments: tuple[str, ...],
    save_to: str | None,
    tag: str | None,
    base_url: str | None,
    journal: str | None,
    as_json: bool,
) -> None:
    """Submit a job of a model without a spec, and print its request id; parameters are not checked.

    A value that is JSON, such as 5 or true, is sent as such, and any other as text. NAME=@FILE uploads the file.
    """
    from kling_adapters.cli.values import ANYTHING, read_arguments

    params = read_arguments(arguments, ANYTHING)
    with ExitStack() as stack:
        client = connect(stack, base_url, journal, submits=True)
        kling = stack.enter_context(_open_client(client, quiet=True))
        job = kling.submit_raw(slug, params, save_to=save_to, tag=tag)
    _print_submitted(job.request_id, slug, as_json=as_json)


@click.command()
@click.argument("request_id")
@base_url
@journal
@as_json
def status(request_id: str, base_url: str | None, journal: str | None, as_json: bool) -> None:
    """Print the state of a job; after an hour, the one in the journal."""
    from kling_adapters.client.client import Kling

    with ExitStack() as stack:
        kling = stack.enter_context(Kling(**connect(stack, base_url, journal)))
        status = kling.job(request_id).status()
    if as_json:
        print_json(asdict(status), indent=None)
    else:
        print_line(f"{status.state}: {status.error}" if status.error else status.state)


@click.command()
@click.argument("request_id")
@click.option("--model", metavar="SLUG", help="The model of the job; polls are paced by its usual time.")
@save_to
@timeout
@base_url
@journal
@as_json
def wait(
    request_id: str,
    model: str | None,
    save_to: str | None,
    timeout: float | None,
    base_url: str | None,
    journal: str | None,
    as_json: bool,
) -> None:
    """Wait for a submitted job, and store its output with --save-to."""
    with ExitStack() as stack:
        client = connect(stack, base_url, journal)
        kling = stack.enter_context(_open_client(client, quiet=as_json))
        result = kling.job(request_id, model).wait(timeout)
        if save_to is not None:
            result = replace(result, saved=result.save(save_to))
    _print_result(result, as_json=as_json)


def _print_submitted(request_id: str, slug: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"request_id": request_id, "model": slug}, indent=None)
    else:
        print_line(request_id)


@contextmanager
def _open_client(options: ClientOptions, *, quiet: bool) -> Generator[Kling]:
    """Yield a client that shows the progress of its job on standard error, unless `quiet`."""
    from kling_adapters.cli.progress import Progress
    from kling_adapters.client.client import Kling

    with (
        Progress(quiet=quiet) as progress,
        Kling(plugins=[progress], **options) as kling,
    ):
        progress.catalog = kling.catalog
        yield kling


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


def _print_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        files = [asdict(file) for file in result.saved]
        about = {"request_id": result.request_id, "model": result.model, "output": result.output}
        print_json({**about, "metrics": asdict(result.metrics), "saved": files})
        return
    metrics = result.metrics
    fields = [
        ("model", result.model or "unknown"),
        ("request id", result.request_id),
        ("output", str(result.output)),
        (
            "seconds",
            _format_number(metrics.total_time if metrics.total_time is not None else metrics.inference_time),
        ),
        ("cost in credits", _format_number(metrics.cost)),
        *(("stored as", f"{file.url} ({file.size} bytes, {file.content_type})") for file in result.saved),
    ]
    print_fields(fields)


def _format_number(number: float | None) -> str:
    return "unknown" if number is None else format_number(number)
