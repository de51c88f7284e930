"""Step times, rooflines and memory as Markdown."""

from collections.abc import Sequence

from loadtests.bench.decode_steps import WEIGHT_BYTES, StepTime
from loadtests.bench.memory import MemoryUse
from loadtests.bench.roofline import MEGABYTE, Roofline
from loadtests.bench.tables import number
from model.evaluation.markdown import markdown_table


def roofline_table(roofline: Roofline) -> str:
    """The limits of one core."""
    body = [
        [f"reads over {size / MEGABYTE:.0f} MB", f"{rate / 1e9:.1f} GB/s"]
        for size, rate in roofline.bytes_per_second.items()
    ]
    body += [
        [f"multiplies matrices in {compute_type}", f"{rate / 1e12:.3f} T operations/s"]
        for compute_type, rate in sorted(roofline.operations_per_second.items())
    ]
    return markdown_table(["one core", "measured"], body)


def step_table(times: Sequence[StepTime]) -> str:
    head = [
        "checkpoint",
        "compute type",
        "rows",
        "source tokens",
        "target tokens",
        "weights MB",
        "KV MB",
        "G operations",
    ]
    body = [
        [
            each.subject,
            each.compute_type,
            str(each.size.num_rows),
            str(each.size.num_source_tokens),
            str(each.size.num_self_tokens),
            number(each.cost.weight_bytes / MEGABYTE),
            number(each.cost.kv_bytes / MEGABYTE),
            f"{each.cost.num_operations / 1e9:.2f}",
            number(each.floor_seconds * 1000),
            number(each.seconds * 1000),
            f"{each.seconds / each.floor_seconds:.1f}",
        ]
        for each in times
    ]
    return markdown_table([*head, "floor ms", "step ms", "step over floor"], body)


def memory_table(uses: Sequence[MemoryUse]) -> str:
    body = []
    for use in uses:
        weights = use.num_parameters * WEIGHT_BYTES[use.side.compute_type]
        body.append(
            [
                use.subject,
                use.side.name,
                *(number(value / MEGABYTE) for value in (weights, use.resident_bytes, use.unique_bytes)),
                f"{use.unique_bytes / weights:.1f}",
            ]
        )
    head = ["checkpoint", "side", "weights MB", "resident MB (RSS)", "unique MB (USS)", "unique over weights"]
    return markdown_table(head, body)
