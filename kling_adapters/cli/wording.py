"""Errors and warnings of the library in the words of the command line."""

from __future__ import annotations

import re
from typing import Final

from kling_adapters.errors import UNCHECKED_ADVICE

_REPLACEMENTS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'error\.job\.wait\(\),? or kling\.job\("([^"]+)"\)\.wait\(\)', r"`kling wait \1`"),
        (r"kling\.reconcile\(\)", "`kling reconcile`"),
        (r"(, or (give|pass)|,? or the) (Kling\(api_key=\.\.\.\)|api_key argument)", ""),
        (r"(give|pass) Kling\(api_key=\.\.\.\), or ", ""),
        (r"Kling\(journal=None\)", "--journal none"),
        (re.escape(UNCHECKED_ADVICE), "Pass --unchecked NAME=VALUE to send a value as it is."),
        (r"pass it in unchecked only", "pass it with --unchecked only"),
        (r"unknown parameter; pass it in extra to send it", "unknown parameter; `kling submit-raw` sends it"),
        (r"^(name|tag|timeout) is ", r"--\1 is "),
        (
            r"Submit a model without a spec with submit_raw\(\)\.",
            "`kling models --all` lists models without a spec, and `kling submit-raw` submits to one.",
        ),
        (
            r"^(\S+) has no spec\. Submit it with submit_raw\(\)\.",
            r"\1 has no spec. `kling submit-raw \1 NAME=VALUE ...` submits a job of it.",
        ),
        (r"(?<=[.?]) [^.?]*\bsubmit_raw\(\)[^.?]*\.", ""),
    )
)
# Not in a path, a file name or a quoted text.
_PARAMETER = re.compile(
    r"""(?<![\w./"'-])(save_to|max_cost|allow_unknown_cost|base_url|rate_limit)(?![\w/"'-]|\.\w)"""
)


def describe_error(error: Exception) -> str:
    """Return the message of an error with options of the command line instead of Python."""
    return use_option_names(str(error))


def use_option_names(text: str) -> str:
    """Return a message with `--save-to` for `save_to`, and likewise for other parameters and calls."""
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return _PARAMETER.sub(lambda match: f"--{match[1].replace('_', '-')}", text)
