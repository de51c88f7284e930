"""The gain from the encoder cache: python -m loadtests.bench cache [-- flags of kakehashi serve].

1. The time to the first token of a stream on an idle server, by the length of the source: bypassing the cache, missing
   it and hitting it; with the memory tier, and with a Redis that the benchmark starts. On the bundled checkpoint and on
   random weights of the size of an OPUS-MT.
2. Tokens a second of many clients on two servers in turns, one with the memory tier and one without a cache. Once all
   texts are new, so that the cache is pure cost, and once every other request repeats an earlier one.
3. Source tokens encoded for one request into three languages, over those of three requests. It must be exactly 1/3.

Sources are words of real sentences in random order, so that none repeats by chance.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from tqdm import tqdm

from loadtests.bench.cache_report import (
    COMPARISON_LEGEND,
    FIRST_TOKEN_LEGEND,
    comparison_table,
    encoded_table,
    first_token_table,
)
from loadtests.bench.cache_throughput import TEXTS, Comparison, Servers, compare
from loadtests.bench.encoded_tokens import EncodedTokens, measure_encoded_tokens
from loadtests.bench.first_tokens import FirstTokens, FirstTokenTimer, Tier
from loadtests.bench.generator import KINDS
from loadtests.bench.machine import Machine
from loadtests.bench.redis_server import running_redis
from loadtests.bench.running_server import BenchServer, running_server
from loadtests.bench.source_lines import SOURCES, SourceLine, read_sources
from loadtests.bench.word_mixer import LANGUAGE, WordMixer
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import read_checkpoint
from model.tokenizers.loading import load_tokenizer
from model.transformer.compute_types import EncoderDtype
from service.cache.values import OutputFormat

BUNDLED, LARGE = "bundled", "OPUS-MT-sized"
TARGET_LANG = "de"
NUM_WARM_UP = 4
"""Sources of each length that are sent first and not counted."""
KEEP_ALL = ("--cache-min-tokens", "1", "--redis-min-tokens", "1")
"""Caches short sources too, to show whether a tier pays off for them."""
NO_MEMORY = ("--cache-bytes", "0")
NO_REDIS = ("--redis-url", "")
QUICK_SOURCES = 4
QUICK_REQUESTS = 128


@dataclass(frozen=True, slots=True)
class CachePlan:
    tiers: list[Tier]
    lengths: list[int]
    num_sources: int
    num_rounds: int
    num_clients: int
    num_requests: int
    seed: int
    serve: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tiers", nargs="+", choices=get_args(Tier), default=list(get_args(Tier)))
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 50, 200], help="source lengths in tokens")
    parser.add_argument("--sources", type=int, default=120, help="sources for each length, checkpoint and tier")
    parser.add_argument("--clients", type=int, default=64, help="clients of a closed loop")
    parser.add_argument("--requests", type=int, default=1000, help="requests of a closed loop")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of closed loops")
    parser.add_argument("--seed", type=int, default=1, help="of the sources")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also plot the times to the first token")
    parser.add_argument("--quick", action="store_true", help="few sources, one round: only checks that it works")
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if a server or Redis does not start, or an answer is not the expected one."""
    plan = _plan(arguments)
    sentences = [each for each in read_sources(SOURCES) if each.source_lang == LANGUAGE]
    # The random checkpoint shares the bundled one's tokenizer.
    mixer = WordMixer(load_tokenizer(read_checkpoint(BUNDLED_MODEL, name=BUNDLED)), sentences, seed=plan.seed)
    machine = Machine.read()
    print(f"{machine}; `{shlex.join(sys.orig_argv[1:])}`\n\n### First token\n", flush=True)
    cells = _time_first_tokens(plan, mixer)
    print(f"{first_token_table(cells)}\n\n{FIRST_TOKEN_LEGEND}\n\n### Throughput\n", flush=True)
    comparisons, encoded = _compare(plan, sentences, mixer)
    print(
        f"{plan.num_clients} clients, {plan.num_requests:,} requests in each of {plan.num_rounds} rounds.\n\n"
        f"{comparison_table(comparisons)}\n\n{COMPARISON_LEGEND}\n\n"
        f"### One source into several languages\n\n{encoded_table(encoded)}"
    )
    if arguments.plot is not None:
        from loadtests.bench.cache_plot import draw

        draw(arguments.plot, cells, machine)


def _plan(arguments: argparse.Namespace) -> CachePlan:
    quick = arguments.quick
    return CachePlan(
        tiers=arguments.tiers,
        lengths=sorted(arguments.lengths),
        num_sources=min(arguments.sources, QUICK_SOURCES) if quick else arguments.sources,
        num_rounds=1 if quick else arguments.rounds,
        num_clients=arguments.clients,
        num_requests=min(arguments.requests, QUICK_REQUESTS) if quick else arguments.requests,
        seed=arguments.seed,
        serve=arguments.serve,
    )


def _time_first_tokens(plan: CachePlan, mixer: WordMixer) -> list[FirstTokens]:
    cells: list[FirstTokens] = []
    with ExitStack() as stack:
        flags: dict[Tier, tuple[str, ...]] = {"memory": NO_REDIS}
        if "redis" in plan.tiers:  # first, so that a missing redis-server is reported at once
            flags["redis"] = (*NO_MEMORY, "--redis-url", stack.enter_context(running_redis()).url)
        large = Path(stack.enter_context(TemporaryDirectory())) / "random-m2m100"
        from loadtests.bench.random_checkpoints import save_random_m2m100  # only here: it needs torch

        save_random_m2m100(large)
        sides = list(product({BUNDLED: BUNDLED_MODEL, LARGE: large}.items(), plan.tiers))
        bar = stack.enter_context(tqdm(total=len(sides) * plan.num_sources * len(plan.lengths), unit="source"))
        for (name, directory), tier in sides:
            with running_server(["--model", str(directory), *KEEP_ALL, *flags[tier], *plan.serve]) as server:
                output_format = _output_format(server, directory)
                warm_up, measured = (
                    [FirstTokens(name, tier, length, output_format.num_bytes(length)) for length in plan.lengths]
                    for _ in range(2)
                )
                with FirstTokenTimer(server, tier) as timer:
                    for _, cell in product(range(NUM_WARM_UP), warm_up):
                        timer.measure(mixer.mix(cell.num_tokens, target_lang=TARGET_LANG), cell)
                    for _, cell in product(range(plan.num_sources), measured):
                        timer.measure(mixer.mix(cell.num_tokens, target_lang=TARGET_LANG), cell)
                        bar.update()
            cells += measured
    return cells


def _output_format(server: BenchServer, directory: Path) -> OutputFormat:
    """The format of encoder outputs: float32 for float32, otherwise a type of two bytes."""
    dtype: EncoderDtype = "float32" if server.checkpoint().compute_type == "float32" else "bfloat16"
    return OutputFormat(dtype, read_checkpoint(directory, name=directory.name).config.d_model)


def _compare(
    plan: CachePlan, sentences: Sequence[SourceLine], mixer: WordMixer
) -> tuple[list[Comparison], EncodedTokens]:
    templates = list(islice(cycle(sentences), plan.num_requests))
    num_loops = plan.num_rounds * len(KINDS) * len(TEXTS) * 2
    with (
        running_server([*NO_REDIS, *NO_MEMORY, *plan.serve]) as off,
        running_server([*NO_REDIS, *plan.serve]) as on,
        tqdm(total=num_loops, unit="loop") as bar,
    ):
        comparisons = compare(
            Servers(off=off, on=on),
            templates,
            mixer,
            num_rounds=plan.num_rounds,
            num_clients=plan.num_clients,
            on_loop=bar.update,
        )
        encoded = measure_encoded_tokens(on, mixer.mix(max(plan.lengths), target_lang=TARGET_LANG))
    return comparisons, encoded
