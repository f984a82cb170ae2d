"""`kling auth`: manage the key in the keychain.

The key is never a command-line argument: shell history and process lists would show it.
"""

from __future__ import annotations

import sys

import click

from kling_adapters import ConfigError

base_url = click.option(
    "--base-url", default="https://api.segmind.com", show_default=True, help="The gateway the key belongs to."
)


@click.group()
def auth() -> None:
    """Manage the API key in the keychain of the operating system.

    To use the key, set KLING_AUTH=keyring or pass Kling(auth="keyring").
    """


@auth.command("set")
@base_url
def set_(base_url: str) -> None:
    """Store a key, from a hidden prompt or from the first line of standard input."""
    from kling_adapters import fingerprint_key
    from kling_keyring.keychain import Keychain

    keychain = Keychain.find()
    if sys.stdin.isatty():
        key: str = click.prompt("API key", hide_input=True, err=True)
    else:
        key = sys.stdin.readline()
    key = key.strip()
    if not key:
        raise ConfigError(
            "The API key is empty; nothing was stored. Enter a key, or pipe it as the first line"
        )
    keychain.set(base_url, key)
    click.echo(f"stored a key for {base_url} in {keychain.name}, fingerprint {fingerprint_key(key)}")
    click.echo("To use it: export KLING_AUTH=keyring", err=True)


@auth.command()
@base_url
@click.pass_context
def status(context: click.Context, base_url: str) -> None:
    """Show whether a key is stored, and where. Exit code 2: no key is stored."""
    from kling_adapters import fingerprint_key
    from kling_keyring.keychain import Keychain

    keychain = Keychain.find()
    key = keychain.get(base_url)
    click.echo(f"gateway   {base_url}")
    click.echo(f"keychain  {keychain.name}")
    click.echo(f"key       {f'stored, fingerprint {fingerprint_key(key)}' if key else 'none stored'}")
    if key is None:
        context.exit(2)


@auth.command()
@base_url
def forget(base_url: str) -> None:
    """Delete the key of the gateway."""
    from kling_keyring.keychain import Keychain

    keychain = Keychain.find()
    if keychain.get(base_url) is None:
        click.echo(f"no key was stored for {base_url} in {keychain.name}")
        return
    keychain.delete(base_url)
    click.echo(f"deleted the key for {base_url} from {keychain.name}")
