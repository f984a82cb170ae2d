"""`kling batch`: estimates of a dry run, and the cap on the cost."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .conftest import Command, Gateway, rows, write


def test_dry_run_submits_nothing_and_estimates(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert "2 lines to submit: unknown cost, because" in kling("batch", str(file), "--dry-run").stdout
    assert not gateway.submits
    assert kling("batch", str(file)).returncode == 0
    done = kling("batch", str(write(tmp_path / "more.jsonl", 5)), "--dry-run")
    assert (done.returncode, len(gateway.submits)) == (0, 2)
    assert "5 lines to submit: about 5 credits" in done.stdout


def test_max_cost_stops_a_batch_before_it_is_exceeded(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 6)
    done = kling("batch", str(file), "--max-cost", "2.5", "--allow-unknown-cost", "1")
    assert (done.returncode, len(gateway.submits)) == (7, 2)
    assert "4 lines not submitted or not ended" in done.stderr
    done = kling("batch", str(file), "--max-cost", "3", "--resume")
    assert (done.returncode, len(gateway.submits), len(rows(file))) == (7, 3, 3)


def test_max_cost_refuses_lines_of_unknown_price(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    done = kling("batch", str(file), "--max-cost", "50")
    assert (done.returncode, gateway.submits) == (2, [])
    assert "12 lines of unknown price (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...)" in done.stderr
    assert kling("batch", str(write(tmp_path / "one.jsonl", 1))).returncode == 0
    done = kling("batch", str(file), "--max-cost", "50")
    assert (done.returncode, len(gateway.submits)) == (0, 13)


def test_dry_run_says_whether_max_cost_holds(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 3)
    done = kling("batch", str(file), "--dry-run", "--max-cost", "5")
    assert (done.returncode, "3 lines to submit" in done.stdout) == (2, True)
    # The gateway of this test has no request history.
    assert "jobs that only the request history has do not count: " in done.stderr
    assert "--max-cost cannot hold for 3 lines of unknown price (1, 2, 3)" in done.stderr
    assert "The request history was not read: " in done.stderr
    allow = ("--dry-run", "--allow-unknown-cost", "2", "--max-cost")
    done = kling("batch", str(file), *allow, "5")
    assert done.returncode == 0
    assert (
        "--max-cost 5 may stop the batch before its last line: these lines cost up to 6 credits"
        in done.stderr
    )
    done = kling("batch", str(file), *allow, "6")
    assert "--max-cost 6 is enough for these lines: at most 6 credits" in done.stderr
    assert not gateway.submits


def test_dry_run_shows_spread_and_source(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    assert kling("batch", str(write(tmp_path / "films.jsonl", 2))).returncode == 0
    file = tmp_path / "mixed.jsonl"
    file.write_text(
        '{"model": "kling-2", "prompt": "a"}\n{"model": "kling-2", "prompt": "b", "duration": 10}\n'
        '{"model": "kling-1.6-text2video", "prompt": "c"}\n'
        '{"model": "kling-o1", "prompt": "@Image1", "image_urls": ["https://example.com/a.png"]}\n'
    )
    shown = kling("batch", str(file), "--dry-run").stdout
    assert "4 lines to submit: about 4.26 credits (2.56 to 4.96), and an unknown cost for 1 line." in shown
    assert re.search(r"kling-2 +2 +2 +3 +3 +journal \(2 jobs\)", shown), shown
    assert re.search(r"kling-1.6-text2video +1 +0.56 +1.26 +1.96 +spec", shown)
    assert re.search(r"kling-o1 +1 +unknown +unknown +unknown +1 line of unknown price", shown)
    printed = kling("batch", str(file), "--dry-run", "--json").stdout
    assert json.loads(printed.splitlines()[0]) == {
        "model": "kling-2",
        "lines": 2,
        "low": 2.0,
        "expected": 3.0,
        "high": 3.0,
        "unknown": 0,
        "sources": ["journal"],
        "jobs": 2,
    }
    assert len(gateway.submits) == 2


def test_estimate_uses_prices_of_its_gateway_alone(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    file.write_text(
        file.read_text() + '{"model": "kling-2", "prompt": "new"}\n'
        '{"model": "kling-o1", "prompt": "@Image1", "image_urls": ["https://example.com/a.png"]}\n'
    )
    done = kling("batch", str(file), "--dry-run")
    assert "4 lines to submit: about 3 credits, and an unknown cost for 1 line." in done.stdout
    done = kling("batch", str(file), "--dry-run", "--resume")
    assert "2 lines to submit: about 1 credit, and an unknown cost for 1 line." in done.stdout
    with Gateway() as elsewhere:
        kling.gateway = elsewhere
        done = kling("batch", str(file), "--dry-run")
        assert "4 lines to submit: unknown cost, because" in done.stdout
        assert not elsewhere.submits
