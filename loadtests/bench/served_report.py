"""The served benchmark's tables, as Markdown."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtests.bench.latency import Summary
from loadtests.bench.offline_reference import OfflineRound
from loadtests.bench.running_server import CpuSeconds, ProcessMemory, ServedCheckpoint
from model.evaluation.markdown import markdown_table

MIB = 2**20
BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


@dataclass(frozen=True, slots=True)
class LoadCell:
    """One row of a table. `speeds` are the tokens a second of all rounds; the rest describes the median round."""

    load: str
    is_stream: bool
    seconds: float
    offered_per_second: float
    summary: Summary
    cpu: CpuSeconds
    speeds: tuple[float, ...]

    @property
    def tokens_per_second(self) -> float:
        return self.summary.num_tokens / self.seconds

    @property
    def service_microseconds_per_token(self) -> float:
        return self.cpu.service / self.summary.num_tokens * 1e6 if self.summary.num_tokens else math.nan


LOAD_HEADINGS = (
    "load",
    "answers",
    "tokens/s (least–most)",
    "requests/s offered",
    "completed",
    "good",
    "first token ms",
    "between tokens ms",
    "whole ms",
    "refused",
    "failed",
    "CPU % generator",
    "service",
    "workers",
    "others",
    "service µs/token",
    "sent late ms",
)


def load_table(cells: Iterable[LoadCell]) -> str:
    return markdown_table(LOAD_HEADINGS, [_load_row(cell) for cell in cells])


def _load_row(cell: LoadCell) -> list[str]:
    summary, seconds, cpu = cell.summary, cell.seconds, cell.cpu
    spread = f" ({min(cell.speeds):.0f}–{max(cell.speeds):.0f})" if len(cell.speeds) > 1 else ""
    return [
        cell.load,
        kind(stream=cell.is_stream),
        f"{cell.tokens_per_second:.0f}{spread}",
        f"{cell.offered_per_second:.1f}",
        f"{summary.num_completed / seconds:.1f}",
        f"{summary.num_good / seconds:.1f}",
        _milliseconds(summary.first_token),
        _milliseconds(summary.gap),
        _milliseconds(summary.whole),
        ", ".join(f"{status}: {count}" for status, count in summary.refusals) or "0",
        ", ".join(f"{failure}: {count}" for failure, count in summary.failures) or "0",
        *(f"{100 * each / seconds:.0f}" for each in (cpu.generator, cpu.service, cpu.workers, cpu.others)),
        f"{cell.service_microseconds_per_token:.0f}",
        _milliseconds(summary.late),
    ]


def offline_table(rounds: Sequence[OfflineRound], cells: Sequence[LoadCell]) -> str:
    """`cells` are the closed loops with the most clients."""
    speeds = [each.tokens_per_second for each in rounds]
    engine = statistics.median(speeds)
    others = statistics.median(each.others for each in rounds)
    rows = [
        ["engine without a server", f"{engine:.0f} ({min(speeds):.0f}–{max(speeds):.0f})", "1", f"{100 * others:.0f}"]
    ]
    rows += [
        [
            f"{cell.load}, {kind(stream=cell.is_stream)}",
            f"{cell.tokens_per_second:.0f} ({min(cell.speeds):.0f}–{max(cell.speeds):.0f})",
            f"{cell.tokens_per_second / engine:.2f}",
            f"{100 * cell.cpu.others / cell.seconds:.0f}",
        ]
        for cell in cells
    ]
    return markdown_table(("", "tokens/s (least–most)", "of the engine's", "CPU % others"), rows)


def memory_table(processes: Sequence[ProcessMemory], checkpoint: ServedCheckpoint) -> str:
    """The first process is the service process, which holds neither weights nor caches."""
    weights = checkpoint.num_parameters * BYTES_PER_PARAMETER[checkpoint.compute_type]
    held = ["–", "–"], [_mebibytes(weights), _mebibytes(checkpoint.kv_bytes)]
    rows = [
        [each.name, *map(_mebibytes, (each.pss, each.uss, each.rss)), *held[index > 0]]
        for index, each in enumerate(processes)
    ]
    total = [sum(each.pss for each in processes), sum(each.uss for each in processes)]
    rows.append(["all", *map(_mebibytes, total), "", "", ""])
    return markdown_table(("process", "PSS MiB", "USS MiB", "RSS MiB", "weights MiB", "KV caches MiB"), rows)


def kind(*, stream: bool) -> str:
    return "stream" if stream else "plain"


def _milliseconds(seconds: Sequence[float]) -> str:
    if any(math.isnan(each) for each in seconds):
        return "–"
    return " / ".join(f"{each * 1000:.1f}" if each < 0.01 else f"{each * 1000:.0f}" for each in seconds)


def _mebibytes(num_bytes: int) -> str:
    return f"{num_bytes / MIB:.0f}"
