"""A plot of the served benchmark."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.latency import PERCENTS
from loadtests.bench.served_report import LoadCell, kind


def draw(path: Path, *, closed: Sequence[LoadCell], opened: Sequence[LoadCell], offline_speed: float | None) -> None:
    """Draw latency by offered load in the open loop, and tokens a second by clients in the closed loop."""
    # Imported only for a plot: it takes a second, and only the extra `bench` has it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    latency, speed = figure.subplots(1, 2)
    for is_stream in (False, True):
        cells = [each for each in opened if each.is_stream == is_stream]
        offered = [cell.offered_per_second for cell in cells]
        for place, percent in enumerate(PERCENTS):
            values = [cell.summary.whole[place] * 1000 for cell in cells]
            latency.plot(offered, values, marker="o", label=f"{kind(stream=is_stream)}, whole, p{percent}")
        if is_stream:
            for place, percent in enumerate(PERCENTS):
                values = [cell.summary.first_token[place] * 1000 for cell in cells]
                latency.plot(offered, values, marker=".", linestyle="--", label=f"stream, first token, p{percent}")
        cells = [each for each in closed if each.is_stream == is_stream]
        speed.plot(
            [cell.load for cell in cells],
            [cell.tokens_per_second for cell in cells],
            marker="o",
            label=kind(stream=is_stream),
        )
    if offline_speed is not None:
        speed.axhline(offline_speed, color="grey", linestyle=":", label="engine without a server")
    latency.set(xlabel="requests/s offered", ylabel="ms", yscale="log", title="Open loop")
    speed.set(ylabel="tokens/s", title="Closed loop", ylim=(0, None))
    for axes in (latency, speed):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
