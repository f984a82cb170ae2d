"""Check the distributions that are installed in this environment; runs there, on the standard library alone.

Arguments: an empty folder, then the import packages to check. KLING_BASE_URL and SEGMIND_API_KEY name a gateway for the
job; without them the installed sandbox runs it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Modules of extras; only an environment with all extras has them.
OPTIONAL = {"cryptography", "kling_sandbox", "mcp", "mcp_types", "opentelemetry", "pytest"}


def module_names(package: str) -> Iterator[str]:
    """Yield a package and every module in it, without those that run when they are imported."""
    yield package
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.endswith(".__main__"):
            yield module.name


def import_modules(package: str) -> int:
    """Import every module of a package and return their number. A module of a missing extra may fail."""
    count = 0
    for name in module_names(package):
        try:
            importlib.import_module(name)
        except Exception as error:
            if "KLING_ALL_EXTRAS" in os.environ or _find_missing_package(error) not in OPTIONAL:
                raise
        else:
            count += 1
    return count


def _find_missing_package(error: Exception) -> str | None:
    """Return the package whose absence caused an error."""
    cause = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    return cause.name.split(".")[0] if isinstance(cause, ModuleNotFoundError) and cause.name else None


def run_command(*arguments: str) -> str:
    """Run a command of this environment, and return its standard output."""
    command = Path(sys.executable).with_name(arguments[0])
    return subprocess.run([command, *arguments[1:]], check=True, stdout=subprocess.PIPE, text=True).stdout


def check_commands(packages: list[str]) -> None:
    """Check `kling --help`, and that every installed plugin is loaded."""
    run_command("kling", "--help")
    entries = json.loads(run_command("kling", "plugins", "--json"))
    loaded = {entry["distribution"].split()[0] for entry in entries if entry["state"] == "loaded"}
    expected = {package.replace("_", "-") for package in packages}
    if not expected <= loaded:
        sys.exit(f"not loaded: {sorted(expected - loaded)}; kling plugins lists {entries}")


def run_job(folder: Path) -> None:
    """Run one job to a file."""
    gateway = [] if "KLING_BASE_URL" in os.environ else ["--sandbox"]
    run_command("kling", "run", *gateway, "kling-2", "prompt=x", "--save-to", str(folder))
    sizes = [path.stat().st_size for path in folder.glob("*.mp4")]
    if len(sizes) != 1 or not sizes[0]:
        sys.exit(f"expected one file in {folder}, found {sizes}")


def main() -> None:
    """Run all checks that apply to the packages, and print the number of imported modules."""
    folder, packages = Path(sys.argv[1]), sys.argv[2:]
    count = sum(import_modules(package) for package in packages)
    if "kling_codegen" in packages:
        run_command("kling-codegen", "--version")
    if "kling_adapters" in packages:
        check_commands([package for package in packages if package != "kling_codegen"])
        run_job(folder)
    sys.stdout.write(f"{count} modules\n")


if __name__ == "__main__":
    main()
