"""Estimates of prices: from the spec, and from earlier jobs by what decides their price."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Fault, Sandbox

import kling_adapters as ka
from kling_adapters import Estimate, Kling
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import FakeGateway
from tests.support.clients import OpenClient

IMAGE = "https://example.com/a.png"
TEXT = "kling-1.6-text2video"
TURBO = "kling-2.5-turbo"


class Account:
    """A client whose journal has ended jobs of any cost. Nothing is sent."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.sqlite3")
        self.kling = Kling(
            base_url="http://127.0.0.1:1", api_key="SG_1", journal=self.journal.path, history=False
        )

    def pay(
        self, cost: float | None, model: str = "kling-2", *, state: str = "COMPLETED", **params: Any
    ) -> None:
        entry = self.journal.intend("http://127.0.0.1:1", model, {"prompt": "x", **params}, "SG_1")
        self.journal.update(entry, state=state, request_id=f"job {entry}", cost=cost)

    def estimate(self, model: str = "kling-2", **params: Any) -> Estimate:
        return self.kling.estimate(model, **{"prompt": "y", **params})

    def close(self) -> None:
        self.kling.close()
        self.journal.close()


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    opened = Account(tmp_path)
    yield opened
    opened.close()


def figures(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.low, estimate.expected, estimate.high


def test_unknown_price_says_so(account: Account) -> None:
    account.pay(1.0, TURBO)
    account.pay(None)
    estimate = account.estimate()
    assert (figures(estimate), estimate.sources, estimate.jobs) == ((None, None, None), (), 0)
    assert str(estimate) == (
        "The price of this kling-2 job is unknown: its spec has none, and no earlier job is like it."
    )


def test_price_line_of_the_spec_is_used_without_jobs(account: Account) -> None:
    estimate = account.estimate(TEXT)
    assert figures(estimate) == (0.56, 1.26, 1.96)
    assert (estimate.sources, estimate.jobs) == (("spec",), 0)
    assert str(estimate) == (f"A {TEXT} job costs about 1.26 credits (0.56 to 1.96), according to the spec.")
    approximate = account.estimate("kling-o1-image-to-video", start_image_url=IMAGE)
    assert figures(approximate) == (0.456, 0.912, 1.824)


def test_price_line_is_converted_to_credits(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kling_adapters.protocol.price_facts.CREDIT_PRICE", 0.5)
    assert figures(account.estimate(TEXT)) == (1.12, 2.52, 3.92)
    monkeypatch.setattr("kling_adapters.protocol.price_facts.CREDIT_CURRENCY", "EUR")
    assert figures(account.estimate("kling-o1-image-to-video", start_image_url=IMAGE)) == (None, None, None)


def test_costs_of_jobs_replace_the_price_of_the_spec(account: Account) -> None:
    account.pay(0.5, TEXT)
    estimate = account.estimate(TEXT, duration=5, mode="std")
    assert (figures(estimate), estimate.sources, estimate.jobs) == ((0.5, 0.5, 0.5), ("journal",), 1)
    assert estimate.drivers == {"duration": 5.0, "mode": "std"}
    # Of another duration: the spec, widened by what one of 5 s has cost.
    longer = account.estimate(TEXT, duration=10)
    assert (figures(longer), longer.sources) == ((0.5, 1.0, 1.96), ("spec", "journal"))


def test_spec_is_widened_by_jobs_that_cost_more(account: Account) -> None:
    account.pay(5.0, "kling-1.6-image2video", mode="pro", image=IMAGE)
    estimate = account.kling.estimate("kling-1.6-image2video", image=IMAGE, mode="std")
    assert (estimate.high, estimate.sources) == (5.0, ("spec", "journal"))


def test_other_duration_lies_between_a_flat_and_a_proportional_price(account: Account) -> None:
    account.pay(0.5, duration=5)
    assert figures(account.estimate(duration=10)) == (0.5, 1.0, 1.0)
    account.pay(1.5, duration=10)
    assert figures(account.estimate(duration=10)) == (1.5, 1.5, 1.5)
    assert figures(account.estimate(duration="5")) == (0.5, 0.5, 0.5)


def test_texts_that_are_numbers_are_compared_as_numbers(account: Account) -> None:
    model = "kling-3-pro-image2video"
    account.pay(0.5, model, duration="5", start_image_url=IMAGE)
    account.pay(0.7, duration="5")
    longer = account.estimate(model, duration="10", start_image_url=IMAGE)
    assert figures(longer) == (0.5, 1.0, 1.0)
    assert figures(account.estimate(duration=5)) == (0.7, 0.7, 0.7)


def test_three_equal_jobs_need_no_explanation(account: Account) -> None:
    for cost, scale in ((1.0, 0.3), (2.0, 0.1), (1.0, 0.3), (3.0, 0.4), (1.0, 0.3), (4.0, 0.6)):
        account.pay(cost, cfg_scale=scale)
    assert figures(account.estimate(cfg_scale=0.3)) == (1.0, 1.0, 1.0)


def test_other_quality_is_unknown(account: Account) -> None:
    account.pay(0.5, TURBO, mode="std")
    assert account.estimate(TURBO, mode="pro").expected is None


def test_jobs_of_other_gateways_and_models_do_not_count(account: Account) -> None:
    entry = account.journal.intend("https://elsewhere.example", "kling-2", {"prompt": "x"}, "SG_1")
    account.journal.update(entry, state="COMPLETED", cost=9.0)
    assert account.estimate().expected is None


def test_single_outlier_changes_nothing(account: Account) -> None:
    for cost in (0.5, 0.5, 40.0, 0.5, 0.5, 0.5, 0.5):
        account.pay(cost)
    assert figures(account.estimate()) == (0.5, 0.5, 0.5)


def test_changed_price_is_expected_after_three_jobs(account: Account) -> None:
    for cost in (0.5,) * 30 + (0.8,) * 3:
        account.pay(cost)
    estimate = account.estimate()
    assert estimate.expected == 0.8
    assert estimate.high == pytest.approx(0.8, rel=0.05)


def test_unexplained_differences_are_spread(account: Account) -> None:
    for cost in (0.9, 1.0, 1.1, 1.2):
        account.pay(cost)
    estimate = account.estimate()
    assert estimate.low == pytest.approx(0.9 - 0.3 / 4)
    assert estimate.expected == pytest.approx(1.05)
    assert estimate.high == pytest.approx(1.2 + 0.3 / 4)


def test_negative_costs_are_ignored(account: Account) -> None:
    account.pay(-5.0)
    assert account.estimate().expected is None


def by_aspect(params: Mapping[str, Any]) -> float:
    return 1.0 if params["aspect_ratio"] == "16:9" else 1.7


def by_image(params: Mapping[str, Any]) -> float:
    return 0.8 if "image_url" in params else 0.5


def by_both(params: Mapping[str, Any]) -> float:
    return by_aspect(params) + by_image(params)


def by_seconds(params: Mapping[str, Any]) -> float:
    return 0.2 + 0.07 * float(params["duration"])


@pytest.mark.parametrize("price", [by_aspect, by_image, by_both, by_seconds])
@pytest.mark.parametrize("seed", range(5))
def test_estimates_are_within_5_percent_after_three_jobs_of_a_kind(
    account: Account, price: Callable[[Mapping[str, Any]], float], seed: int
) -> None:
    chance = random.Random(seed)
    kinds: list[dict[str, Any]] = [
        {"aspect_ratio": aspect, "duration": duration, **image}
        for aspect in ("16:9", "9:16")
        for duration in (5, 10)
        for image in ({}, {"image_url": IMAGE})
    ]
    jobs = [(kind, chance.uniform(0.99, 1.01)) for kind in kinds for _ in range(3)]
    chance.shuffle(jobs)
    with account.journal.transaction():
        for kind, noise in jobs:
            account.pay(price(kind) * noise, TURBO, **kind, cfg_scale=round(chance.random(), 3))
    for kind in kinds:
        estimate = account.estimate(TURBO, **kind)
        assert estimate.expected == pytest.approx(price(kind), rel=0.05), kind
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= price(kind) * 1.01
        assert estimate.high >= price(kind) * 0.99


def test_estimate_in_the_sandbox_is_the_bill(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    films = [("kling-2", {"prompt": "x", "duration": seconds}) for seconds in (5, 10)]
    films.append(("kling-3-pro-image2video", {"prompt": "x", "start_image_url": IMAGE, "duration": "7"}))
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        for model, params in films * 3:
            kling.run_model(model, params)
        for model, params in films:
            billed = kling.run_model(model, params).metrics.cost
            received = len(sandbox.requests)
            estimate = kling.estimate(model, **params)
            assert figures(estimate) == (billed, billed, billed)
            assert len(sandbox.requests) == received


def test_jobs_of_the_history_show_prices(open_client: OpenClient, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        check_history(open_client, sandbox, tmp_path / "journal")


def check_history(open_client: OpenClient, sandbox: Sandbox, journal: Path) -> None:
    with open_client(sandbox, journal=None) as elsewhere:
        for seconds in (5, 5, 5, 10):
            elsewhere.run("kling-2", prompt="x", duration=seconds)
    with open_client(sandbox, journal=journal) as kling:
        estimate = kling.estimate("kling-2", prompt="y")
        assert (figures(estimate), estimate.sources, estimate.jobs) == ((0.5, 0.5, 0.5), ("history",), 3)
        kling.run("kling-2", prompt="z")
        estimate = kling.estimate("kling-2", prompt="y")
        # The job of the journal is in the history, too.
        assert (estimate.sources, estimate.jobs) == (("history", "journal"), 4)
        requests = [{"model": "kling-2", "prompt": "y", "duration": seconds} for seconds in (5, 10)]
        assert [estimate.expected for estimate in kling.estimate_all(requests)] == [0.5, 1.0]
        outcomes = list(kling.map(requests, max_cost=1.5))
        assert [outcome.error for outcome in outcomes] == [None, None]
    with open_client(sandbox, journal=None, history=False) as kling:
        assert kling.estimate("kling-2", prompt="y").expected is None


@pytest.mark.parametrize("fault", ["500", "429", "reset-late", "garbage"])
def test_history_that_fails_leaves_estimates_as_without_it(open_client: OpenClient, fault: str) -> None:
    with Sandbox(faults=[Fault.parse(fault)]) as sandbox, open_client(sandbox, journal=None) as kling:
        estimate = kling.estimate("kling-2", prompt="y")
        assert (estimate.expected, estimate.gap is None) == (None, False)
        assert "no earlier job of the journal is like it. The request history was not read: " in str(estimate)
        estimate = kling.estimate(TEXT, prompt="y")
        assert estimate.sources == ("spec",)
        assert "according to the spec. The request history was not read: " in str(estimate)


def test_history_that_is_not_needed_or_turned_off_is_no_gap(open_client: OpenClient, tmp_path: Path) -> None:
    with FakeGateway() as gateway, open_client(gateway, journal=tmp_path / "journal") as kling:
        assert kling.estimate("kling-2", prompt="y").gap is not None
        for _ in range(3):
            kling.run("kling-2", prompt="x")
        assert kling.estimate("kling-2", prompt="y").gap is None
        with open_client(gateway, journal=None, history=False) as client:
            assert client.estimate("kling-2", prompt="y").gap is None


def test_invalid_request_is_not_estimated(open_client: OpenClient) -> None:
    with FakeGateway() as gateway, open_client(gateway, journal=None) as kling:
        with pytest.raises(ka.ParamsInvalid):
            kling.estimate("kling-2", prompt="x", duration=7)
        with pytest.raises(ka.UnknownModel):
            kling.estimate("kling-0", prompt="x")
        with pytest.raises(ka.ParamsInvalid):
            kling.estimate_all([{"model": "kling-2", "prompt": "x"}, {"model": "kling-2"}])
        assert not gateway.requests
        assert kling.estimate("kling-2", prompt="x").expected is None
        assert [request.method for request in gateway.requests] == ["GET"]
        kling.close()
        with pytest.raises(ka.ConfigError, match="closed"):
            kling.estimate("kling-2", prompt="x")
