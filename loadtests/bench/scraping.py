"""What a scrape every second costs: python -m loadtests.bench scraping [-- flags of kakehashi serve].

The same closed loop on one server, with somebody who reads `/metrics` every second and without, in turns: each round
is one of either, in an order that alternates, so that what else the machine does meets both.
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

from loadtests.bench.generator import Generator, Measured
from loadtests.bench.loopback import HOST
from loadtests.bench.machine import Machine
from loadtests.bench.running_server import BenchServer, running_server
from loadtests.bench.source_lines import SOURCES, repeated_source_lines
from model.evaluation.markdown import markdown_table

KINDS = (False, True)
"""Plain answers, then streams."""
EVERY_SECONDS = 1.0
SCRAPE_SECONDS = 10.0
QUICK_ROUNDS = 2


@dataclass(slots=True)
class Rounds:
    """Of one kind of answer, with scrapes and without."""

    is_stream: bool
    scraped: list[Measured] = field(default_factory=list)
    alone: list[Measured] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Tokens a second with scrapes over those without, by round."""
        pairs = zip(self.scraped, self.alone, strict=True)
        return [scraped.load.tokens_per_second / alone.load.tokens_per_second for scraped, alone in pairs]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2500, help="in each loop")
    parser.add_argument("--rounds", type=int, default=9, help="of a loop with scrapes and one without")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works")
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit where the server does not start."""
    num_rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds
    with running_server(["--cache-bytes", "0", *arguments.serve]) as server:
        generator = Generator(server, repeated_source_lines(SOURCES, arguments.requests))
        kinds = [Rounds(stream) for stream in KINDS]
        with tqdm(total=2 * num_rounds * len(kinds), unit="loop") as bar:
            for rounds in kinds:
                generator.closed(num_clients=arguments.clients, stream=rounds.is_stream)  # warms it
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
    """Somebody reads `/metrics` every second: in a process of its own, where it does not hold up the generator."""
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
