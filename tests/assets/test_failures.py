"""A failed run is told to a server on loopback, in a way that people and machines can use, and no secret is."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest

from darts_assets.automation.failures import tell_failures
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, add
from resources.webhook import ADDRESS, Webhook, WebhookError

KEY = "T08WMA_20230801T000000_S2A"
SECRET = "services/B0/s3cr3t"


@dataclass
class Receiver:
    """A server that answers with the statuses it is given, then with 200."""

    statuses: list[int] = field(default_factory=list)
    received: list[dict[str, object]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = told.statuses.pop(0) if told.statuses else 200
            if status == 200:
                told.received.append(body)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    monkeypatch.setenv(ADDRESS, told.url)
    monkeypatch.setattr("resources.webhook._PAUSE", 0.01)
    yield told
    server.shutdown()
    thread.join()


@pytest.fixture
def failure() -> Iterator[tuple[dg.RunFailureSensorContext, str]]:
    """The context of a real run that failed at its first asset, and its id."""
    with dg.instance_for_test() as instance:
        add(instance, SCENES, [KEY])
        result = defs.resolve_job_def("process_scene").execute_in_process(
            partition_key=KEY, instance=instance, raise_on_error=False
        )
        (event,) = (event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_failures",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=instance.get_run_by_id(result.run_id),
            partition_key=KEY,
        )
        yield context.for_run_failure(), result.run_id


def test_the_message_says_scene_asset_error_and_link(
    receiver: Receiver, failure: tuple[dg.RunFailureSensorContext, str]
) -> None:
    context, run_id = failure
    assert tell_failures(context, webhook=Webhook(ui_url="https://darts.example/")) is None
    (message,) = receiver.received
    assert (message["scene"], message["asset"], message["run"]) == (KEY, "raw_scene", run_id)
    assert message["link"] == f"https://darts.example/runs/{run_id}"
    assert "No scene is registered" in str(message["error"])
    assert "\n" not in str(message["error"])
    assert all(str(message[name]) in str(message["text"]) for name in ("scene", "asset", "error", "link"))


def test_without_an_address_it_skips_with_the_reason(
    failure: tuple[dg.RunFailureSensorContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    skipped = tell_failures(failure[0], webhook=Webhook())
    assert isinstance(skipped, dg.SkipReason)
    assert ADDRESS in str(skipped.skip_message)


def test_a_busy_server_is_asked_again(receiver: Receiver) -> None:
    receiver.statuses += [503, 429, 500]
    Webhook().post({"text": "hello"})
    assert receiver.received == [{"text": "hello"}]


@pytest.mark.parametrize("statuses", [[403], [302], [500] * 9])
def test_one_that_refuses_is_an_error_that_keeps_the_secret(
    receiver: Receiver, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses += statuses
    with caplog.at_level(logging.INFO), pytest.raises(WebhookError, match=r"127\.0\.0\.1") as caught:
        Webhook().post({"text": "hello"})
    assert receiver.received == []
    assert "s3cr3t" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


def test_one_that_is_not_there_is_an_error_that_keeps_the_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:1/{SECRET}")
    monkeypatch.setattr("resources.webhook._PAUSE", 0.01)
    with caplog.at_level(logging.INFO), pytest.raises(WebhookError) as caught:
        Webhook().post({"text": "hello"})
    assert "s3cr3t" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("address", ["ftp://host/x", "nonsense", "https://"])
def test_what_is_no_address_is_told_without_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(WebhookError, match=ADDRESS):
        Webhook().post({})
