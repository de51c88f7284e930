"""A request's spans reach an OTLP collector, under the trace that it came with; unset, nothing of the SDK is loaded."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.bench.loopback import free_port, wait_until
from loadtests.bench.redis_server import running_redis
from tests.e2e.collector import Collector, Span, running_collector
from tests.support.client import NO_STORE, request_body
from tests.support.server import RunningServer, running_server, starting_server
from tests.support.server_starter import ServerStarter

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PARENT = "00f067aa0ba902b7"
STAGES = ["admit", "queue", "encode", "decode", "answer"]
SECRET = "zeppelin"
CLIENT = 3
"""The kind of a span for a request to another server."""


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    collector: tuple[Collector, str], random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    settings = {"MODEL": random_checkpoint, "WORKERS": 1, "LOG_FORMAT": "json"}
    with pytest.MonkeyPatch.context() as patch, running_redis() as redis:
        patch.setenv(ENDPOINT, collector[1])
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with running_server(
            tmp_path_factory.mktemp("traced"), {**settings, "REDIS_URL": redis.url, "REDIS_MIN_TOKENS": 1}
        ) as server:
            yield server


def sent(number: int, *, sampled: bool = True) -> tuple[str, dict[str, str]]:
    """A trace id of that number, and the headers of a request in it."""
    trace_id = f"{number:032x}"
    return trace_id, {"traceparent": f"00-{trace_id}-{PARENT}-0{int(sampled)}", "tracestate": "vendor=1"}


def check_nested(spans: dict[str, Span]) -> None:
    server = spans["server"]
    for span in spans.values():
        assert span.began <= span.ended
        if span is not server:
            assert span.parent_id == server.span_id
            assert server.began <= span.began
            assert span.ended <= server.ended
    assert [name for name in spans if name in STAGES] == STAGES
    assert [spans[name].began for name in STAGES[:-1]] == sorted(spans[name].began for name in STAGES[:-1])
    assert spans["queue"].began == spans["admit"].ended
    assert spans["decode"].began >= spans["encode"].ended >= spans["encode"].began >= spans["queue"].ended


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_stages_of_a_request_nest_under_the_trace_that_it_came_with(
    traced: RunningServer, collector: tuple[Collector, str], stream: bool
) -> None:
    trace_id, headers = sent(1 + stream)
    body = request_body(f"A {SECRET} is in sky {stream}.", "en", "de", stream=stream)
    answer = traced.client.post("/v1/translations", json=body, headers=headers)
    assert answer.status_code == 200
    spans = collector[0].trace(trace_id)
    check_nested(spans)
    server, decode = spans["server"], spans["decode"]
    assert (server.parent_id, server.name, server.is_error) == (PARENT, "POST /v1/translations", False)
    assert server.attributes["http.route"] == "/v1/translations"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["kakehashi.request_id"] == answer.headers["x-request-id"]
    assert server.attributes["service.name"] == "kakehashi"
    assert decode.attributes["kakehashi.generated_tokens"] > 0
    assert ("first token" in decode.events) == stream
    assert all(decode.began <= at <= decode.ended for name, at in decode.events.items() if name == "first token")


def test_a_look_up_in_redis_is_a_clients_span(traced: RunningServer, collector: tuple[Collector, str]) -> None:
    trace_id, headers = sent(3)
    body = request_body([f"One {SECRET}.", f"Two {SECRET}s."], "en", "de")
    traced.client.post("/v1/translations", json=body, headers=headers)
    spans = collector[0].trace(trace_id)
    look_up = spans["GET"]
    assert look_up.kind == CLIENT
    assert look_up.attributes["db.system.name"] == "redis"
    assert (look_up.attributes["db.operation.batch.size"], look_up.attributes["kakehashi.hits"]) == (2, 0)
    assert (spans["memory"].attributes["kakehashi.sources"], spans["memory"].attributes["kakehashi.hits"]) == (2, 0)
    assert spans["queue"].began <= look_up.began <= look_up.ended <= spans["queue"].ended


def test_a_source_from_the_cache_has_no_encoding(traced: RunningServer, collector: tuple[Collector, str]) -> None:
    body = request_body("Kept in memory.", "en", "de")
    assert traced.client.post("/v1/translations", json=body).status_code == 200
    trace_id, headers = sent(4)
    traced.client.post("/v1/translations", json=body, headers=headers)
    spans = collector[0].trace(trace_id)
    assert spans["memory"].attributes["kakehashi.hits"] == 1
    assert not spans.keys() & {"encode", "GET"}


@pytest.mark.parametrize(
    ("options", "status", "outcome"),
    [
        ({"target_lang": SECRET}, 400, "invalid"),
        ({SECRET: SECRET}, 422, "invalid"),
        ({"timeout_s": 1e-6}, 504, "timeout"),
    ],
)
def test_what_fails_says_how(
    traced: RunningServer, collector: tuple[Collector, str], options: dict[str, object], status: int, outcome: str
) -> None:
    trace_id, headers = sent(status)
    body = request_body("The deadline passes.", "en", "de") | options
    assert traced.client.post("/v1/translations", json=body, headers=headers | NO_STORE).status_code == status
    server = collector[0].trace(trace_id)["server"]
    assert (server.attributes["http.response.status_code"], server.attributes["kakehashi.outcome"]) == (status, outcome)
    assert server.is_error == (status >= 500)


def test_no_span_holds_a_text_a_query_or_a_path(traced: RunningServer, collector: tuple[Collector, str]) -> None:
    trace_id, headers = sent(5)
    query = request_body(f"A {SECRET}.", "en", "de")
    traced.client.get("/v1/translations/stream", params=query)
    traced.client.get(f"/{SECRET}", params={SECRET: SECRET}, headers=headers)
    assert collector[0].trace(trace_id)["server"].name == "GET unmatched"
    assert not [body for body in collector[0].bodies if SECRET.encode() in body]
    assert collector[0].paths == {"/v1/traces"}


def test_what_the_caller_does_not_sample_is_not_sent_but_logged_with_its_trace(
    traced: RunningServer, collector: tuple[Collector, str]
) -> None:
    unsampled, headers = sent(6, sampled=False)
    traced.client.post("/v1/translations", json=request_body("Quiet.", "en", "de"), headers=headers)
    sampled, headers = sent(7)
    traced.client.post("/v1/translations", json=request_body("Loud.", "en", "de"), headers=headers)
    collector[0].trace(sampled)
    assert unsampled not in {span.trace_id for span in collector[0].spans}
    assert all(f'"trace_id": "{trace_id}"' in traced.log for trace_id in (unsampled, sampled))


@pytest.mark.stops_servers
def test_what_has_not_been_sent_yet_is_sent_at_the_end(
    collector: tuple[Collector, str],
    start_server: ServerStarter,
    random_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENDPOINT, collector[1])
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "another-name")
    server = start_server({"MODEL": random_checkpoint, "WORKERS": 1})
    trace_id, headers = sent(8)
    server.client.post("/v1/translations", json=request_body("The last.", "en", "de"), headers=headers)
    assert server.terminate() == 0
    assert collector[0].trace(trace_id)["server"].attributes["service.name"] == "another-name"


@dataclass(frozen=True, slots=True)
class Logs:
    """The imports, one a line, of servers that translated and ended: without an endpoint, and with one that is down."""

    without_endpoint: str
    with_endpoint: str


@pytest.fixture(scope="module")
def logs(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    settings = {"MODEL": random_checkpoint, "WORKERS": 1}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.delenv(ENDPOINT, raising=False)
        patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        without = stack.enter_context(starting_server(tmp_path_factory.mktemp("without-endpoint"), settings))
        patch.setenv(ENDPOINT, f"http://127.0.0.1:{free_port()}")
        gone = stack.enter_context(starting_server(tmp_path_factory.mktemp("endpoint-gone"), settings))
        for server in (without, gone):
            server.wait_ready()
            server.translate("Hello.", "en", "de")
        wait_until(
            lambda: gone.translate("Hello.", "en", "de") and "trace_exporter" in gone.log,
            "the exporter says that it fails",
        )
        assert [server.terminate() for server in (without, gone)] == [0, 0]
        return Logs(without.log, gone.log)


def test_a_collector_that_is_gone_holds_up_neither_requests_nor_the_end(logs: Logs) -> None:
    assert "Traceback" not in logs.with_endpoint


def test_the_sdk_is_loaded_only_where_an_endpoint_is_set(logs: Logs) -> None:
    for log, is_on in ((logs.without_endpoint, False), (logs.with_endpoint, True)):
        assert "service.translation.translator" in log
        assert is_on == ("opentelemetry.sdk" in log) == ("opentelemetry.exporter" in log)
