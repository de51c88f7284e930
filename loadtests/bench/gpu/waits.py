"""Waits of the host inside turns: what torch refuses to do, and what a trace of the calls of CUDA shows."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from loadtests.bench.gpu.report import Part
from loadtests.bench.gpu.setting import Setting

TURN = "kakehashi turn"
OWN_WAIT = "cudaEventSynchronize"
"""A turn waits so for the tokens of the one before it, once."""
WAITS = frozenset(
    {"cudaStreamSynchronize", "cudaDeviceSynchronize", "cuStreamSynchronize", "cuCtxSynchronize"}
    | {"cudaMemcpy", "cudaMemset", "cudaMalloc", "cudaFree", "cudaHostAlloc", "cudaFreeHost"}
)
"""Calls that wait for the device, or for the driver to find memory."""


class Call(NamedTuple):
    """A call of CUDA, or a turn, with times of one clock."""

    name: str
    begin: float
    end: float


@contextmanager
def no_waits(part: Part, setting: Setting) -> Iterator[None]:
    """Check that torch itself waits for nothing but the turn before: it raises an error at any other wait."""
    law = "no host sync of torch inside a turn, admissions included"
    if setting.device.type == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        part.check(law, holds=False, detail=str(error).splitlines()[0])
        raise
    else:
        part.check(law, holds=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check_trace(part: Part, setting: Setting, turns: Sequence[Callable[[], object]]) -> None:
    """Check in a trace of these turns that no call of CUDA waits, except for the turn before."""
    setting.synchronize()
    on_cuda = setting.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities) as trace:
        for turn in turns:
            with record_function(TURN):
                turn()
    # A turn is on the device's side of the trace too, where it lasts as long as its kernels.
    on_host = [event for event in trace.events() or [] if event.device_type.name == "CPU"]
    calls = [Call(event.name, event.time_range.start, event.time_range.end) for event in on_host]
    holds, detail = judge(calls, num_turns=len(turns), on_cuda=on_cuda)
    part.check("no call of CUDA in a trace of turns waits, except for the turn before", holds=holds, detail=detail)


def judge(calls: Sequence[Call], *, num_turns: int, on_cuda: bool) -> tuple[bool, str]:
    """Whether the trace shows these turns without a wait, and what it shows."""
    turns = [call for call in calls if call.name == TURN]
    inside = counts_inside(turns, calls)
    waits = {name: count for name, count in sorted(inside.items()) if name in WAITS}
    if inside[OWN_WAIT] > num_turns:
        waits[OWN_WAIT] = inside[OWN_WAIT]
    if len(turns) != num_turns:
        return False, f"the trace has {len(turns)} of {num_turns} turns"
    if on_cuda and not any(name.startswith(("cudaLaunch", "cudaGraphLaunch", "cuLaunch")) for name in inside):
        return False, "the trace has no calls of CUDA"
    return not waits, ", ".join(f"{count} {name}" for name, count in waits.items()) or f"{num_turns} turns"


def counts_inside(turns: Iterable[Call], calls: Sequence[Call]) -> Counter[str]:
    """Calls by name. A profiler adds a version to some names: cudaMalloc_v3020."""
    counts: Counter[str] = Counter()
    for turn in turns:
        counts.update(call.name.partition("_v")[0] for call in calls if turn.begin <= call.begin < turn.end)
    return counts
