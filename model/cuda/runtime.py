"""How a device repeats a step without Python, and how results leave it without a wait.

On CUDA a step is a graph: one launch. `EagerRuntime` calls the step instead, for benchmarks and tests of everything
around it on a machine without a GPU.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

_NUM_WARM_UPS = 3
"""Steps before a capture, which PyTorch requires: libraries allocate and choose their kernels on first use."""


class Runtime(Protocol):
    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record a function of static shapes; the returned replay repeats its work on the same memory.

        It may be called several times before the recording. All recordings share one pool for their temporary memory,
        so results belong into memory that was allocated before.
        """

    def fetch(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Start a copy to the host, after all work so far. The returned function waits for that copy alone."""


class CudaRuntime:
    def __init__(self, device: torch.device) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # One for all recordings: cuBLAS keeps a workspace, and the allocator its blocks, for each stream.
        self._recordings = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        stream = self._recordings
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_NUM_WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream):
            function()
        replay: Callable[[], None] = graph.replay
        return replay

    def fetch(self, tensor: Tensor) -> Callable[[], Tensor]:
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._copies.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._copies):
            host.copy_(tensor, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        tensor.record_stream(self._copies)

        def wait() -> Tensor:
            copied.synchronize()
            return host

        return wait


class EagerRuntime:
    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        return function

    def fetch(self, tensor: Tensor) -> Callable[[], Tensor]:
        copied = tensor.to("cpu", copy=True)
        return lambda: copied
