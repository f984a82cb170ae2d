"""`make fuzz`: answers found by coverage, for the readers that test_hostile_answers.py tries by structure.

Whatever escapes a reader ends the run and leaves the bytes in crash-*; without that it runs until it is told to stop.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["kling_adapters.protocol.wire", "json"]):
    from kling_adapters.protocol import wire

GATEWAY = wire.Gateway("https://gateway.example")


def read(data: bytes) -> None:
    """Everything that is read from an answer."""
    given = atheris.FuzzedDataProvider(data)
    status = given.PickValueInList([200, 201, 302, 400, 404, 406, 422, 429, 500])
    names = ("retry-after", "x-rate-limit-reset-at-utc", "date")
    headers = {name: given.ConsumeUnicodeNoSurrogates(given.ConsumeIntInRange(0, 40)) for name in names}
    answer = wire.Answer(status, headers, given.ConsumeBytes(given.remaining_bytes()))
    request_id = wire.read_request_id(answer)
    GATEWAY.status(request_id or "x")
    repr((wire.read_status(answer), wire.read_credits(answer), wire.seconds_until_reset(answer)))
    repr([wire.read_end("x", None, kind, answer) for kind in ("video", "image", None)])
    assert str(wire.api_error(answer, request_id)).isprintable()


atheris.Setup(sys.argv, read)
atheris.Fuzz()
