"""What a change of the gateway's facts means to callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.codegen.demo_specs import BASE, GATEWAY, SAME, list_changes, write_specs

LATER = "(it expires later)"
BREAKS = "(code that relies on it breaks)"
GATEWAY_EDITS = [
    ("https://api.segmind.com", "https://api.example.com", ['breaking: gateway base_url: value "https://api.segmind.com" -> "https://api.example.com" (the key goes to another host)']),
    ("SEGMIND_API_KEY", "OTHER", [f"breaking: gateway key.environment: value SEGMIND_API_KEY -> OTHER {BREAKS}"]),
    ("x-api-key", "key", ['warning: gateway key.header: value "x-api-key" -> key (requests look different, calls stay the same)']),
    ("/v2/{slug}", "/v3/{slug}", ['warning: gateway paths.submit: value "/v2/{slug}" -> "/v3/{slug}" (requests look different, calls stay the same)']),
    ("3600", "1800", ["breaking: gateway record_lifetime_seconds: value 3600 -> 1800 (it expires sooner)"]),
    ("604800", "704800", [f"additive: gateway output_lifetime_seconds: value 604800 -> 704800 {LATER}"]),
    ("https://api.spotprod.segmind.com/inference-request/request-history", "https://example.com/h", ['breaking: gateway history_url: value "https://api.spotprod.segmind.com/inference-request/reque... -> "https://example.com/h" (the key goes to another host)']),
    ("max_per_page: 100", "max_per_page: 50", ["warning: gateway history.max_per_page: value 100 -> 50 (the request history is read as it says)"]),
    ("    - how long all this stays as it is\n", "", [f'documentation: gateway history.uncertain: value "the delay after which a request is listed, and whether i... -> "the delay after which a request is listed, and whether i... {SAME}']),
    ("  price: 1 #", "  price: 2 #", ["warning: gateway credit.price: value 1.0 -> 2.0 (prices are estimated as it says)"]),
    ("  source: client\n", "  source: docs\n", [f"documentation: gateway credit.source: value client -> docs {SAME}"]),
    ("name: QUEUED", "name: WAITING", [f'breaking: gateway states.QUEUED: value name QUEUED, meaning "accepted and waiting for a worker",... -> none {BREAKS}', 'additive: gateway states.WAITING: value none -> name WAITING, meaning "accepted and waiting for a worker"... (jobs may be in it)']),
    ("worker, terminal: false}\n  - {name: P", "worker, terminal: true}\n  - {name: P", [f"breaking: gateway states.QUEUED.terminal: value false -> true {BREAKS}"]),
    ("running on a worker", "at work", [f'documentation: gateway states.PROCESSING.meaning: value "running on a worker" -> "at work" {SAME}']),
    ("status: 410", "status: 409", [f'breaking: gateway errors.410: value status 410, name ModelRetired, meaning "the model is no l... -> none {BREAKS}', 'warning: gateway errors.409: value none -> status 409, name ModelRetired, meaning "the model is no l... (submits with this answer are handled as it says)']),
    ("name: ModelRetired", "name: Retired", [f"breaking: gateway errors.410.name: value ModelRetired -> Retired {BREAKS}"]),
    ("too many requests, submit: safe", "too many requests, submit: never", [f"breaking: gateway errors.429.submit: value safe -> never {BREAKS}"]),
    ("waiting, submit: uncertain", "waiting, submit: safe", ["warning: gateway errors.504.submit: value uncertain -> safe (submits with this answer are repeated)"]),
    ("submit: never, source: digest}\n  - {status: 422", "submit: never, source: docs}\n  - {status: 422", [f"documentation: gateway errors.410.source: value digest -> docs {SAME}"]),
    ("  - {name: QUEUED, meaning: accepted and waiting for a worker, terminal: false}\n  - {name: PROCESSING, meaning: running on a worker, terminal: false}\n", "  - {name: PROCESSING, meaning: running on a worker, terminal: false}\n  - {name: QUEUED, meaning: accepted and waiting for a worker, terminal: false}\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("original", "put", "expected"), GATEWAY_EDITS)
def test_gateway(tmp_path: Path, original: str, put: str, expected: list[str]) -> None:
    assert GATEWAY.count(original) == 1
    new = write_specs(tmp_path / "new", gateway=GATEWAY.replace(original, put))
    assert list_changes(write_specs(tmp_path / "old"), new) == expected


def test_specs_of_a_package_have_no_gateway(tmp_path: Path) -> None:
    old = write_specs(tmp_path / "old")
    new = write_specs(tmp_path / "new", BASE.replace("title: Demo", "title: Other"))
    for folder in (old, new):
        (folder / "gateway.yaml").unlink()
    assert list_changes(old, new) == [f"documentation: demo: title Demo -> Other {SAME}"]
