"""What passes by itself is waited for; all else is not."""

import errno
import os
import signal
import sys
import time
import urllib.error

import aiohttp
import botocore.exceptions
import pytest
import rasterio.errors
import requests

from darts_assets.faults import WAITS, Patience, TookTooLong, at_most, interrupts_kept, is_transient
from darts_core.errors import DartsError
from darts_core.inference.job import JobError, JobKilled


def caused_by(cause: BaseException) -> DartsError:
    try:
        raise DartsError("the scene cannot be read") from cause
    except DartsError as error:
        return error


def of_s3(status: int) -> botocore.exceptions.ClientError:
    return botocore.exceptions.ClientError({"ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def of_http(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


PASS = [
    TimeoutError(),
    ConnectionResetError(),
    OSError(errno.EHOSTUNREACH, "no route"),
    of_s3(503),
    of_http(429),
    urllib.error.HTTPError("http://host", 502, "", {}, None),
    aiohttp.ServerDisconnectedError(),
    botocore.exceptions.EndpointConnectionError(endpoint_url="http://host"),
    botocore.exceptions.ReadTimeoutError(endpoint_url="http://host"),
    requests.ConnectionError(),
    rasterio.errors.RasterioIOError("HTTP response code: 503"),
    rasterio.errors.RasterioIOError("CURL error: Could not resolve host: host"),
    ExceptionGroup("two", [ValueError(), TimeoutError()]),
    JobKilled("its process is gone without a word"),
]
STAY = [
    ValueError("the scene has no bands"),
    DartsError("unknown band"),
    JobError("a rank failed, and said why"),
    FileNotFoundError(errno.ENOENT, "gone"),
    PermissionError(errno.EACCES, "not yours"),
    OSError(errno.ENOSPC, "the disk is full"),
    MemoryError(),
    of_s3(403),
    of_s3(404),
    of_http(401),
    urllib.error.HTTPError("http://host", 404, "", {}, None),
    rasterio.errors.RasterioIOError("HTTP response code: 404"),
    rasterio.errors.RasterioIOError("not recognized as a supported file format"),
]


@pytest.mark.parametrize("error", PASS, ids=repr)
def test_a_fault_between_us_and_the_data_passes_also_where_it_is_the_cause(error: Exception) -> None:
    assert is_transient(error)
    assert is_transient(caused_by(error))


@pytest.mark.parametrize("error", STAY, ids=repr)
def test_what_is_wrong_stays_wrong(error: Exception) -> None:
    assert not is_transient(error)
    assert not is_transient(caused_by(error))


def test_an_error_that_hides_its_context_is_judged_by_itself() -> None:
    error = DartsError("no such scene")
    error.__context__ = TimeoutError()
    assert is_transient(error)
    error.__suppress_context__ = True  # as `from None` does
    assert not is_transient(error)


class TestPatience:
    """As many attempts as waits, and one more."""

    def test_it_waits_longer_each_time_and_gives_what_comes_at_last(self) -> None:
        faults, slept, told = [TimeoutError()] * len(WAITS), list[float](), list[str]()

        def work() -> str:
            if faults:
                raise faults.pop()
            return "made"

        assert Patience()(work, told.append, slept.append) == "made"
        assert len(told) == len(WAITS)
        for seconds, wait in zip(slept, WAITS, strict=True):
            assert wait / 2 <= seconds <= wait * 1.5

    def test_it_gives_up_with_the_last_error(self) -> None:
        tries = []

        def work() -> None:
            tries.append(1)
            raise TimeoutError(f"number {len(tries)}")

        with pytest.raises(TimeoutError, match=f"number {len(WAITS) + 1}"):
            Patience()(work, str, lambda seconds: None)

    def test_what_it_waited_for_in_vain_it_tries_once_only_until_it_is_back(self) -> None:
        back, tries, patience = [], [], Patience()

        def work() -> None:
            tries.append(1)
            if not back:
                raise TimeoutError

        for expected in (len(WAITS) + 1, 1, 1):
            tries.clear()
            with pytest.raises(TimeoutError):
                patience(work, str, lambda seconds: None)
            assert len(tries) == expected
        back.append(1)
        patience(work, str, lambda seconds: None)
        assert patience.waits == WAITS

    def test_a_bad_scene_is_not_tried_again(self) -> None:
        tries = []

        def work() -> None:
            tries.append(1)
            raise DartsError("bad")

        with pytest.raises(DartsError, match="bad"):
            Patience()(work, str, lambda seconds: None)
        assert len(tries) == 1


class TestAtMost:
    """A limit on what waits."""

    def test_what_takes_too_long_is_ended_and_named(self) -> None:
        started = time.monotonic()
        with (
            pytest.raises(TookTooLong, match=r"preprocessed of X took longer than .* darts/scene_seconds"),
            at_most(0.2, "preprocessed of X"),
        ):
            time.sleep(30)
        assert time.monotonic() - started < 20

    def test_what_is_quick_is_left_alone_and_so_is_what_follows(self) -> None:
        with at_most(0.3, "quick"):
            pass
        time.sleep(0.5)

    def test_it_is_no_fault_that_passes(self) -> None:
        assert not is_transient(TookTooLong("slow"))


class TestInterrupts:
    """A cancelled run ends, wherever the signal strikes."""

    def test_one_that_strikes_while_memory_is_freed_comes_again(self) -> None:
        class Freed:
            def __del__(self) -> None:
                os.kill(os.getpid(), signal.SIGINT)

        # a shell that starts the tests in its background leaves SIGINT ignored
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt), interrupts_kept():
                Freed()
                time.sleep(30)
        finally:
            signal.signal(signal.SIGINT, before)

    def test_the_end_of_what_takes_too_long_is_not_lost_either(self) -> None:
        class Freed:
            def __del__(self) -> None:
                time.sleep(1)

        with pytest.raises(TookTooLong), interrupts_kept(), at_most(0.2, "it"):
            Freed()
            time.sleep(30)

    def test_other_errors_there_are_told_as_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken:
            def __del__(self) -> None:
                raise ValueError("odd")

        told: list[type[BaseException]] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
        with interrupts_kept():
            Broken()
        assert told == [ValueError]
        Broken()
        assert told == [ValueError] * 2
