"""A plot of the times to the first token."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.first_tokens import FirstTokens, Mode
from loadtests.bench.machine import Machine

STYLES: dict[Mode, str] = {"no cache": ":", "miss": "--", "hit": "-"}


def draw(path: Path, cells: Sequence[FirstTokens], machine: Machine) -> None:
    """Draw medians and quartiles by length, with a panel for each checkpoint and a colour for each tier."""
    # Imported only for a plot: it takes a second, and only the extra `bench` has it.
    from matplotlib.figure import Figure

    checkpoints = list(dict.fromkeys(each.checkpoint for each in cells))
    tiers = list(dict.fromkeys(each.tier for each in cells))
    figure = Figure(figsize=(6 * len(checkpoints), 4.5), layout="constrained")
    figure.suptitle(str(machine), fontsize=9)
    for axes, checkpoint in zip(figure.subplots(1, len(checkpoints), squeeze=False)[0], checkpoints, strict=True):
        for index, tier in enumerate(tiers):
            line = [each for each in cells if (each.checkpoint, each.tier) == (checkpoint, tier)]
            for mode, style in STYLES.items():
                middle = [each.median(mode) * 1000 for each in line]
                low, high = ([each.quartiles(mode)[end] * 1000 for each in line] for end in (0, 1))
                axes.plot(
                    [each.num_tokens for each in line], middle, f"o{style}", color=f"C{index}", label=f"{tier}, {mode}"
                )
                axes.fill_between([each.num_tokens for each in line], low, high, color=f"C{index}", alpha=0.1)
        axes.set(title=checkpoint, xlabel="source tokens", ylabel="ms to the first token", ylim=(0, None))
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
