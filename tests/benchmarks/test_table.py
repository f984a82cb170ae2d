"""The table of benchmarks: its rows, what counts as worse, and the committed page. Nothing is timed."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import committed, report, run
from benchmarks.ratios import Ratio

SPEED = Ratio(
    "speed against a peer", 0.8, 0.9, is_upper_limit=False, detail="8 against 10 jobs/s", transport="httpx"
)
MEMORY = Ratio("memory against 10 kB", 0.5, 1, is_upper_limit=True, detail="5 kB")


@pytest.mark.parametrize(
    ("ratio", "value", "expected"),
    [
        (SPEED, 0.65, False),
        (SPEED, 0.63, True),
        (SPEED, 8.0, False),
        (MEMORY, 0.62, False),
        (MEMORY, 0.63, True),
        (MEMORY, 0.0, False),
    ],
)
def test_a_drop_of_more_than_a_fifth_is_worse(ratio: Ratio, value: float, expected: bool) -> None:
    assert committed.is_worse(replace(ratio, value=value), ratio) is expected


def test_values_far_below_an_upper_limit_are_not_worse() -> None:
    before = replace(MEMORY, value=0.0)
    assert not committed.is_worse(replace(MEMORY, value=0.12), before)
    assert committed.is_worse(replace(MEMORY, value=0.13), before)


def test_ratios_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    assert committed.read_ratios(path) == {}
    committed.write_ratios({"x": [SPEED, MEMORY]}, path)
    assert committed.read_ratios(path) == {"x": [SPEED, MEMORY]}


def test_rows_of_another_transport_are_not_compared() -> None:
    assert committed.find_committed(SPEED, [MEMORY, SPEED]) == SPEED
    assert committed.find_committed(replace(SPEED, transport="httpx2"), [MEMORY, SPEED]) is None


def test_table_shows_verdict_and_worse_rows() -> None:
    output = StringIO()
    console = Console(width=200, file=output)
    before = {"x": [replace(SPEED, value=1.2), MEMORY]}
    console.print(report.make_table({"x": [SPEED, MEMORY]}, before))
    lines = output.getvalue().splitlines()
    [speed] = [line for line in lines if SPEED.name in line]
    [memory] = [line for line in lines if MEMORY.name in line]
    for text in ("httpx", "0.80", "≥ 0.9", "not reached", "1.20 WORSE", SPEED.detail):
        assert text in speed
    assert "≤ 1" in memory
    assert "not reached" not in memory
    assert "WORSE" not in memory


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (0.0042, "0.0042"), (0.04, "0.04"), (1.234, "1.23"), (123.4, "123")]
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert report.format_number(value) == text


def test_compare_exits_with_1_for_a_worse_ratio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "_measure", lambda _: [SPEED])
    monkeypatch.setattr(run, "read_ratios", lambda: {"polls": [replace(SPEED, value=1.2)]})
    assert run.main(["--compare", "polls"]) == 1
    assert "WORSE" in capsys.readouterr().out
    assert run.main(["polls"]) == 0
    assert run.main(["--compare", "limiter"]) == 0


def test_a_failed_benchmark_ends_with_2_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_in_process(_: str, __: object, name: str) -> list[Ratio]:
        if name == "polls":
            raise ValueError("a gateway without a port")
        return [SPEED]

    monkeypatch.setattr(run, "run_in_process", run_in_process)
    monkeypatch.setattr(run, "_write", lambda _: pytest.fail("written"))
    assert run.main([]) == 2
    output = capsys.readouterr()
    assert SPEED.name in output.out
    assert "a gateway without a port" in output.err
    assert "polls failed, so nothing was written or compared." in output.err


def test_unknown_benchmarks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["limits"])
    assert "Pass some of: startup," in capsys.readouterr().err


def test_page_lists_every_committed_ratio() -> None:
    page = report.PAGE.read_text("utf-8")
    ratios = committed.read_ratios()
    assert list(ratios) == list(run.NAMES)
    for rows in ratios.values():
        for row in rows:
            figures = (row.transport, report.format_number(row.value), report.format_bar(row))
            assert f"| {row.name} | {' | '.join(figures)} | {report.format_verdict(row)} |" in page
    assert "pictures/ratios.svg" in page
