"""The cost of a scrape every second: python -m loadtests.bench scraping [-- flags of kakehashi serve].

A round runs the same closed loop on one server twice, with and without a process that reads `/metrics` every second.
The order alternates, so that other load on the machine affects both alike.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from urllib.request import urlopen

from tqdm import tqdm

from loadtests.bench.generator import KINDS, Generator, Measured
from loadtests.bench.loopback import HOST
from loadtests.bench.machine import Machine
from loadtests.bench.running_server import BenchServer, running_server
from loadtests.bench.source_lines import SOURCES, repeated_source_lines
from model.evaluation.markdown import markdown_table

EVERY_SECONDS = 1.0
SCRAPE_SECONDS = 10.0
QUICK_ROUNDS = 2


@dataclass(slots=True)
class Rounds:
    """The rounds of one kind of answer, with and without scrapes."""

    is_stream: bool
    scraped: list[Measured] = field(default_factory=list)
    alone: list[Measured] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """The ratio of tokens a second with scrapes to without, by round."""
        pairs = zip(self.scraped, self.alone, strict=True)
        return [scraped.load.tokens_per_second / alone.load.tokens_per_second for scraped, alone in pairs]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2500, help="requests of a loop")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of a loop with scrapes and a loop without")
    parser.add_argument("--quick", action="store_true", help="few rounds: only checks that it works")
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if the server does not start."""
    num_rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds
    with running_server(["--cache-bytes", "0", *arguments.serve]) as server:
        generator = Generator(server, repeated_source_lines(SOURCES, arguments.requests))
        kinds = [Rounds(stream) for stream in KINDS]
        with tqdm(total=2 * num_rounds * len(kinds), unit="loop") as bar:
            for rounds in kinds:
                generator.closed(num_clients=arguments.clients, stream=rounds.is_stream)  # warms it up
            for index, rounds in product(range(num_rounds), kinds):
                for with_scrapes in (True, False) if index % 2 else (False, True):
                    with scraping(server) if with_scrapes else alone():
                        measured = generator.closed(num_clients=arguments.clients, stream=rounds.is_stream)
                    (rounds.scraped if with_scrapes else rounds.alone).append(measured)
                    bar.update()
    print(f"{Machine.read()}; {num_rounds} rounds of {arguments.requests} requests by {arguments.clients} clients\n")
    head = ("answers", "tokens/s alone", "scraped", "scraped / alone (quartiles)", "service µs/token alone", "scraped")
    print(markdown_table(head, [_row(rounds) for rounds in kinds]))


@contextmanager
def scraping(server: BenchServer) -> Iterator[None]:
    """Read `/metrics` every second, in another process so as not to delay the generator."""
    scraper = multiprocessing.get_context("fork").Process(target=_scrape, args=(server.port,), daemon=True)
    scraper.start()
    try:
        yield
    finally:
        scraper.terminate()
        scraper.join()


def _scrape(port: int) -> None:
    due = time.monotonic()
    while True:
        with urlopen(f"http://{HOST}:{port}/metrics", timeout=SCRAPE_SECONDS) as page:
            page.read()
        due += EVERY_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def alone() -> Iterator[None]:
    yield


def _row(rounds: Rounds) -> list[str]:
    low, middle, high = statistics.quantiles(rounds.ratios(), n=4)
    return [
        "stream" if rounds.is_stream else "plain",
        f"{_speed(rounds.alone):,.0f}",
        f"{_speed(rounds.scraped):,.0f}",
        f"{middle:.3f} ({low:.3f}–{high:.3f})",
        f"{_service_microseconds(rounds.alone):.1f}",
        f"{_service_microseconds(rounds.scraped):.1f}",
    ]


def _speed(measured: Sequence[Measured]) -> float:
    return statistics.median(each.load.tokens_per_second for each in measured)


def _service_microseconds(measured: Sequence[Measured]) -> float:
    tokens = [sum(answer.num_tokens for answer in each.load.answers) for each in measured]
    return statistics.median(each.cpu.service / count * 1e6 for each, count in zip(measured, tokens, strict=True))
