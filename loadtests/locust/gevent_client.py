"""The client of the load tests, on geventhttpclient, a dependency of locust.

Its `readline` returns the events of a stream as they arrive, for 30 µs of CPU time a token. HttpUser, on requests,
takes 50, and the generator shares its cores with the server. FastHttpUser, built on geventhttpclient, takes the same
but counts from sending a request. A failure is a result; nothing that the server does raises.
"""

import json
from dataclasses import dataclass
from http.client import HTTPException
from time import perf_counter

from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPSocketPoolResponse
from geventhttpclient.url import URL

from loadtests.locust.event_stream import EVENT_END, EventStream, problem_title
from loadtests.locust.traffic import Question

PATH = "/v1/translations"
HEADERS = {"Content-Type": "application/json"}
MAX_CONNECTIONS = 10_000
"""In effect unlimited: waiting for a connection would be the client's delay, not the server's."""
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 120.0
"""The longest wait for the next bytes of an answer."""


@dataclass(frozen=True, slots=True)
class TimedResponse:
    """Times are readings of perf_counter. `failure` is the reason of a failure, or ""."""

    ended_at: float
    num_bytes: int = 0
    token_times: tuple[float, ...] = ()
    failure: str = ""


class GeventClient:
    def __init__(self, base_url: str) -> None:
        url = URL(base_url)
        self._path = url.path.rstrip("/") + PATH
        self._http = HTTPClient.from_url(
            url,
            concurrency=MAX_CONNECTIONS,
            connection_timeout=CONNECT_SECONDS,
            network_timeout=SILENCE_SECONDS,
        )

    def ask(self, question: Question, *, stream: bool) -> TimedResponse:
        """Send a request. An exception, such as that of a killed greenlet, hangs up."""
        body = json.dumps(question.body(stream=stream)).encode()
        try:
            with self._http.post(self._path, body, HEADERS) as response:
                if response.status_code != 200:
                    content = response.read()
                    failure = f"status {response.status_code}: {problem_title(content)}"
                    return TimedResponse(perf_counter(), len(content), failure=failure)
                return _read_stream(response) if stream else _read_plain(response, question)
        except TimeoutError:
            return TimedResponse(perf_counter(), failure=f"no byte in {SILENCE_SECONDS:g} s")
        except (OSError, HTTPException) as error:
            return TimedResponse(perf_counter(), failure=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        self._http.close()


def _read_plain(response: HTTPSocketPoolResponse, question: Question) -> TimedResponse:
    content = response.read()
    ended_at = perf_counter()
    try:
        is_whole = len(json.loads(content)["translations"]) == question.num_translations
        failure = "" if is_whole else "fewer translations than requested"
    except (ValueError, KeyError, TypeError):
        failure = "not an answer"
    return TimedResponse(ended_at, len(content), failure=failure)


def _read_stream(response: HTTPSocketPoolResponse) -> TimedResponse:
    events = EventStream()
    num_bytes = 0
    failure = ""
    try:
        while event := response.readline(EVENT_END):
            events.take(event, now=perf_counter())
            num_bytes += len(event)
    except HTTPException:  # the body ends too early
        failure = "a stream without done: the connection was cut off"
    return TimedResponse(perf_counter(), num_bytes, tuple(events.token_times), failure or events.failure())
