"""Laws of the cache benchmark's measurements, on real servers and a real Redis."""

from collections.abc import Iterator

import pytest

from loadtests.bench.encoded_tokens import EncodedTokens, measure_encoded_tokens
from loadtests.bench.first_tokens import FirstTokens, FirstTokenTimer
from loadtests.bench.redis_server import running_redis
from loadtests.bench.running_server import BenchServer
from loadtests.bench.source_lines import SourceLine
from tests.support.server import RunningServer, running_server

SOURCES = [SourceLine("en", "de", text) for text in ("How lucky I am", "How happy I am", "How hungry I am")]
NUM_TOKENS = 6


def bench_server(server: RunningServer) -> BenchServer:
    return BenchServer(server.process, port=server.port, log_path=server.log_path, ready_seconds=0.0)


@pytest.fixture(scope="module")
def with_memory(server: RunningServer) -> BenchServer:
    return bench_server(server)


@pytest.fixture(scope="module")
def with_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchServer]:
    with running_redis() as redis:
        settings = {"WORKERS": 1, "CACHE_BYTES": 0, "REDIS_URL": redis.url, "REDIS_MIN_TOKENS": 1}
        with running_server(tmp_path_factory.mktemp("redis"), settings) as server:
            yield bench_server(server)


def cell() -> FirstTokens:
    return FirstTokens("bundled", "memory", NUM_TOKENS, output_bytes=0)


def measured(server: BenchServer, into: FirstTokens, sentences: list[SourceLine]) -> dict[str, int]:
    """How many times to the first token there are of each mode."""
    with FirstTokenTimer(server, into.tier) as timer:
        for sentence in sentences:
            timer.measure(sentence, into)
    assert all(0 < each < 60 for seconds in into.seconds.values() for each in seconds)
    return {mode: len(seconds) for mode, seconds in into.seconds.items()}


def test_each_source_is_measured_past_the_memory_tier_missing_it_and_hitting_it(with_memory: BenchServer):
    into = cell()
    assert measured(with_memory, into, SOURCES) == {"no cache": 3, "miss": 3, "hit": 3}
    assert into.num_left_out == 0


def test_each_source_is_measured_past_redis_missing_it_and_hitting_it(with_redis: BenchServer):
    into = FirstTokens("bundled", "redis", NUM_TOKENS, output_bytes=0)
    assert measured(with_redis, into, SOURCES) == {"no cache": 3, "miss": 3, "hit": 3}
    assert with_redis.metrics().sum("kakehashi_encoder_cache_writes_total", result="ok") == len(SOURCES)


def test_what_the_cache_does_not_do_is_left_out(with_memory: BenchServer):
    into = cell()
    known = SourceLine("en", "de", "How rich I am")
    assert measured(with_memory, into, [known, known]) == {"no cache": 2, "miss": 1, "hit": 2}
    assert into.num_left_out == 1


def test_a_source_of_another_length_stops_the_measurement(with_memory: BenchServer):
    with pytest.raises(SystemExit, match="a source of 6 tokens was served as one of 5"):
        measured(with_memory, cell(), [SourceLine("en", "de", "How rich Tom")])


def test_a_source_is_encoded_once_for_all_its_languages(with_memory: BenchServer):
    encoded = measure_encoded_tokens(with_memory, SOURCES[0])
    assert encoded == EncodedTokens(in_one_request=NUM_TOKENS, in_separate_requests=3 * NUM_TOKENS)


def test_a_machine_without_redis_server_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="redis-server is not on PATH"), running_redis():
        pass
