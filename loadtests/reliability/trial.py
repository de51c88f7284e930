"""What holds of a server after anything that was done to it: it is idle, and as small and as fast as before."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.request import Request, urlopen

from loadtests.bench.http_requests import JSON, TRANSLATE, encode_request
from loadtests.bench.loopback import TIME_LIMIT_SECONDS
from loadtests.bench.server_process import ServerProcess
from loadtests.bench.source_lines import read_sources
from loadtests.reliability.journal import OWN_ID
from loadtests.reliability.vitals import Vitals

NUM_TIMED = 15
IDLE_SECONDS = 60.0
MAX_SHOWN_FAULTS = 20


class Report(Protocol):
    """What a trial found; `str` is for people to read."""

    @property
    def faults(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """`max_slowdown` is the ratio of a request's time afterwards to that before, or None on a machine that is busy.

    Each of the two is the best of `num_rounds`, since others may use the machine during some of them.
    """

    max_standstill_seconds: float = 0.25
    max_slowdown: float | None = 1.5
    num_rounds: int = 7


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of an idle server. `request_seconds` is the median time of a request alone, past the cache."""

    vitals: Vitals
    request_seconds: float

    @classmethod
    def read(cls, server: ServerProcess, *, num_rounds: int) -> "Condition":
        """Wait until the server is idle. Raises TimeoutError if it never is."""
        server.wait_idle(limit_seconds=IDLE_SECONDS)
        vitals = Vitals.read(server)
        lines = [line for line in read_sources() if line.source_lang == "en"][:NUM_TIMED]
        bodies = [line.body(stream=False) for line in lines]
        rounds = [statistics.median(_time_of(server, body) for body in bodies) for _ in range(num_rounds)]
        server.wait_idle(limit_seconds=IDLE_SECONDS)
        return cls(vitals, min(rounds))

    def faults_since(self, before: "Condition", tolerance: Tolerance) -> list[str]:
        faults = self.vitals.growth_faults(before.vitals)
        slowdown = self.request_seconds / before.request_seconds
        if tolerance.max_slowdown is not None and slowdown > tolerance.max_slowdown:
            faults.append(f"a request alone takes {slowdown:.1f} times as long as before")
        return faults

    def __str__(self) -> str:
        return f"{self.vitals}; a request alone takes {self.request_seconds * 1000:.0f} ms"


def broken_promises(faults: Sequence[str]) -> str:
    """The end of a report: the number of faults, and the first of them."""
    return f"Broken promises: {len(faults)}." + "".join(f"\n- {fault}" for fault in faults[:MAX_SHOWN_FAULTS])


def standstill_faults(seconds: float, tolerance: Tolerance) -> list[str]:
    is_over = seconds > tolerance.max_standstill_seconds
    return [f"the event loop stood still for {seconds * 1000:.0f} ms"] if is_over else []


def translate_alone(server: ServerProcess, body: dict[str, object], headers: Mapping[str, str]) -> str:
    """The translation of one text."""
    _, payload = encode_request("POST", TRANSLATE, body)
    request = Request(server.url + TRANSLATE, payload, {"Content-Type": JSON, **headers})
    with urlopen(request, timeout=TIME_LIMIT_SECONDS) as answer:
        text: str = json.load(answer)["translations"][0]["text"]
        return text


def _time_of(server: ServerProcess, body: dict[str, object]) -> float:
    began = time.perf_counter()
    translate_alone(server, body, {"Cache-Control": "no-store", "X-Request-ID": OWN_ID})
    return time.perf_counter() - began
