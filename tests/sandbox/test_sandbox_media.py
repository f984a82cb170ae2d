"""Decoded outputs match their parameters."""

import socket
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import av
import httpx
import pytest
from kling_sandbox import Sandbox
from PIL import Image, ImageStat

from kling_adapters import load_catalog
from tests.support.media import make_png
from tests.support.scripted_server import Reply, Request, ScriptedServer

Call = Callable[..., dict[str, Any]]
RED, BLUE = (200, 30, 40), (20, 60, 200)
REMOTE = "https://example.com/a.png"
CLIP, SOUND = "https://example.com/a.mp4", "https://example.com/a.mp3"


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A shared sandbox, or a separate one for a test with arguments."""
    with Sandbox(**getattr(request, "param", {})) as running:
        yield running


class Video:
    """A decoded mp4."""

    def __init__(self, data: bytes) -> None:
        with av.open(BytesIO(data), "r") as container:
            assert container.duration is not None
            self.seconds: float = container.duration / 1_000_000
            self.has_audio = bool(container.streams.audio)
            self.frames = list(container.decode(container.streams.video[0]))
            self.codec = container.streams.video[0].codec_context.name
            self.pixels = container.streams.video[0].codec_context.pix_fmt
            self.rate = container.streams.video[0].average_rate
        self.sound_seconds = 0.0
        if self.has_audio:
            with av.open(BytesIO(data), "r") as container:
                sound = list(container.decode(container.streams.audio[0]))
                self.sound_seconds = sum(frame.samples for frame in sound) / sound[0].sample_rate
                self.loudest = max(
                    abs(value) for frame in sound for value in memoryview(frame.planes[0]).cast("f")
                )

    @property
    def size(self) -> tuple[int, int]:
        return self.frames[0].width, self.frames[0].height

    def colour(self) -> tuple[float, ...]:
        picture: Image.Image = self.frames[0].to_image()  # type: ignore[no-untyped-call]
        return tuple(ImageStat.Stat(picture).mean)


@pytest.fixture
def render(http: httpx.Client, run: Call) -> Callable[..., Video]:
    """Run a job and decode its video."""
    return lambda slug, **params: Video(http.get(run(slug, **params)["output"]).content)


@pytest.fixture
def draw(http: httpx.Client, run: Call) -> Callable[..., Image.Image]:
    """Run a job and open its image."""
    return lambda slug, **params: Image.open(BytesIO(http.get(run(slug, **params)["output"]).content))


def draw_picture(request: Request) -> Reply:
    """Return a picture in the colour and shape of its name, or a response that is not a picture."""
    name = request.path.rpartition("/")[2]
    if name == "moved.png":
        return Reply(302, headers={"location": "http://192.0.2.1/secret.png"})
    if name == "broken.png":
        return Reply(200, make_png(b" and no more"))
    size = (360, 640) if "tall" in name else (500, 500) if "square" in name else (640, 360)
    picture = BytesIO()
    Image.new("RGB", size, BLUE if "blue" in name else RED).save(picture, "PNG")
    # Bytes after a picture do not prevent its display, so only the limit of 50 MB can.
    more = bytes(51 << 20) if name == "huge.png" else b""
    return Reply(200, picture.getvalue() + more, announce=None)


@pytest.fixture(scope="module")
def pictures() -> Iterator[str]:
    """The address of a server of pictures on this machine."""
    with ScriptedServer(draw_picture) as picture_server:
        yield picture_server.url


def near(colour: tuple[float, ...], expected: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(colour, expected, strict=True))


@pytest.mark.parametrize(
    ("slug", "params", "seconds", "size", "audio"),
    [
        ("kling-2", {"prompt": "x"}, 5, (640, 360), False),
        ("kling-2", {"prompt": "x", "duration": 10, "aspect_ratio": "9:16"}, 10, (360, 640), False),
        ("kling-2.5-turbo", {"prompt": "x"}, 10, (640, 360), False),
        ("kling-2.5-turbo", {"prompt": "x", "duration": "5", "aspect_ratio": "1:1"}, 5, (480, 480), False),
        ("kling-bloombloom", {"image": REMOTE}, 5, (640, 360), False),
        ("kling-3-pro-image2video", {"prompt": "x", "start_image_url": REMOTE}, 5, (640, 360), True),
        (
            "kling-3-pro-image2video",
            {"prompt": "x", "start_image_url": REMOTE, "duration": "13"},
            13,
            (640, 360),
            True,
        ),
        (
            "kling-3-pro-image2video",
            {"prompt": "x", "start_image_url": REMOTE, "duration": 3, "generate_audio": False},
            3,
            (640, 360),
            False,
        ),
        (
            "kling-1.6-text2video",
            {"prompt": "x", "duration": 10, "aspect_ratio": "1:1"},
            10,
            (480, 480),
            False,
        ),
        # The sound of a recording, or of a video.
        ("kling-v2-pro-avatar", {"image_url": REMOTE, "audio_url": SOUND}, 5, (640, 360), True),
        ("kling-2.6-standard-motion-control", {"prompt": "x", "video_url": CLIP}, 5, (640, 360), True),
        (
            "kling-2.6-standard-motion-control",
            {"prompt": "x", "video_url": CLIP, "keep_original_sound": False},
            5,
            (640, 360),
            False,
        ),
        ("kling-o1-video-to-video-edit", {"prompt": "x", "video_url": CLIP}, 5, (640, 360), False),
        (
            "kling-o1-video-to-video-edit",
            {"prompt": "x", "video_url": CLIP, "keep_audio": True, "elements": "a knight"},
            5,
            (640, 360),
            True,
        ),
    ],
)
def test_video_has_requested_length_shape_and_sound(
    render: Callable[..., Video],
    slug: str,
    params: dict[str, Any],
    seconds: int,
    size: tuple[int, int],
    audio: bool,
) -> None:
    video = render(slug, **params)
    assert video.seconds == pytest.approx(seconds, abs=0.001)
    assert video.rate == 24
    assert len(video.frames) == seconds * 24
    assert (video.size, video.codec, video.pixels) == (size, "h264", "yuv420p")
    assert video.has_audio == audio
    if audio:
        assert video.sound_seconds == pytest.approx(seconds, abs=0.05)
        assert 0.01 < video.loudest < 0.9


def test_video_can_be_streamed(http: httpx.Client, run: Call) -> None:
    data = http.get(run("kling-2", prompt="x")["output"]).content
    assert data.index(b"moov") < data.index(b"mdat")


def test_video_frames_differ(render: Callable[..., Video]) -> None:
    frames = render("kling-2", prompt="a red kite over the sea").frames
    assert len({bytes(frame.planes[0]) for frame in frames}) > len(frames) / 2


def test_every_example_of_the_catalogue_renders(http: httpx.Client, run: Call) -> None:
    for slug, entry in load_catalog().items():
        example = entry.json_schema()["examples"][0]
        data = http.get(run(slug, **example)["output"]).content
        assert Video(data).frames if entry.returns == "video" else Image.open(BytesIO(data)).size


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"aspect_ratio": "16:9"}, (1024, 576)),
        ({"aspect_ratio": "9:16"}, (576, 1024)),
        ({"aspect_ratio": "1:1"}, (1024, 1024)),
        ({"aspect_ratio": "auto", "image_urls": ["{pictures}/tall.png"]}, (576, 1024)),
        ({"image_urls": ["{pictures}/square.png", "{pictures}/tall.png"]}, (1024, 1024)),
        ({"image_urls": [REMOTE]}, (1024, 576)),
        ({"image_urls": []}, (1024, 576)),
    ],
)
@pytest.mark.parametrize("output_format", ["png", "jpg"])
def test_image_has_requested_shape_and_format(
    draw: Callable[..., Image.Image],
    pictures: str,
    params: dict[str, Any],
    size: tuple[int, int],
    output_format: str,
) -> None:
    urls = [url.format(pictures=pictures) for url in params.get("image_urls", [REMOTE] * 5)]
    image = draw("kling-o1", **params | {"prompt": "x", "image_urls": urls, "output_format": output_format})
    assert image.size == size
    assert image.format == {"png": "PNG", "jpg": "JPEG"}[output_format]


@pytest.mark.parametrize(
    ("params", "size", "kind"),
    [
        ({}, (1024, 576), "PNG"),
        ({"output_format": "jpeg", "aspect_ratio": "3:2"}, (1024, 683), "JPEG"),
        ({"output_format": "webp", "aspect_ratio": "2:3", "resolution": "2K"}, (1365, 2048), "WEBP"),
        ({"aspect_ratio": "1:1", "resolution": "1K"}, (1024, 1024), "PNG"),
    ],
)
def test_image_model_follows_ratio_resolution_and_format(
    draw: Callable[..., Image.Image], params: dict[str, Any], size: tuple[int, int], kind: str
) -> None:
    for slug, needed in (("kling-3-text2image", {}), ("kling-3-image2image", {"image_url": REMOTE})):
        image = draw(slug, prompt="x", **needed, **params)
        assert (image.size, image.format) == (size, kind)


@pytest.mark.parametrize("prompt", ["", " ", "熊猫"])
def test_prompt_without_ascii_renders(
    draw: Callable[..., Image.Image], render: Callable[..., Video], prompt: str
) -> None:
    assert draw("kling-o1", prompt=prompt, image_urls=[REMOTE, "https://example.com/%E7%8C%AB.png"]).size
    assert render("kling-2", prompt=prompt).seconds == 5


def test_image_is_composed_of_its_references(draw: Callable[..., Image.Image], pictures: str) -> None:
    image = draw("kling-o1", prompt="x", image_urls=[f"{pictures}/red.png", f"{pictures}/blue.png"]).convert(
        "RGB"
    )
    colours = {colour for count, colour in image.getcolors(1 << 20) or [] if count > 5000}
    assert {RED, BLUE} <= colours


def test_video_shows_local_start_image(render: Callable[..., Video], pictures: str, sandbox: Sandbox) -> None:
    for host in ("127.0.0.1", "localhost"):
        url = f"{pictures.replace('127.0.0.1', host)}/red.png"
        assert near(render("kling-2", prompt="x", start_image=url).colour(), RED)
    tail = {"tail_image_url": f"{pictures}/red.png"}
    assert near(
        render("kling-2.5-turbo", prompt="x", image_url=f"{pictures}/blue.png", **tail).colour(), BLUE
    )
    assert render("kling-bloombloom", image=f"{pictures}/tall.png").size == (360, 640)
    assert render("kling-bloombloom", image=f"{sandbox.base_url}/samples/a.png?size=64x64").size == (480, 480)


def test_another_start_image_is_another_video(render: Callable[..., Video], pictures: str) -> None:
    blue, red = (
        render("kling-2", prompt="x", start_image=f"{pictures}/{name}.png") for name in ("blue", "red")
    )
    assert near(blue.colour(), BLUE)
    assert near(red.colour(), RED)


@pytest.mark.parametrize("name", ["broken.png", "moved.png", "huge.png"])
def test_unavailable_start_image_is_replaced(
    render: Callable[..., Video], pictures: str, name: str, contacted: set[str]
) -> None:
    video = render("kling-2", prompt="x", start_image=f"{pictures}/{name}")
    assert video.seconds == 5
    assert not near(video.colour(), RED)
    assert contacted == {"127.0.0.1"}


@pytest.fixture
def contacted(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The hosts that this process resolves or connects to."""
    hosts: set[str] = set()
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def looking_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        hosts.add(host)
        return look_up(host, *args, **kwargs)

    def connecting(self: socket.socket, address: Any) -> None:
        hosts.add(address[0])
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    monkeypatch.setattr(socket.socket, "connect", connecting)
    return hosts


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "http://192.0.2.1/a.png",
        "http://127.0.0.1.example.com/a.png",
        "http://127.0.0.1@192.0.2.1/a.png",
        "http://2130706433/a.png",
        "http://[::ffff:192.0.2.1]/a.png",
        "http://[/a.png",
        "http://127.0.0.1:99999/a.png",
    ],
)
def test_sandbox_contacts_no_other_machine(run: Call, contacted: set[str], url: str) -> None:
    run("kling-2", prompt="x", start_image=url)
    run("kling-o1", prompt="x", image_urls=[url])
    assert contacted == {"127.0.0.1"}


def test_no_proxy_is_ever_used(
    render: Callable[..., Video], pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    assert near(render("kling-2", prompt="x", start_image=f"{pictures}/red.png").colour(), RED)


LATER: dict[str, Any] = {
    "title": "A model of next month",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "final_frame": {"type": "string", "format": "uri"},
        "opening": {"type": ["string", "null"], "format": "uri"},
        "aspect_ratio": {"enum": ["4:3", "21:9"], "default": "4:3"},
        "duration": {"enum": ["7", "auto"], "default": "7"},
    },
    "x-kling": {"slug": "later", "returns": "video", "latency_seconds": None, "rules": []},
}


@pytest.mark.parametrize("sandbox", [{"schemas": {"later": LATER}}], indirect=True)
def test_unknown_model_renders_by_its_schema(render: Callable[..., Video], pictures: str) -> None:
    video = render("later", final_frame=f"{pictures}/red.png", opening=f"{pictures}/blue.png")
    assert near(video.colour(), BLUE)
    assert video.seconds == 7
    assert video.size[0] / video.size[1] == 4 / 3
    assert render("later", aspect_ratio="21:9", duration="auto").size == (728, 312)


@pytest.mark.parametrize(
    "sandbox",
    [{"schemas": {"song": LATER | {"x-kling": {"slug": "song", "returns": "audio"}}}}],
    indirect=True,
)
def test_audio_model_fails_as_a_job(http: httpx.Client, sandbox: Sandbox) -> None:
    response = http.get(http.post("/v2/song", json={}).json()["status_url"])
    assert response.status_code == 422
    assert "audio" in response.json()["error"]
    assert sandbox.credits == 1000.0


def test_unknown_rule_is_value_error() -> None:
    schema = LATER | {
        "x-kling": {"slug": "later", "returns": "video", "rules": [{"forbids": {"field": "opening"}}]}
    }
    with pytest.raises(ValueError, match=r"later.*forbids"), Sandbox(schemas={"later": schema}):
        pass


SHOTS = {
    "type": "array",
    "items": {
        "type": ["object", "null"],
        "properties": {"duration": {"type": "number"}},
        "additionalProperties": False,
    },
}


@pytest.mark.parametrize(
    "sandbox",
    [
        {
            "schemas": {
                "later": LATER
                | {
                    "properties": {"shots": SHOTS},
                    "required": [],
                    "x-kling": {"slug": "later", "returns": "video", "rules": [{"sum": {"of": "shots.duration", "maximum": 5}}]},
                }
            }
        }
    ],
    indirect=True,
)  # fmt: skip
def test_sum_over_a_missing_item_is_not_checked(http: httpx.Client) -> None:
    assert http.post("/v2/later", json={"shots": [None, {"duration": 9}]}).status_code == 200
    assert http.post("/v2/later", json={"shots": [{"duration": 9}]}).status_code == 400
