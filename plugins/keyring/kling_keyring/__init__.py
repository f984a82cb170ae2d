"""The API key from the keychain of the operating system, when chosen: `Kling(auth="keyring")` or `KLING_AUTH=keyring`.

`keyring` is imported when a key is needed: this module is loaded whenever plugins are looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_adapters.hookspecs import Auth, hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["kling_auth", "kling_cli"]


@hookimpl
def kling_auth(gateway: str, chosen: bool) -> Auth | None:
    """Answer when chosen, with the key stored for the gateway. Raises ConfigError if no keychain is fit to hold one."""
    if not chosen:
        return None
    from kling_keyring.keychain import Keychain, KeychainKey

    return KeychainKey(Keychain.find(), gateway)


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add `kling auth set`, `status` and `forget`."""
    from kling_keyring.command import auth

    app.add_command(auth)
