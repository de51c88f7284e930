"""Plots of measurements."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from loadtests.bench import tables
from loadtests.bench.decode_steps import StepTime
from loadtests.bench.machine import Machine
from loadtests.bench.measurements import Measurement
from loadtests.bench.sides import Shape, Side


def plot_speeds(measurements: Sequence[Measurement], machine: Machine, path: Path) -> None:
    """Draw bars of tokens/s, with a group for each cell and a panel for each checkpoint and search."""
    panels: dict[tuple[str, str], list[list[Measurement]]] = {}
    for group in tables.cells(measurements):
        panels.setdefault((group[0].cell.subject, group[0].cell.search), []).append(group)
    sides = list(dict.fromkeys(each.side for each in measurements))
    figure = Figure(figsize=(12, 3.5 * len(panels)), layout="constrained")
    figure.suptitle(str(machine))
    for axes, ((subject, search), groups) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True
    ):
        for index, side in enumerate(sides):
            bars = [(place, best) for place, group in enumerate(groups) for best in _of_all_workers(group, side)]
            if not bars:
                continue
            heights = [each.tokens_per_second for _, each in bars]
            places = [place + (index - (len(sides) - 1) / 2) * 0.8 / len(sides) for place, _ in bars]
            axes.bar_label(
                axes.bar(places, heights, 0.8 / len(sides), label=side.name, color=f"C{index}"),
                fmt="{:,.0f}",
                fontsize=7,
            )
        axes.set(title=f"{subject}, {search}", ylabel="tokens/s")
        axes.set_xticks(range(len(groups)), [group[0].cell.batch for group in groups])
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def _of_all_workers(group: Sequence[Measurement], side: Side) -> list[Measurement]:
    """The measurement of `side` in a cell, without the extra one of a single worker; empty if there is none."""
    of_side = [each for each in group if each.side == side]
    return [each for each in of_side if len(of_side) == 1 or each.setting.shape != Shape(1, 1)]


def plot_steps(times: Sequence[StepTime], machine: Machine, path: Path) -> None:
    """Draw step times and their floors by rows, at one source length, with a panel for each checkpoint."""
    subjects = list(dict.fromkeys(each.subject for each in times))
    figure = Figure(figsize=(6 * len(subjects), 4.5), layout="constrained")
    figure.suptitle(f"{machine}; one core used", fontsize=9)
    for axes, subject in zip(figure.subplots(1, len(subjects), squeeze=False)[0], subjects, strict=True):
        of_subject = [each for each in times if each.subject == subject]
        lengths = of_subject[0].size.num_source_tokens  # the sizes by rows come first
        for compute_type in dict.fromkeys(each.compute_type for each in of_subject):
            line = sorted(
                (
                    each
                    for each in of_subject
                    if (each.compute_type, each.size.num_source_tokens) == (compute_type, lengths)
                ),
                key=lambda each: each.size.num_rows,
            )
            rows = [each.size.num_rows for each in line]
            (drawn,) = axes.plot(rows, [each.seconds * 1000 for each in line], "o-", label=compute_type)
            floors = [each.floor_seconds * 1000 for each in line]
            axes.plot(rows, floors, "--", color=drawn.get_color(), label=f"{compute_type}, floor")
        axes.set(title=subject, xlabel="rows", ylabel="ms a step")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
