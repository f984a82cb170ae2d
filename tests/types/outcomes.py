"""What may and may not be done with what calls give back; see calls.py."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, assert_never, assert_type

from kling_adapters import (
    ApiError,
    Artifact,
    AsyncJob,
    AsyncKling,
    AsyncResult,
    InsufficientCredits,
    Job,
    JobExpired,
    JobFailed,
    JobHandle,
    JobStatus,
    Kling,
    KlingError,
    Metrics,
    ParamsInvalid,
    Problem,
    Result,
    ResultData,
    ResultHandle,
    StorageError,
    StoredFile,
    SubmitUncertain,
    TransportError,
    UnknownModel,
    WaitTimeout,
)
from kling_adapters.events import (
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)


def results(result: Result) -> None:
    assert_type(result.request_id, str)
    assert_type(result.model, str | None)
    assert_type(result.output, Any)
    assert_type(result.video, Artifact | None)
    assert_type(result.images, tuple[Artifact, ...])
    assert_type(result.artifacts, tuple[Artifact, ...])
    assert_type(result.metrics.cost, float | None)
    assert_type(result.body, Mapping[str, Any])
    assert_type(result.saved, tuple[StoredFile, ...])
    assert_type(result.save("renders/"), tuple[StoredFile, ...])
    result.save(Path("renders"))
    if result.video is not None:
        assert_type(result.video.url, str)
        assert_type(result.video.size, int | None)
        assert_type(result.video.content, bytes | None)
    if result.metrics.cost is not None:
        print(result.metrics.cost * 2)
    print(result.images[0].url.upper())
    print(result.video.url)  # refused
    print(result.metrics.cost * 2)  # refused
    print(result.metrics.queue_time + 1)  # refused
    print(result.metrics.retry_count + 1)  # refused
    print(result.metrics.price)  # refused
    print(result.model.upper())  # refused
    print(result.images.url)  # refused
    print(result.images[0].size + 1)  # refused
    print(result.images[0].content_type.upper())  # refused
    print(result.image)  # refused
    result.output = "x"  # refused
    result.body["output"] = "x"  # refused
    result.save()  # refused
    result.save(3)  # refused
    with result:  # refused
        pass


def files(file: StoredFile) -> None:
    assert_type(file.url, str)
    assert_type(file.path, Path)
    assert_type(file.size, int)
    assert_type(file.sha256, str)
    assert_type(file.link, str | None)
    print(file.link.upper())  # refused
    print(file.bytes)  # refused
    file.size = 3  # refused


def jobs(kling: Kling, job: Job) -> None:
    assert_type(job.request_id, str)
    assert_type(job.model, str | None)
    assert_type(job.status(), JobStatus)
    assert_type(job.status().error, str | None)
    assert_type(job.wait(), Result)
    assert_type(job.wait(timeout=900), Result)
    assert_type(job.events(), Iterator[Event])
    balance = kling.credits()
    assert_type(balance.free, float | None)
    print(job.model.upper())  # refused
    print(job.status.state)  # refused
    print(job.status().error.upper())  # refused
    print(job.status().state == 3)  # refused
    print(job.result)  # refused
    job.request_id = "x"  # refused
    job.wait("900")  # refused
    job.events(timeout="900")  # refused
    print(balance.credits + 1)  # refused
    for entry in kling.entries():
        assert_type(entry.state, str)
        assert_type(entry.is_unfinished, bool)
        if entry.request_id is not None:
            kling.job(entry.request_id, entry.model)
        kling.job(entry.request_id)  # refused
        print(entry.cost + 1)  # refused
        print(entry.result["output"])  # refused
        print(entry.is_unfinished())  # refused


def outcomes(kling: Kling) -> None:
    for outcome in kling.map([]):
        assert_type(outcome.index, int)
        assert_type(outcome.request_id, str | None)
        assert_type(outcome.result, Result | None)
        assert_type(outcome.error, Exception | None)
        if outcome.result is not None:
            assert_type(outcome.result.saved, tuple[StoredFile, ...])
        if isinstance(outcome.error, JobFailed):
            print(outcome.error.message)
        print(outcome.result.saved)  # refused
        print(outcome.error.message)  # refused
        raise outcome.error  # refused


def describe(event: Event) -> str:
    match event:
        case SubmitFailed():
            assert_type(event.request_id, None)
            return event.model + event.reason
        case Submitted():
            print(event.params["prompt"])
            return f"{event.request_id.upper()} {event.model.upper()} {event.seconds:.1f}"
        case StateChanged():
            return event.state
        case Completed():
            assert_type(event.result, ResultData)
            return f"{event.polls:d}"
        case Failed():
            return event.reason
        case Expired():
            return event.request_id
        case Stored():
            return event.files[0].url
    assert_never(event)


def describe_incompletely(event: Event) -> str:
    match event:
        case Completed():
            return event.result.request_id
        case Failed():
            print(event.model.upper())  # refused
            print(event.message)  # refused
            return event.reason
        case _:
            pass
    print(event.request_id.upper())  # refused
    print(event.result)  # refused
    assert_never(event)  # refused


def events(job: Job) -> None:
    for event in job.events(timeout=900):
        if isinstance(event, Completed):
            print(event.result.output)
            print(event.result.video.url)  # refused
            event.result.save("renders/")  # refused
        print(event.state)  # refused


def errors(kling: Kling) -> None:
    try:
        kling.run("kling-2", prompt="x")
    except ParamsInvalid as error:
        assert_type(error.problems, tuple[Problem, ...])
        print(error.model.upper(), error.problems[0].path.upper())
        print(error.problems[0].suggestion.upper())  # refused
        print(error.problems[0].allowed.upper())  # refused
        print(error.problem)  # refused
    except UnknownModel as error:
        print(error.slug)  # refused
    except InsufficientCredits as error:
        assert_type(error.status, int)
    except ApiError as error:
        assert_type(error.request_id, str | None)
        print(error.message.upper(), error.meaning.upper())
        print(error.request_id.upper())  # refused
        print(error.status.value)  # refused
        print(error.headers)  # refused
    except SubmitUncertain as error:
        assert_type(error.entry, int | None)
        print(error.model.upper(), error.reason.upper())
        print(error.request_id)  # refused
        print(error.entry + 1)  # refused
    except JobFailed as error:
        assert_type(error.metrics, Metrics)
        print(error.message.upper(), error.request_id.upper())
        print(error.metrics.inference_time + 1)  # refused
        print(error.reason)  # refused
    except JobExpired as error:
        print(error.request_id.upper())
        print(error.result)  # refused
    except WaitTimeout as error:
        assert_type(error.job, JobHandle | None)
        assert_type(error.seconds, float)
        if isinstance(error.job, Job):
            assert_type(error.job.wait(), Result)
        print(error.job.wait().output)  # refused
    except StorageError as error:
        assert_type(error.result, ResultHandle | None)
        assert_type(error.url, str | None)
        error.result.save("renders/")  # refused
        print(error.url.upper())  # refused
    except TransportError as error:
        print(error.status)  # refused
    except KlingError as error:
        print(error.message)  # refused


async def awaitable(kling: AsyncKling, job: AsyncJob, result: AsyncResult) -> None:
    assert_type(await job.status(), JobStatus)
    assert_type(await job.wait(timeout=900), AsyncResult)
    assert_type(job.events(), AsyncIterator[Event])
    assert_type(await result.save("renders/"), tuple[StoredFile, ...])
    async for event in job.events():
        assert_type(event, Event)
    async for outcome in kling.map([]):
        assert_type(outcome.result, AsyncResult | None)
        print(outcome.result.video)  # refused
        await outcome.result.save("renders/")  # refused
    print((await job.wait()).video.url)  # refused
    print(job.wait().output)  # refused
    print(job.status().state)  # refused
    print(result.save("renders/")[0])  # refused
    await job.events()  # refused
    job.wait()  # refused
    job.status()  # refused
    result.save("renders/")  # refused
    for _ in job.events():  # refused
        pass
