"""A locust user that requests translations, in a closed or an open loop.

Closed: the user sends its next request when it has an answer. Open: requests are due at random times at a given rate (a
Poisson process), and a new greenlet sends each one when it is due, even if earlier ones are unanswered. Times count
from when a request was due, so a stall of the server shows in all requests that were due meanwhile: there is no
coordinated omission.

Requests are reported through locust's `request` event. The times of a stream's tokens go to separate entries without
the event, because locust would count every token as a request and dilute the share of failures.
"""

from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import ClassVar

from gevent import GreenletExit
from gevent.pool import Group
from locust import User
from locust.env import Environment

from loadtests.locust.event_stream import waits
from loadtests.locust.gevent_client import GeventClient, TimedResponse
from loadtests.locust.traffic import Question, Traffic

PLAIN = ("POST", "plain")
LISTS = ("POST", "lists")
STREAM = ("SSE", "stream")
FIRST_TOKEN = ("SSE", "time to first token")
TOKEN = ("SSE", "inter-token time")
LATE = ("open", "sent late by")


@dataclass(frozen=True, slots=True)
class Session:
    """The state shared by the users of one test. `arrivals` is None in a closed loop."""

    client: GeventClient
    traffic: Traffic
    arrivals: "Arrivals | None"


class Arrivals:
    """The times at which requests of an open loop are due."""

    def __init__(self, *, rate: float, random: Random) -> None:
        self._rate = rate
        self._random = random
        self.due_at = perf_counter()
        self.advance()

    def advance(self) -> None:
        self.due_at += self._random.expovariate(self._rate)


class FailedRequestError(Exception):
    """Locust counts and shows failures by their `repr`."""

    def __repr__(self) -> str:
        return str(self)


class TranslationUser(User):
    abstract = True
    host = "http://127.0.0.1:8000"
    session: ClassVar[Session]
    """Set when a test starts: all users share one server, one sequence of texts, and in an open loop one schedule."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._in_flight = Group()

    def on_start(self) -> None:
        self.wait()  # in an open loop, until the first arrival

    def wait_time(self) -> float:
        arrivals = self.session.arrivals
        return max(0.0, arrivals.due_at - perf_counter()) if arrivals else 0.0

    def on_stop(self) -> None:
        try:
            self._in_flight.join(self.environment.stop_timeout)
        finally:
            self._in_flight.kill()

    # The tasks of the user classes.

    def ask_plain(self) -> None:
        self._ask(PLAIN, self.session.traffic.one_text())

    def ask_lists(self) -> None:
        self._ask(LISTS, self.session.traffic.several_texts())

    def ask_stream(self) -> None:
        self._ask(STREAM, self.session.traffic.one_text())

    def _ask(self, kind: tuple[str, str], question: Question) -> None:
        arrivals = self.session.arrivals
        if arrivals is None:
            self._exchange(kind, question, perf_counter())
            return
        due_at = arrivals.due_at
        arrivals.advance()
        self._log(LATE, perf_counter() - due_at)
        self._in_flight.spawn(self._exchange, kind, question, due_at)

    def _exchange(self, kind: tuple[str, str], question: Question, due_at: float) -> None:
        try:
            answer = self.session.client.ask(question, stream=kind == STREAM)
        except GreenletExit:
            if self.environment.stop_timeout:  # it was not answered within that time
                self._report(kind, TimedResponse(perf_counter(), failure="no answer by the end of the test"), due_at)
            raise
        self._report(kind, answer, due_at)

    def _report(self, kind: tuple[str, str], answer: TimedResponse, due_at: float) -> None:
        """Report an answer. A failure has no time, because a fast refusal would make the others look fast."""
        request_type, name = kind
        self.environment.events.request.fire(
            request_type=request_type,
            name=name,
            response_time=None if answer.failure else 1000 * (answer.ended_at - due_at),
            response_length=answer.num_bytes,
            exception=FailedRequestError(answer.failure) if answer.failure else None,
            context=self.context(),
        )
        if answer.failure or not answer.token_times:
            return
        self._log(FIRST_TOKEN, answer.token_times[0] - due_at)
        for seconds in waits(answer.token_times):
            self._log(TOKEN, seconds)

    def _log(self, kind: tuple[str, str], seconds: float) -> None:
        request_type, name = kind
        self.environment.stats.get(name, request_type).log(1000 * seconds, 0)
