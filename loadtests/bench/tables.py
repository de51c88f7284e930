"""Markdown tables of measurements."""

import sys
from collections.abc import Callable, Sequence
from itertools import groupby

from loadtests.bench.machine import Machine
from loadtests.bench.measurements import Agreement, Measurement, Spread, Timing
from loadtests.bench.sides import Shape
from model.evaluation.markdown import markdown_table

MIN_STEADY = 10
"""Smaller numbers are shown with two decimals."""


def heading(machine: Machine) -> str:
    """The machine and the command line."""
    return f"{machine}\n\n    python -m loadtests.bench {' '.join(sys.argv[1:])}".rstrip()


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= MIN_STEADY else f"{value:.2f}"


def spread(values: Spread) -> str:
    return f"{number(values.median)} ({number(values.least)}–{number(values.most)})"


def baseline(measurements: Sequence[Measurement]) -> Measurement:
    """The baseline of a cell: CTranslate2, or else the first side."""
    return next((each for each in measurements if each.side.library == "ctranslate2"), measurements[0])


def cells(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Group measurements by cell; those of a cell are adjacent."""
    return [list(group) for _, group in groupby(measurements, key=lambda each: each.cell)]


def speed_table(measurements: Sequence[Measurement]) -> str:
    """The speeds of all searches of one checkpoint."""
    head = ["search", "batch", "side", "workers × threads", "ms a batch", "ms a step", "tokens/s"]
    body = []
    for group in cells(measurements):
        beside = baseline(group)
        for each in group:
            times: list[Callable[[Timing], float]] = [
                lambda timing: timing.batch_milliseconds,
                lambda timing: timing.step_milliseconds,
            ]
            alone = each.cell.batch_size is not None
            body.append(
                [
                    each.cell.search,
                    each.cell.batch if alone else f"saturated, by {each.setting.batch_size}",
                    each.side.name,
                    str(each.setting.shape),
                    *(spread(each.spread(time)) if alone else "–" for time in times),
                    spread(each.spread(lambda timing: timing.tokens_per_second)),
                    f"{each.tokens_per_second / beside.tokens_per_second:.2f}",
                ]
            )
    return markdown_table([*head, f"over {baseline(measurements).side.name}"], body)


def scaling_table(measurements: Sequence[Measurement]) -> str:
    """The speed of all our workers over that of one, where both were measured; empty if none was."""
    body = []
    for group in cells(measurements):
        alone = {
            each.side: each for each in group if each.setting.shape == Shape(1, 1) and each.cell.batch_size is None
        }
        body += [
            [
                each.cell.subject,
                each.cell.search,
                each.side.name,
                str(each.setting.shape.num_workers),
                number(alone[each.side].tokens_per_second),
                number(each.tokens_per_second),
                f"{each.tokens_per_second / alone[each.side].tokens_per_second:.2f}",
            ]
            for each in group
            if each.side in alone and each.setting.shape.num_workers > 1
        ]
    head = ["checkpoint", "search", "side", "workers", "tokens/s of one", "of all", "all over one"]
    return markdown_table(head, body) if body else ""


def agreement_table(agreements: Sequence[Agreement]) -> str:
    """Empty if nothing was compared."""
    head = ["checkpoint", "search", "side", "reference", "equal targets", "share"]
    body = [
        [
            each.subject,
            each.search,
            each.side.name,
            each.reference.name,
            f"{each.num_equal:,} of {each.num_targets:,}",
            f"{each.num_equal / each.num_targets:.1%}",
        ]
        for each in agreements
    ]
    return markdown_table(head, body) if body else ""
