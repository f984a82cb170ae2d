"""Calls that must and must not type-check; never run. Only lines marked `refused` must be errors."""

from collections.abc import AsyncGenerator, Generator, Sequence
from io import BytesIO
from pathlib import Path, PurePath
from typing import Literal, assert_type

import httpx

from kling_adapters import (
    AsyncJob,
    AsyncKling,
    AsyncResult,
    Catalog,
    Charge,
    Credits,
    Estimate,
    Job,
    JournalEntry,
    Kling,
    Outcome,
    Params,
    PluginInfo,
    Request,
    Result,
    Usage,
)
from kling_adapters.models import (
    Kling2,
    Kling3ProImage2video,
    Kling25Turbo,
    KlingBloombloom,
    KlingO1,
)
from kling_adapters.models.kling_2 import Kling2Input
from kling_adapters.models.kling_3_pro_image2video import Element, ElementInput, MultiPromptItem
from kling_adapters.testing import SimulatedClock

URL = "https://example.com/a.png"


def clients(slug: str) -> None:
    with Kling() as kling:
        assert_type(kling, Kling)
    Kling(api_key="SG_1", base_url="http://127.0.0.1:8123", journal=None, clock=SimulatedClock())
    Kling(auth="keyring", journal=Path("journal.sqlite3"), plugins=[object()], strict_plugins=True)
    assert_type(kling.catalog, Catalog)
    assert_type(kling.catalog[slug].load(), type[Params])
    assert_type(kling.plugins, tuple[PluginInfo, ...])
    Kling("SG_1")  # refused
    Kling(api_key=b"SG_1")  # refused
    Kling(journal=3)  # refused
    Kling(plugins=object())  # refused
    Kling(clock=object())  # refused
    Kling(timeout=900, proxy="http://proxy.example:3128")
    Kling(transport=httpx.HTTPTransport())
    AsyncKling(timeout=0.5, transport=httpx.AsyncHTTPTransport())
    Kling(timeout="900")  # refused
    Kling(proxy=3128)  # refused
    Kling(transport=object())  # refused
    Kling(transport=httpx.AsyncHTTPTransport())  # refused
    AsyncKling(transport=httpx.HTTPTransport())  # refused
    AsyncKling("SG_1")  # refused
    with AsyncKling() as _:  # refused
        pass


def submit(kling: Kling, slug: str) -> None:
    assert_type(kling.submit("kling-2", prompt="x", duration=10), Job)
    assert_type(kling.submit("kling-2.5-turbo", prompt="x", image_url=None, extra={"seed": 1}), Job)
    assert_type(kling.submit("kling-bloombloom", image=URL, mode="pro"), Job)
    assert_type(kling.submit(Kling2(prompt="x")), Job)
    assert_type(kling.submit(Kling2(prompt="x"), extra={"seed": 1}), Job)
    params: Kling2Input = {"prompt": "x", "duration": 5}
    kling.submit("kling-2", **params)
    kling.submit("kling-2", prompt="x", duration=7)  # refused
    kling.submit("kling-2", prompt="x", duration="10")  # refused
    kling.submit("kling-2", prompt="x", aspect_ratio="4:3")  # refused
    kling.submit("kling-2", prompt="x", cfg_scale="0.5")  # refused
    kling.submit("kling-2", prompt=1)  # refused
    kling.submit("kling-2", prompt=None)  # refused
    kling.submit("kling-2", promt="x")  # refused
    kling.submit("kling-2", prompt="x", seed=1)  # refused
    kling.submit("kling-2", prompt="x", image_url=URL)  # refused
    kling.submit("kling-2")  # refused
    kling.submit("kling-2", "x")  # refused
    kling.submit("kling-22", prompt="x")  # refused
    kling.submit(slug, prompt="x")  # refused
    kling.submit(model="kling-2", prompt="x")  # refused
    kling.submit(prompt="x")  # refused
    kling.submit(Kling2, prompt="x")  # refused
    kling.submit(Kling2(prompt="x"), duration=10)  # refused
    kling.submit({"model": "kling-2", "prompt": "x"})  # refused
    kling.submit("kling-2", prompt="x", extra=["seed"])  # refused
    assert_type(kling.submit("kling-2", prompt="x", save_to="renders/", timeout=900, tag="order 7"), Job)
    kling.submit("kling-2", prompt="x", tag=7)  # refused
    kling.submit("kling-2", prompt="x", save_to=5)  # refused
    kling.submit("kling-2", prompt="x", timeout="900")  # refused
    kling.submit("kling-o1", prompt="x")  # refused
    kling.submit("kling-bloombloom", image=URL, mode="std")  # refused


def run(kling: Kling, urls: list[str]) -> None:
    assert_type(kling.run("kling-2", prompt="x", save_to="renders/", timeout=900), Result)
    assert_type(kling.run("kling-o1", prompt="x", image_urls=urls, extra={"seed": 1}), Result)
    assert_type(kling.run(Kling2(prompt="x"), save_to=Path("renders"), timeout=0.5), Result)
    kling.run("kling-2", prompt="x", save_to=None, timeout=None, extra=None)
    kling.run("kling-2", prompt="x", timeout="900")  # refused
    kling.run("kling-2", prompt="x", save_to=b"renders/")  # refused
    kling.run("kling-2", prompt="x", save_to=3)  # refused
    kling.run("kling-2", duration=10)  # refused
    kling.run("kling-2", prompt="x", durations=10)  # refused
    kling.run("kling-3", prompt="x")  # refused
    kling.run(Kling2(prompt="x"), "renders/")  # refused
    kling.run(Kling2(prompt="x"), prompt="y")  # refused
    kling.run("kling-2.5-turbo", prompt="x", duration=7)  # refused
    kling.run("kling-o1", prompt="x", image_urls=urls, output_format="gif")  # refused


def run_direct(kling: Kling) -> None:
    assert_type(kling.run_direct("kling-2", prompt="x", save_to=Path("renders"), timeout=900), Result)
    assert_type(kling.run_direct(Kling2(prompt="x", start_image=b""), tag="order 7"), Result)
    kling.run_direct("kling-2", prompt="x", duration=7)  # refused
    kling.run_direct("kling-2", prompt="x", image=URL)  # refused
    kling.run_direct("kling-2", save_to="renders/")  # refused
    kling.run_direct("kling-2", prompt="x", save_to=3)  # refused
    kling.run_direct("kling-22", prompt="x")  # refused
    assert_type(kling.run_sync("kling-2", prompt="x", tag="order 7"), Result)
    assert_type(kling.run_sync(Kling2(prompt="x")), Result)
    kling.run_sync("kling-2", prompt="x", duration=7)  # refused
    kling.run_sync("kling-22", prompt="x")  # refused


def slugs_of_run_time(kling: Kling, slug: str, params: dict[str, object]) -> None:
    """A slug that is a `str` has calls of its own, so that those by literal slug stay strict."""
    assert_type(kling.submit_model(slug, params), Job)
    assert_type(kling.run_model(slug, {"prompt": "x"}, save_to="renders/", timeout=900, tag="a"), Result)
    assert_type(kling.run_model("acme-1", {"prompt": "x"}, extra={"seed": 1}), Result)
    kling.submit(kling.catalog[slug].load().model_validate(params))
    kling.submit(slug, **params)  # refused
    kling.run(slug, prompt="x")  # refused
    kling.run_direct(slug, prompt="x")  # refused
    kling.submit_model(slug)  # refused
    kling.submit_model(slug, prompt="x")  # refused
    kling.run_model(slug, ["x"])  # refused
    kling.run_model(Kling2(prompt="x"), {})  # refused


def media(kling: Kling, files: list[Path], mixed: list[str | Path]) -> None:
    kling.submit("kling-2", prompt="x", start_image=URL)
    kling.submit("kling-2", prompt="x", start_image=Path("a.png"))
    kling.submit("kling-2", prompt="x", start_image=b"\x89PNG")
    kling.submit("kling-2", prompt="x", start_image=BytesIO())
    kling.run("kling-o1", prompt="x", image_urls=[Path("a.png"), b"", URL, BytesIO()])
    kling.run("kling-o1", prompt="x", image_urls=files)
    kling.run("kling-o1", prompt="x", image_urls=mixed)
    kling.run("kling-o1", prompt="x", image_urls=(URL, Path("a.png")))
    with Path("a.png").open("rb") as file:
        kling.run("kling-2.5-turbo", prompt="x", image_url=file, tail_image_url=file)
    with Path("a.txt").open() as text:
        kling.run("kling-2.5-turbo", prompt="x", image_url=text)  # refused
    kling.submit("kling-2", prompt="x", start_image=3)  # refused
    kling.submit("kling-2", prompt="x", start_image=None)  # refused
    kling.submit("kling-2", prompt="x", start_image=[URL])  # refused
    kling.submit("kling-2", prompt="x", start_image=PurePath("a.png"))  # refused
    kling.submit("kling-2", prompt="x", start_image=bytearray())
    kling.run("kling-o1", prompt="x", image_urls=Path("a.png"))  # refused
    kling.run("kling-o1", prompt="x", image_urls={URL, "https://example.com/b.png"})  # refused
    kling.run("kling-o1", prompt="x", image_urls=[URL, None])  # refused
    kling.run("kling-o1", prompt="x", image_urls=[3])  # refused
    kling.run("kling-2", prompt=Path("prompt.txt"))  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, voice_ids=files)  # refused


def nested(kling: Kling, dicts: list[ElementInput], files: list[Path]) -> None:
    front: ElementInput = {"frontal_image_url": URL, "reference_image_urls": files}
    shot = MultiPromptItem(prompt="z")
    kling.submit(
        "kling-3-pro-image2video",
        prompt="x",
        start_image_url=URL,
        elements=[{"frontal_image_url": Path("a.png")}, Element(), {}, front],
        multi_prompt=[{"prompt": "y", "duration": "5"}, shot],
    )
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=dicts)
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=(Element(),))
    _: ElementInput = {"front": URL}  # refused
    _: ElementInput = {"frontal_image_url": 3}  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=[{"front": ""}])  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=front)  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=Element())  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=[URL])  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, elements=[shot])  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, multi_prompt=[{}])  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, multi_prompt=["y"])  # refused
    kling.run("kling-3-pro-image2video", prompt="x", start_image_url=URL, duration=5)  # refused


def objects(urls: Sequence[str], files: list[Path]) -> None:
    KlingO1(prompt="x", image_urls=urls)
    KlingO1(prompt="x", image_urls=files)
    KlingBloombloom(image=b"")
    Kling25Turbo(prompt="x", image_url=None)
    Kling3ProImage2video(prompt="x", start_image_url=b"", elements=[Element(frontal_image_url=files[0])])
    Kling3ProImage2video(prompt="x", start_image_url=URL, multi_prompt=[MultiPromptItem(prompt="y")])
    assert_type(Kling2(prompt="x").prompt, str)
    assert_type(Kling2(prompt="x").duration, Literal[5, 10])
    Kling2()  # refused
    Kling2("x")  # refused
    Kling2(prompt="x", duration=7)  # refused
    Kling2(promt="x")  # refused
    Kling2(prompt="x", aspect_ratio="4:3")  # refused
    Kling2(prompt="x", start_image=None)  # refused
    Kling2(prompt="x").durations  # refused
    Kling2(prompt="x").start_image.upper()  # refused
    Element(frontal_image_url=3)  # refused
    Element(front=URL)  # refused
    MultiPromptItem(duration="5")  # refused


def handles(kling: Kling, names: list[str]) -> None:
    assert_type(kling.submit_raw("kling-9", {"prompt": "x"}, tag="order 7"), Job)
    assert_type(kling.job("5f0c3c4e"), Job)
    assert_type(kling.job("5f0c3c4e", "kling-9"), Job)
    assert_type(kling.job("5f0c3c4e", model="kling-2"), Job)
    assert_type(kling.entries(), list[JournalEntry])
    assert_type(kling.credits(), Credits)
    assert_type(kling.reconcile(), list[JournalEntry])
    kling.submit_raw("kling-9", prompt="x")  # refused
    kling.submit_raw("kling-9", ["x"])  # refused
    kling.submit_raw("kling-9")  # refused
    kling.submit_raw(Kling2(prompt="x"), {})  # refused
    kling.submit_raw("kling-9", {1: "x"})  # refused
    kling.job(3)  # refused
    kling.job(Kling2)  # refused
    kling.entries(names)  # refused
    kling.credits("SG_1")  # refused


def prices(kling: Kling) -> None:
    assert_type(kling.estimate("kling-2", prompt="x"), Estimate)
    assert_type(kling.estimate(Kling2(prompt="x")), Estimate)
    assert_type(kling.estimate_all([Kling2(prompt="x"), {"model": "kling-2", "prompt": "x"}]), list[Estimate])
    assert_type(kling.usage(0.0).charges, tuple[Charge, ...])
    kling.estimate(["kling-2"])  # refused
    kling.estimate_all("films.jsonl")  # refused
    kling.usage("7d")  # refused


async def async_prices(kling: AsyncKling) -> None:
    assert_type(await kling.estimate("kling-2", prompt="x"), Estimate)
    assert_type(await kling.estimate_all([Kling2(prompt="x")]), list[Estimate])
    assert_type(await kling.usage(0.0), Usage)


def batches(kling: Kling, films: list[Kling2]) -> None:
    assert_type(kling.map(films), Generator[Outcome[Result]])
    assert_type(kling.resume(save_to="renders/", concurrency=4), Generator[Outcome[Result]])
    kling.resume(on_start=lambda entries: print(len(entries), entries[0].state))
    kling.map(films, tag="order 7")
    requests: list[Request] = [Kling2(prompt="x"), {"model": "kling-2", "prompt": "x"}]
    kling.map(requests)
    kling.map(
        [Kling2(prompt="x"), KlingO1(prompt="x", image_urls=[URL]), {"model": "kling-2", "prompt": "x"}]
    )
    kling.map((film for film in films), concurrency=64, save_to=Path("renders"), max_cost=5, name="films")
    kling.map()  # refused
    kling.map("films.jsonl")  # refused
    kling.map(Kling2(prompt="x"))  # refused
    kling.map(["kling-2"])  # refused
    kling.map(films, 64)  # refused
    kling.map(films, concurrency="64")  # refused
    kling.map(films, max_cost="5")  # refused
    kling.map(films, max_cost=5, allow_unknown_cost="1")  # refused
    kling.map(films, save_to=3)  # refused
    kling.map(films, name=3)  # refused
    kling.map(films, timeout=900)  # refused
    kling.resume("renders/")  # refused
    kling.resume(on_start=3)  # refused
    kling.resume(on_start=lambda: None)  # refused
    kling.resume(save_to=3)  # refused
    kling.map(films)[0]  # refused


async def awaitable(kling: AsyncKling, films: list[Kling2]) -> None:
    async with AsyncKling() as opened:
        assert_type(opened, AsyncKling)
    assert_type(await kling.submit("kling-2", prompt="x", duration=10), AsyncJob)
    assert_type(await kling.submit(Kling2(prompt="x")), AsyncJob)
    assert_type(await kling.run(Kling2(prompt="x"), save_to="renders/"), AsyncResult)
    assert_type(await kling.run("kling-o1", prompt="x", image_urls=[Path("a.png"), URL]), AsyncResult)
    assert_type(await kling.run_direct("kling-2", prompt="x", start_image=b""), AsyncResult)
    assert_type(await kling.run_sync("kling-2", prompt="x", start_image=b""), AsyncResult)
    assert_type(await kling.submit_model("acme-1", {"prompt": "x"}), AsyncJob)
    assert_type(await kling.run_model("acme-1", {"prompt": "x"}, tag="order 7"), AsyncResult)
    assert_type(await kling.submit_raw("kling-9", {"prompt": "x"}), AsyncJob)
    assert_type(kling.job("5f0c3c4e"), AsyncJob)
    assert_type(await kling.entries(), list[JournalEntry])
    assert_type(await kling.credits(), Credits)
    assert_type(await kling.reconcile(), list[JournalEntry])
    assert_type(kling.map(films), AsyncGenerator[Outcome[AsyncResult]])
    assert_type(kling.resume(), AsyncGenerator[Outcome[AsyncResult]])
    await kling.submit("kling-2", prompt="x", duration=7)  # refused
    await kling.submit("kling-2", prompt="x", start_image=3)  # refused
    await kling.submit("kling-22", prompt="x")  # refused
    await kling.submit("kling-2")  # refused
    await kling.run("kling-2", promt="x")  # refused
    await kling.run("kling-2", prompt="x", timeout="900")  # refused
    await kling.run_sync("kling-2", prompt="x", duration=7)  # refused
    await kling.run_sync(Kling2(prompt="x"), duration=10)  # refused
    await kling.submit_raw("kling-9", prompt="x")  # refused
    await kling.job("5f0c3c4e")  # refused
    kling.map(films, concurrency="64")  # refused
    await kling.map(films)  # refused
    for _ in kling.map(films):  # refused
        pass
    with kling:  # refused
        pass


async def forgotten(kling: AsyncKling) -> None:
    kling.submit("kling-2", prompt="x")  # refused
    kling.submit(Kling2(prompt="x"))  # refused
    kling.run("kling-2", prompt="x")  # refused
    kling.run_direct("kling-2", prompt="x")  # refused
    kling.run_sync("kling-2", prompt="x")  # refused
    kling.submit_raw("kling-9", {"prompt": "x"})  # refused
    kling.entries()  # refused
    kling.credits()  # refused
    kling.close()  # refused
    job = kling.submit("kling-2", prompt="x")
    print(job.request_id)  # refused
    result = kling.run("kling-2", prompt="x")
    print(result.output)  # refused
    balance = kling.credits()
    print(balance.credits)  # refused
    for _ in kling.entries():  # refused
        pass


async def blocking(kling: Kling, films: list[Kling2]) -> None:
    await kling.submit("kling-2", prompt="x")  # refused
    await kling.run("kling-2", prompt="x")  # refused
    async for _ in kling.map(films):  # refused
        pass
    async with kling:  # refused
        pass
