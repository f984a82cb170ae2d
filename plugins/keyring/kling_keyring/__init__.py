"""API key from the keychain of the operating system, if selected by `auth="keyring"` or KLING_AUTH.

Plugin discovery loads this module, so `keyring` is imported only when a key is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_adapters.hookspecs import Auth, hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["kling_auth", "kling_cli"]


@hookimpl
def kling_auth(gateway: str, chosen: bool) -> Auth | None:
    """Provide the key stored for the gateway, if this plugin was selected.

    Args:
        gateway: The base URL of the gateway.
        chosen: Whether the plugin was selected by name.

    Returns:
        An Auth that reads the keychain, or None if the plugin was not selected.

    Raises:
        ConfigError: No secure keychain is available.

    """
    if not chosen:
        return None
    from kling_keyring.keychain import Keychain, KeychainKey

    return KeychainKey(Keychain.find(), gateway)


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the commands `kling auth set`, `status` and `forget`."""
    from kling_keyring.command import auth

    app.add_command(auth)
