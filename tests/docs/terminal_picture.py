"""Draw docs/pictures/terminal.svg: commands of the README and what they print against the sandbox. `make screenshots`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from kling_sandbox import Sandbox
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "terminal.svg"
WIDTH = 86
COMMANDS = (
    'kling run kling-2 prompt="A lighthouse" duration=7',
    'kling run kling-2 prompt="A lighthouse" duration=10 --save-to storm.mp4',
    "kling batch films.jsonl --save-to renders/ --max-cost 5",
)
FILMS = ("A lighthouse at dawn", "A lighthouse in fog", "A lighthouse under snow")


def record_session(console: Console, folder: Path, environment: dict[str, str]) -> None:
    """Run the commands in a folder, and print each with its output to a console."""
    lines = [json.dumps({"model": "kling-2", "prompt": prompt}) for prompt in FILMS]
    (folder / "films.jsonl").write_text("\n".join(lines), "utf-8")
    for command in COMMANDS:
        console.print(Text.assemble(("$ ", "green"), (command, "bold")))
        done = subprocess.run(
            [Path(sys.executable).with_name("kling"), *shlex.split(command)[1:]],
            cwd=folder,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        console.print(Text(done.stdout.rstrip().replace(str(folder), "/home/you")), end="\n\n")


def main() -> None:
    console = Console(width=WIDTH, record=True, file=StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as name, Sandbox() as sandbox:
        environment = {
            "KLING_BASE_URL": sandbox.base_url,
            "SEGMIND_API_KEY": sandbox.api_key,
            "KLING_JOURNAL": str(Path(name) / "journal.sqlite3"),
            "COLUMNS": str(WIDTH),
        }
        record_session(console, Path(name), environment)
    # The fonts of the reader: a picture fetches nothing.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="kling"), flags=re.DOTALL)
    PICTURE.write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
