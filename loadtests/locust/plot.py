"""A plot of a load test over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from loadtests.locust.history import AGGREGATED, Moment, rates

WHOLE = ("plain", "stream", "lists")
BESIDE = (1.06, 1.0)
"""The place of legends in shares of the axes: to the right of the scale of users."""
COLORS = {"plain": "tab:blue", "stream": "tab:orange", "lists": "tab:green"}
COLORS |= {"time to first token": "tab:purple", "inter-token time": "tab:brown"}


def draw(path: Path, history: Mapping[str, Sequence[Moment]], *, title: str) -> None:
    """Draw the history. Percentiles cover the last 10 s of each moment."""
    figure = Figure(figsize=(12, 11), layout="constrained")
    traffic, whole, first_token, token = figure.subplots(4, 1, sharex=True)
    _draw_traffic(traffic, history.get(AGGREGATED, []))
    _draw_times(whole, history, WHOLE)
    _draw_times(first_token, history, ("time to first token",))
    _draw_times(token, history, ("inter-token time",))
    whole.set(title="Whole answers, p50 and p95 of the last 10 s")
    first_token.set(title="Streams: time to first token, p50 and p95 of the last 10 s")
    token.set(title="Streams: inter-token time, p50 and p95 of the last 10 s", xlabel="seconds")
    for axes in (traffic, whole, first_token, token):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _draw_traffic(axes: Any, moments: Sequence[Moment]) -> None:
    per_second = rates(moments)
    seconds = [each.seconds for each in per_second]
    axes.plot(seconds, [each.requests for each in per_second], color="tab:blue", label="requests/s")
    axes.plot(seconds, [each.failures for each in per_second], color="tab:red", label="failures/s")
    users = axes.twinx()
    users.step(
        [moment.seconds for moment in moments],
        [moment.num_users for moment in moments],
        where="post",
        color="grey",
        linestyle="--",
        label="users",
    )
    users.set(ylabel="users", ylim=(0, None))
    users.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="Requests, failures and users", ylabel="1/s", ylim=(0, None))
    handles = [handle for each in (axes, users) for handle in each.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=BESIDE)


def _draw_times(axes: Any, history: Mapping[str, Sequence[Moment]], names: Sequence[str]) -> None:
    for name in names:
        moments = history.get(name, [])
        seconds = [moment.seconds for moment in moments]
        if moments:
            axes.plot(seconds, [moment.p50 for moment in moments], color=COLORS[name], label=f"{name}, p50")
            axes.plot(
                seconds, [moment.p95 for moment in moments], color=COLORS[name], linestyle="--", label=f"{name}, p95"
            )
    axes.set(ylabel="ms", ylim=(0, None))
    if axes.lines:
        axes.legend(loc="upper left", bbox_to_anchor=BESIDE)
