"""`kling serve` and `kling studio`. The help text needs no server, so this module imports none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kling_serve.settings import Settings

SERVER_OPTIONS = (
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8421,
        show_default=True,
        help="Port; 0 for a free one.",
    ),
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at."),
    click.option(
        "--allow-host",
        "allowed_hosts",
        multiple=True,
        metavar="NAME",
        help="Name of this machine that browsers may use, besides localhost. Repeatable.",
    ),
    click.option(
        "--tokens",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="TOML file of tokens for programs, with limits.",
    ),
    click.option(
        "--confirm-above",
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        metavar="CREDITS",
        help="Ask before a run that may cost more.",
    ),
)
COMMON_OPTIONS = (
    click.option(
        "--folder",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of uploads and stored files; by default in the data folder of the user.",
    ),
    click.option(
        "--journal", default="", help="Journal of paid jobs; by default KLING_JOURNAL, or that of the user."
    ),
    click.option(
        "--specs",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of specs to compile while it runs.",
    ),
    click.option("--base-url", help="Gateway of paid jobs; by default KLING_BASE_URL, or that of Segmind."),
    click.option(
        "--sandbox/--no-sandbox",
        "uses_sandbox",
        default=True,
        show_default=True,
        help="Start a free sandbox, too.",
    ),
    click.option(
        "--timing",
        default="latency:0.05",
        show_default=True,
        metavar="at-once|polls:N|latency:FACTOR",
        help="End of the jobs of the sandbox.",
    ),
    click.option(
        "--allow-folder",
        "media_folders",
        multiple=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder whose files agents may use as media. Repeatable.",
    ),
)


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator that adds options to a command."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command()
@with_options(*SERVER_OPTIONS, *COMMON_OPTIONS)
def serve(**options: Any) -> None:
    """Serve the studio until interrupted: a page for every model, and every job of the journal."""
    _run(options, opens_browser=False)


@click.command()
@with_options(*SERVER_OPTIONS, *COMMON_OPTIONS)
def studio(**options: Any) -> None:
    """Serve the studio, as `kling serve` does, and open it in the browser."""
    _run(options, opens_browser=True)


def make_settings(*, folder: Path | None, timing: str, **options: Any) -> Settings:
    """Return the settings that options describe."""
    from platformdirs import user_data_path

    from kling_serve.settings import Settings, has_key

    folder = (folder or user_data_path("kling-studio")).absolute()
    return Settings(folder=folder, uses_account=has_key(), sandbox_timing=timing, **options)


def _run(options: dict[str, Any], *, opens_browser: bool) -> None:
    from kling_serve.server import run
    from kling_serve.tokens import read_tokens

    host, port, tokens = options.pop("host"), options.pop("port"), options.pop("tokens")
    settings = make_settings(tokens=() if tokens is None else read_tokens(tokens), **options)

    def show(base_url: str, link: str, token: str) -> None:
        click.echo(f"studio  {base_url}")
        click.echo(f"open    {link}")
        click.echo(f"token   {settings.folder / 'token'} (for programs, as Authorization: Bearer TOKEN)")
        click.echo(
            "The link works once, for ten minutes. Press Ctrl-C to stop; jobs continue, and the next start resumes them."
        )
        if opens_browser:
            click.launch(link)

    try:
        run(settings, host, port, show)
    except OSError as error:
        raise click.ClickException(
            f"the studio cannot use the folder {settings.folder}: {error.strerror or error}. Pass another --folder."
        ) from None
