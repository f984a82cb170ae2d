"""`make fuzz`: answers found by coverage, for the readers that test_hostile_answers.py tries by structure.

An exception of a reader ends the run and leaves the bytes in crash-*; otherwise it runs until it is stopped.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["kling_adapters.protocol", "json"]):
    from kling_adapters.protocol.failures import api_error, seconds_until_reset
    from kling_adapters.protocol.gateway import Gateway
    from kling_adapters.protocol.history_rows import read_page
    from kling_adapters.protocol.messages import Answer
    from kling_adapters.protocol.responses import read_credits, read_ended_job, read_request_id, read_status

GATEWAY = Gateway("https://gateway.example")


def read(data: bytes) -> None:
    """Read everything from an answer."""
    provider = atheris.FuzzedDataProvider(data)
    status = provider.PickValueInList([200, 201, 302, 400, 404, 406, 422, 429, 500])
    names = ("retry-after", "x-rate-limit-reset-at-utc", "date")
    headers = {name: provider.ConsumeUnicodeNoSurrogates(provider.ConsumeIntInRange(0, 40)) for name in names}
    answer = Answer(status, headers, provider.ConsumeBytes(provider.remaining_bytes()))
    request_id = read_request_id(answer)
    GATEWAY.status(request_id or "x")
    repr((read_status(answer), read_credits(answer), seconds_until_reset(answer)))
    repr([read_ended_job("x", None, kind, answer) for kind in ("video", "image", None)])
    repr(read_page(answer))
    assert str(api_error(answer, request_id)).isprintable()


atheris.Setup(sys.argv, read)
atheris.Fuzz()
