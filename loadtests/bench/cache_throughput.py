"""The same closed loops, in turns, on a server that caches encoder outputs and on one that does not.

In the first loop of a round every text is new. In the second, every other request repeats a text of the first, which
was answered long before, and the rest is new. Equal requests are never in flight together, because the server would
decode them once; the table shows its count of shared decodes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from loadtests.bench.generator import KINDS, Generator
from loadtests.bench.running_server import BenchServer
from loadtests.bench.source_lines import SourceLine
from loadtests.bench.word_mixer import WordMixer

Texts = Literal["all new", "half repeated"]
TEXTS: tuple[Texts, ...] = ("all new", "half repeated")


@dataclass(frozen=True, slots=True)
class Servers:
    off: BenchServer
    on: BenchServer


@dataclass(frozen=True, slots=True)
class LoopRound:
    """One closed loop on one server. CPU times cover the whole loop; hits and misses are those of the memory tier."""

    seconds: float
    num_failed: int
    num_tokens: int
    service_cpu_seconds: float
    workers_cpu_seconds: float
    num_hits: int
    num_misses: int
    num_shared: int
    """Decodes or encodings shared with an equal request in flight."""

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / self.seconds

    @property
    def service_microseconds_per_token(self) -> float:
        return self.service_cpu_seconds / self.num_tokens * 1e6 if self.num_tokens else math.nan

    @property
    def workers_microseconds_per_token(self) -> float:
        return self.workers_cpu_seconds / self.num_tokens * 1e6 if self.num_tokens else math.nan


@dataclass(slots=True)
class Comparison:
    """The rounds of one kind of load; a round sends the same requests to both servers."""

    texts: Texts
    is_stream: bool
    off: list[LoopRound] = field(default_factory=list)
    on: list[LoopRound] = field(default_factory=list)

    def ratios(self, of: Callable[[LoopRound], float]) -> list[float]:
        """The ratio of the server with the cache to the one without, by round."""
        return [of(on) / of(off) if of(off) else math.nan for on, off in zip(self.on, self.off, strict=True)]

    @property
    def hit_share(self) -> float:
        hits, misses = sum(each.num_hits for each in self.on), sum(each.num_misses for each in self.on)
        return hits / (hits + misses) if hits + misses else math.nan


def compare(
    servers: Servers,
    templates: Sequence[SourceLine],
    mixer: WordMixer,
    *,
    num_rounds: int,
    num_clients: int,
    on_loop: Callable[[], object],
) -> list[Comparison]:
    """Run the loops. A loop has a request for each of `templates`, with its length and languages."""
    warm_up = [mixer.like(each) for each in templates[: 4 * num_clients]]
    for server, stream in product((servers.off, servers.on), KINDS):
        _loop(server, warm_up, num_clients=num_clients, stream=stream)
    comparisons = {(texts, stream): Comparison(texts, is_stream=stream) for texts, stream in product(TEXTS, KINDS)}
    for round_index, stream in product(range(num_rounds), KINDS):
        new = [mixer.like(each) for each in templates]
        repeated = [mixer.like(each) if place % 2 else each for place, each in enumerate(new)]
        for texts, sentences in zip(TEXTS, (new, repeated), strict=True):
            comparison = comparisons[texts, stream]
            turns = [(servers.off, comparison.off), (servers.on, comparison.on)]
            for server, rounds in turns if round_index % 2 == 0 else reversed(turns):
                rounds.append(_loop(server, sentences, num_clients=num_clients, stream=stream))
                on_loop()
    return list(comparisons.values())


def _loop(server: BenchServer, sentences: Sequence[SourceLine], *, num_clients: int, stream: bool) -> LoopRound:
    before = server.metrics()
    measured = Generator(server, sentences).closed(num_clients=num_clients, stream=stream)
    after = server.metrics()

    def counted(name: str, **labels: str) -> int:
        return int(after.sum(name, **labels) - before.sum(name, **labels))

    look_ups = "kakehashi_encoder_cache_requests_total"
    return LoopRound(
        seconds=measured.load.seconds,
        num_failed=sum(not answer.is_ok for answer in measured.load.answers),
        num_tokens=sum(answer.num_tokens for answer in measured.load.answers),
        service_cpu_seconds=measured.cpu.service,
        workers_cpu_seconds=measured.cpu.workers,
        num_hits=counted(look_ups, tier="memory", result="hit"),
        num_misses=counted(look_ups, tier="memory", result="miss"),
        num_shared=counted("kakehashi_coalesced_total"),
    )
