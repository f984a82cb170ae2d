"""`kling run`, `submit`, `status` and `wait`: one job from the command line."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from kling_adapters._text import format_number
from kling_adapters.cli.connection import connect
from kling_adapters.cli.options import as_json, base_url, journal, sandbox, save_to, timeout
from kling_adapters.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from kling_adapters.client.client import Kling
    from kling_adapters.client.job import Result
    from kling_adapters.schema.params import Params


values = click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")


@click.command()
@click.argument("slug")
@values
@save_to
@timeout
@base_url
@journal
@sandbox
@as_json
def run(
    slug: str,
    values: tuple[str, ...],
    save_to: str | None,
    timeout: float | None,
    base_url: str | None,
    journal: str | None,
    sandbox: bool,
    as_json: bool,
) -> None:
    """Run a model to the end: submit, wait, and store with --save-to.

    Parameters are NAME=VALUE; NAME=@FILE reads text from a file, and NAME=@@TEXT is text that starts with @; a list
    is JSON, or NAME=ITEM repeated.
    """
    with ExitStack() as stack:
        options = connect(stack, base_url, journal, sandbox=sandbox, submits=True)
        kling = stack.enter_context(_following(quiet=as_json, **options))
        result = kling.run(_parameters(kling, slug, values), save_to=save_to, timeout=timeout)
    _print_result(result, as_json=as_json)


@click.command()
@click.argument("slug")
@values
@base_url
@journal
@as_json
def submit(
    slug: str, values: tuple[str, ...], base_url: str | None, journal: str | None, as_json: bool
) -> None:
    """Submit a job and print its request id; `kling wait` collects it within the hour."""
    with ExitStack() as stack:
        options = connect(stack, base_url, journal, submits=True)
        kling = stack.enter_context(_following(quiet=True, **options))
        job = kling.submit(_parameters(kling, slug, values))
    if as_json:
        print_json({"request_id": job.request_id, "model": slug}, indent=None)
    else:
        print_line(job.request_id)


@click.command()
@click.argument("request_id")
@base_url
@journal
@as_json
def status(request_id: str, base_url: str | None, journal: str | None, as_json: bool) -> None:
    """Print the state of a job; after an hour, how it ended by the journal."""
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
@click.option("--model", metavar="SLUG", help="The model of the job, which helps to pace the polls.")
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
    """Wait for a job submitted earlier, and store its output with --save-to."""
    with ExitStack() as stack:
        options = connect(stack, base_url, journal)
        kling = stack.enter_context(_following(quiet=as_json, **options))
        result = kling.job(request_id, model).wait(timeout)
        if save_to is not None:
            result = replace(result, saved=result.save(save_to))
    _print_result(result, as_json=as_json)


@contextmanager
def _following(*, quiet: bool, **options: Any) -> Generator[Kling]:
    """A client whose job is shown on standard error while it runs."""
    from kling_adapters.cli.progress import Progress
    from kling_adapters.client.client import Kling

    with (
        Progress(quiet=quiet) as progress,
        Kling(plugins=[progress], **options) as kling,
    ):
        progress.catalog = kling.catalog
        yield kling


def _parameters(kling: Kling, slug: str, words: tuple[str, ...]) -> Params:
    from kling_adapters.cli.values import build_params, read_words

    entry = kling.catalog.find(slug)
    schema = entry.json_schema()
    return build_params(entry, read_words(words, schema), schema)


def _print_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        files = [asdict(file) for file in result.saved]
        about = {"request_id": result.request_id, "model": result.model, "output": result.output}
        print_json({**about, "metrics": asdict(result.metrics), "saved": files})
        return
    metrics = result.metrics
    rows = [
        ("request id", result.request_id),
        ("output", str(result.output)),
        ("seconds", _known(metrics.total_time if metrics.total_time is not None else metrics.inference_time)),
        ("cost in credits", _known(metrics.cost)),
        *(("stored as", f"{file.url}  ({file.size} bytes, {file.content_type})") for file in result.saved),
    ]
    print_table(("job", result.model or ""), rows)


def _known(number: float | None) -> str:
    return "not told" if number is None else format_number(number)
