"""Calls that must and must not type-check; never run. A line marked `refused` must be an error, and no other line."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import assert_type

from kling_adapters import AsyncJob, AsyncKling, AsyncResult, Job, Kling, Result
from kling_adapters.models import Kling2, Kling3ProImage2video, KlingO1
from kling_adapters.models.kling_3_pro_image2video import Element, ElementInput


def blocking(kling: Kling, urls: list[str]) -> None:
    assert_type(kling.submit("kling-2", prompt="x", duration=10), Job)
    assert_type(kling.submit(Kling2(prompt="x")), Job)
    assert_type(kling.run("kling-2", prompt="x", save_to="renders/", timeout=900), Result)
    assert_type(kling.run("kling-o1", prompt="x", image_urls=urls, extra={"seed": 1}), Result)
    kling.run("kling-2.5-turbo", prompt="x", image_url=None)
    kling.submit(
        "kling-3-pro-image2video",
        prompt="x",
        start_image_url="u",
        elements=[{"frontal_image_url": "u"}, Element()],
    )
    kling.submit("kling-2", prompt="x", start_image=Path("a.png"))
    kling.run("kling-o1", prompt="x", image_urls=[Path("a.png"), b"", "u", BytesIO()])
    with Path("a.png").open("rb") as file:
        kling.run("kling-2.5-turbo", prompt="x", image_url=file)
    with Path("a.txt").open() as text:
        kling.run("kling-2.5-turbo", prompt="x", image_url=text)  # refused
    assert_type(kling.run_sync("kling-2", prompt="x", save_to=Path("renders"), timeout=900), Result)
    assert_type(kling.run_sync(Kling2(prompt="x", start_image=b"")), Result)
    kling.run_sync("kling-2", prompt="x", duration=7)  # refused
    kling.submit("kling-2", prompt="x", start_image=3)  # refused
    kling.submit("kling-2", prompt="x", duration=7)  # refused
    kling.submit("kling-2", promt="x")  # refused
    kling.submit("kling-2")  # refused
    kling.submit("kling-2", prompt="x", start_image=None)  # refused
    kling.submit("kling-22", prompt="x")  # refused
    _: ElementInput = {"front": "u"}  # refused
    kling.run("kling-o1", prompt="x", image_urls="u", timeout="900")  # refused
    kling.run("kling-2", prompt=1)  # refused


async def awaitable(kling: AsyncKling) -> None:
    assert_type(await kling.submit("kling-2", prompt="x", duration=10), AsyncJob)
    assert_type(await kling.run(Kling2(prompt="x"), save_to="renders/"), AsyncResult)
    assert_type(await kling.run_sync("kling-2", prompt="x", start_image=b""), AsyncResult)
    await kling.submit("kling-2", prompt="x", duration=7)  # refused
    await kling.run("kling-2", promt="x")  # refused


def objects(urls: Sequence[str], files: list[Path]) -> None:
    KlingO1(prompt="x", image_urls=urls)
    KlingO1(prompt="x", image_urls=files)
    Kling3ProImage2video(prompt="x", start_image_url=b"", elements=[Element(frontal_image_url=files[0])])
    Kling3ProImage2video(prompt="x", start_image_url="u", elements=[Element(frontal_image_url="u")])
    Kling2(prompt="x", duration=7)  # refused
    Kling2(promt="x")  # refused
    Kling2(prompt="x", aspect_ratio="4:3")  # refused
