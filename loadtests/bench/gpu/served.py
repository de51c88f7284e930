"""A server on the device under load, where the packages of the server are installed."""

from importlib.util import find_spec
from types import MappingProxyType

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting

PACKAGES = (
    *("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "dotenv", "msgspec", "prometheus_client"),
    *("python_multipart", "redis", "hiredis", "regex", "sentencex", "turbohtml", "langcodes", "py3langid"),
    *("psutil", "sentencepiece"),
)
"""What the server loads on its start. OpenTelemetry is not among them: without an endpoint it is not loaded."""
NUM_REQUESTS = MappingProxyType({1: 64, 64: 1024, 240: 1920})
"""By the number of clients, of which there are fewer than sentences: no two equal ones are in flight together."""


def measure(setting: Setting, part: Part) -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        part.problem = f"packages of the server are missing: {', '.join(missing)}"
        return
    if setting.is_tiny:
        part.problem = "a tiny run starts no server"
        return
    setting.check_time(50)
    from loadtests.bench.generator import KINDS, Generator  # only here: they need the server's packages
    from loadtests.bench.latency import LatencyGoals, summarize
    from loadtests.bench.running_server import running_server
    from loadtests.bench.source_lines import SOURCES, repeated_source_lines

    goals = LatencyGoals(first_token_seconds=0.2, token_seconds=0.05, plain_seconds=2.0)
    head = ["clients", "answers", "requests/s", "tokens/s", "failed"]
    table = Table("Closed loops, the bundled checkpoint, no cache", head, [])
    part.tables.append(table)
    flags = ["--device", str(setting.device), "--cache-bytes", "0"]
    with running_server(flags) as server:
        for num_clients, num_requests in NUM_REQUESTS.items():
            generator = Generator(server, repeated_source_lines(SOURCES, num_requests))
            for stream in KINDS:
                setting.check_time(10)
                load = generator.closed(num_clients=num_clients, stream=stream).load
                summary = summarize(load.answers, goals, stream=stream)
                failed = len(load.answers) - summary.num_completed
                kind = "streams" if stream else "plain"
                rate = f"{summary.num_completed / load.seconds:,.0f}"
                table.body.append([str(num_clients), kind, rate, f"{load.tokens_per_second:,.0f}", str(failed)])
                part.check(f"{num_clients} clients, {kind}: every request is answered", holds=failed == 0)
