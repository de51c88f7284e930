"""A stand-in for CUDA graphs: the operations of a function, recorded once and repeated on the same memory.

A replay runs no code of the model. Like a capture, a recording refuses what a graph cannot repeat.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from model.cuda.runtime import EagerRuntime

WAITS_FOR_THE_DEVICE = ("_local_scalar_dense", "is_nonzero", "equal", "item")
SHAPE_IS_DATA = ("nonzero", "masked_select", "unique", "bincount", "repeat_interleave")
MADE_ON_THE_HOST = ("lift_fresh",)


class NotRecordableError(Exception):
    """The function does something that a CUDA graph cannot repeat."""


class Call(NamedTuple):
    function: Callable[..., Any]
    args: Any
    kwargs: Any
    made: list[Tensor | None]
    """The results with memory of their own; None for those that are views or the arguments themselves."""


class Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Call] = []
        self._made: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        refuse(str(func).removeprefix("aten."), (args, kwargs))
        known = {each.untyped_storage()._cdata for each in tensors((args, kwargs))}
        args_before, kwargs_before = alias(args), alias(kwargs or {})
        results = func(*args, **(kwargs or {}))
        given = tensors(args)
        self._made += [weakref.ref(each) for each in tensors(results) if not any(each is leaf for leaf in given)]
        made = [None if each.untyped_storage()._cdata in known else each.detach() for each in tensors(results)]
        self._calls.append(Call(func, args_before, kwargs_before, made))
        return results

    def check_nothing_outlives(self) -> None:
        """Raises NotRecordableError if a tensor that the step made is still in use after it."""
        if self._alive():
            gc.collect()  # the rest may be garbage
        shapes = [tuple(each.shape) for each in self._alive()]
        if shapes:
            raise NotRecordableError(f"tensors of these shapes outlive the step: {shapes}")

    def _alive(self) -> list[Tensor]:
        return [each for each in (reference() for reference in self._made) if each is not None]

    def replay(self) -> None:
        for function, args, kwargs, made in self._calls:
            results = tensors(function(*args, **kwargs))
            for memory, result in zip(made, results, strict=True):
                if memory is not None:
                    memory.copy_(result)


def refuse(name: str, arguments: object) -> None:
    """Raises NotRecordableError."""
    for names, reason in (
        (WAITS_FOR_THE_DEVICE, "waits for the device"),
        (SHAPE_IS_DATA, "makes a shape of data"),
        (MADE_ON_THE_HOST, "makes a tensor on the host"),
    ):
        if name.startswith(names):
            raise NotRecordableError(f"{name} {reason}")
    if name.startswith("index") and any(each.dtype == torch.bool for each in tensors(arguments)):
        raise NotRecordableError(f"{name} makes a shape of data")


def tensors(values: object) -> list[Tensor]:
    """Those with memory that can be compared; oneDNN's packed weights, which only ever are arguments, are not."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


def alias(values: Any) -> Any:
    """The same memory under other tensors, so that the recording keeps no tensor of the function alive."""
    return tree_map(lambda leaf: leaf.detach() if tensors(leaf) else leaf, values)


class RecordingRuntime(EagerRuntime):
    """Replays recordings, and counts them."""

    def __init__(self) -> None:
        self.num_recorded = 0
        self.num_replayed = 0

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        recording = Recording()
        with recording:
            function()
        recording.check_nothing_outlives()
        self.num_recorded += 1

        def replay() -> None:
            self.num_replayed += 1
            recording.replay()

        return replay
