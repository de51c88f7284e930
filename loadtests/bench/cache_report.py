"""The cache benchmark's tables, as Markdown."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from loadtests.bench.cache_throughput import Comparison, LoopRound
from loadtests.bench.encoded_tokens import TARGETS, EncodedTokens
from loadtests.bench.first_tokens import FirstTokens, Mode
from loadtests.bench.served_report import kind
from model.evaluation.markdown import markdown_table

FIRST_TOKEN_LEGEND = """\
Median ms to the first token (p25–p75) at the client, all on one server. Hit / miss is the saving of the tier; \
miss / no cache is the cost of a failed look-up and of storing the output. Left out: requests that the cache did not \
handle as intended."""
COMPARISON_LEGEND = """\
Medians of the rounds (least–most). Hits are a share of the look-ups of the server with the cache. Shared counts work \
shared by equal requests in flight; it must be 0."""


def first_token_table(cells: Iterable[FirstTokens]) -> str:
    head = ["checkpoint", "source tokens", "KiB an output", "tier", "no cache ms", "miss ms", "hit ms"]
    rows = [
        [
            each.checkpoint,
            str(each.num_tokens),
            f"{each.output_bytes / 1024:.1f}",
            each.tier,
            *(_milliseconds(each, mode) for mode in ("no cache", "miss", "hit")),
            f"{each.ratio('hit', over='miss'):.2f}",
            f"{each.ratio('miss', over='no cache'):.2f}",
            str(len(each.seconds["hit"])),
            str(each.num_left_out),
        ]
        for each in cells
    ]
    return markdown_table([*head, "hit / miss", "miss / no cache", "hits", "left out"], rows)


def comparison_table(comparisons: Iterable[Comparison]) -> str:
    head = ["texts", "answers", "tokens/s without", "tokens/s with", "with / without", "hits"]
    costs = ["service µs/token without", "with", "workers µs/token without", "with"]
    rows = [
        [
            each.texts,
            kind(stream=each.is_stream),
            *(_spread([loop.tokens_per_second for loop in loops], ".0f") for loops in (each.off, each.on)),
            _spread(each.ratios(lambda loop: loop.tokens_per_second), ".2f"),
            f"{each.hit_share:.0%}",
            *_both(each, lambda loop: loop.service_microseconds_per_token),
            *_both(each, lambda loop: loop.workers_microseconds_per_token),
            str(sum(loop.num_shared for loop in (*each.off, *each.on))),
            str(sum(loop.num_failed for loop in (*each.off, *each.on))),
        ]
        for each in comparisons
    ]
    return markdown_table([*head, *costs, "shared", "failed"], rows)


def encoded_table(encoded: EncodedTokens) -> str:
    rows = [
        [f"one, into {len(TARGETS)} languages", str(encoded.in_one_request)],
        [f"{len(TARGETS)}, into one each", str(encoded.in_separate_requests)],
        ["ratio", str(encoded.ratio)],
    ]
    return markdown_table(["requests, past the cache", "source tokens encoded"], rows)


def _milliseconds(cell: FirstTokens, mode: Mode) -> str:
    low, high = cell.quartiles(mode)
    return f"{cell.median(mode) * 1000:.2f} ({low * 1000:.2f}–{high * 1000:.2f})"


def _spread(values: Sequence[float], form: str) -> str:
    middle = statistics.median(values)
    return f"{middle:{form}}" + (f" ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else "")


def _both(comparison: Comparison, of: Callable[[LoopRound], float]) -> list[str]:
    return [f"{statistics.median([of(loop) for loop in loops]):.0f}" for loops in (comparison.off, comparison.on)]
