"""`unchecked` sends values that the spec refuses; everything else is validated, and the journal says it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from kling_sandbox import Sandbox
from pydantic import Field

from kling_adapters import Adapter, BadRequest, ConfigError, DeprecatedParameter, Params, ParamsInvalid
from kling_adapters.journal.journal import Journal
from kling_adapters.models import Kling2, Kling25Turbo
from kling_adapters.testing import FakeGateway
from tests.support.clients import OpenClient
from tests.support.life import load_state
from tests.support.media import make_png

ADVICE = "Pass unchecked={...} to submit() or run() to send a value as it is."


def bodies(gateway: FakeGateway) -> list[Any]:
    requests = (request.params for request in gateway.requests if request.method == "POST")
    return [params for params in requests if "data_urls" not in params]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.mark.parametrize("call", ["submit", "run", "submit_model", "run_model", "object"])
def test_value_is_sent_as_it_is_and_recorded(open_client: OpenClient, journal: Path, call: str) -> None:
    with FakeGateway() as gateway:
        kling = open_client(gateway, journal=journal)
        options = {"unchecked": {"duration": 15}}
        if call == "object":
            kling.submit(Kling2(prompt="x"), **options)
        elif call.endswith("model"):
            getattr(kling, call)("kling-2", {"prompt": "x"}, **options)
        else:
            getattr(kling, call)("kling-2", prompt="x", **options)
        assert bodies(gateway) == [{"prompt": "x", "duration": 15}]
        [entry] = kling.entries()
    assert (entry.params, entry.unchecked) == ({"prompt": "x", "duration": 15}, ("duration",))


def test_message_that_refuses_a_value_names_it() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling2(prompt="x", duration=15)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert (caught.value.can_be_unchecked, str(caught.value).splitlines()[-1].strip()) == (True, ADVICE)
    for problem in ({"promt": "x"}, {}, {"prompt": "x", "zz": 1}):
        with pytest.raises(ParamsInvalid) as caught:
            Kling2.model_validate(problem)
        assert not caught.value.can_be_unchecked
        assert "unchecked" not in str(caught.value)


def test_others_are_validated(open_client: OpenClient) -> None:
    with FakeGateway() as gateway:
        kling = open_client(gateway, journal=None)
        with pytest.raises(ParamsInvalid) as caught:
            kling.submit("kling-2", prompt=1, zz=1, unchecked={"duration": 15})
        assert {problem.path for problem in caught.value.problems} == {"prompt", "zz"}
        kling.submit("kling-2.5-turbo", prompt="x", duration="10", unchecked={"mode": "ultra"})
        # The declared form of the others is sent, and a required one may be unchecked.
        kling.submit("kling-2", duration="10", unchecked={"prompt": {"text": "x"}})
        assert bodies(gateway) == [
            {"prompt": "x", "duration": 10, "mode": "ultra"},
            {"duration": 10, "prompt": {"text": "x"}},
        ]


def test_rule_refuses_others_only(open_client: OpenClient) -> None:
    url = "https://example.com/a.png"
    with FakeGateway() as gateway:
        kling = open_client(gateway, journal=None)
        with pytest.raises(ParamsInvalid, match="tail_image_url: requires image_url"):
            kling.submit("kling-2.5-turbo", prompt="x", tail_image_url=url, unchecked={"duration": 15})
        kling.submit("kling-2.5-turbo", prompt="x", unchecked={"tail_image_url": url})
        assert bodies(gateway) == [{"prompt": "x", "tail_image_url": url}]


@pytest.mark.parametrize(
    ("params", "unchecked", "problem"),
    [
        (
            {},
            {"duratoin": 15},
            "duratoin: unknown parameter; pass it in extra to send it; did you mean duration?",
        ),
        ({"duration": 5}, {"duration": 15}, "duration: is also set; pass it in unchecked only"),
        ({}, {"duration": float("nan")}, "duration: cannot be written as JSON"),
        ({}, {"duration": object()}, "duration: cannot be written as JSON"),
    ],
)
def test_unusable_one_is_refused(
    open_client: OpenClient, params: dict[str, Any], unchecked: dict[str, Any], problem: str
) -> None:
    with FakeGateway() as gateway:
        kling = open_client(gateway, journal=None)
        with pytest.raises(ParamsInvalid) as caught:
            kling.submit("kling-2", prompt="x", **params, unchecked=unchecked)
        assert str(caught.value.problems[0]).startswith(problem)
        with pytest.raises(ConfigError, match="unchecked is"):
            kling.submit("kling-2", prompt="x", unchecked="duration")
        assert gateway.requests == []


def test_local_media_is_uploaded(open_client: OpenClient, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(make_png())
    with FakeGateway() as gateway:
        kling = open_client(gateway, journal=None)
        kling.submit("kling-2", prompt="x", unchecked={"start_image": [tmp_path / "a.png"]})
        [body] = bodies(gateway)
    assert body["start_image"][0].startswith("http")


def test_old_name_is_sent_as_the_present_one(open_client: OpenClient, journal: Path) -> None:
    renamed = load_state("2-renamed")
    with FakeGateway() as gateway:
        kling = open_client(gateway, plugins=[renamed], journal=journal)
        with pytest.warns(DeprecatedParameter, match="length was renamed"):
            kling.submit("studio-1", prompt="x", unchecked={"length": 15})
        assert bodies(gateway) == [{"prompt": "x", "duration": 15}]
        assert [entry.unchecked for entry in kling.entries()] == [("duration",)]


class Styled(Params):
    """A parameter whose name is a Python keyword; no model of the catalog has one."""

    adapter: ClassVar[Adapter] = Adapter("styled-1", "Styled 1", "video")
    class_: Annotated[str, Field(alias="class")] = "calm"


@pytest.mark.parametrize("name", ["class", "class_"])
def test_parameter_is_found_by_either_of_its_names(open_client: OpenClient, name: str) -> None:
    with FakeGateway() as gateway:
        kling = open_client(gateway, journal=None)
        kling.submit(Styled(), unchecked={name: 15})
        assert bodies(gateway) == [{"class": 15}]
        with pytest.raises(ParamsInvalid, match=f"{name}: is also set; pass it in unchecked only"):
            kling.submit(Styled(class_="bold"), unchecked={name: 15})


@pytest.mark.parametrize("call", ["submit", "run_direct"])
def test_gateway_decides(open_client: OpenClient, sandbox: Sandbox, journal: Path, call: str) -> None:
    kling = open_client(sandbox, journal=journal)
    with pytest.raises(BadRequest, match="duration"):
        getattr(kling, call)("kling-2", prompt="x", unchecked={"duration": 15})
    [entry] = kling.entries()
    assert (entry.state, entry.unchecked) == ("REFUSED", ("duration",))


def test_class_itself_stays_strict(open_client: OpenClient) -> None:
    with FakeGateway() as gateway:
        open_client(gateway, journal=None).submit("kling-2.5-turbo", prompt="x", unchecked={"mode": 1})
    with pytest.raises(ParamsInvalid):
        Kling25Turbo.model_validate({"prompt": "x", "mode": 1})


@pytest.mark.parametrize("is_writable", [True, False])
def test_journal_of_an_earlier_version_is_read_and_extended(journal: Path, *, is_writable: bool) -> None:
    with closing(Journal(journal)) as current:
        current.intend("https://gateway.example", "kling-2", {"prompt": "x"}, "SG_0123456789abcdef")
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("ALTER TABLE jobs DROP COLUMN unchecked")
    if not is_writable:
        journal.chmod(0o400)
    with closing(Journal(journal)) as current:
        [entry] = current.entries()
        assert entry.unchecked == ()
        if is_writable:
            current.intend(
                "https://gateway.example", "kling-2", {}, "SG_0123456789abcdef", unchecked=("a", "b")
            )
            assert [entry.unchecked for entry in current.entries()] == [(), ("a", "b")]
