"""The `kling` command."""

from kling_adapters.cli.app import app as app
from kling_adapters.cli.app import main as main
