"""Our Triton kernels on the CPU, in a process of their own: Triton interprets what is imported under a variable."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple

import torch
from torch import Tensor

from model.cuda.kernels import StepRules, StepState


def _attend(method: str, inputs: Tensor, kv: Tensor, *others: object, scale: float) -> tuple[Tensor, Tensor]:
    from model.cuda.triton_kernels import TritonKernels

    heads: Tensor = getattr(TritonKernels(), method)(inputs, kv, *others, scale=scale)
    return heads, kv


def _choose(logits: Tensor, rules: StepRules, state: StepState) -> StepState:
    from model.cuda.triton_kernels import TritonKernels

    TritonKernels().choose(logits, rules, state)
    return state


class InterpretedKernels:
    """`TritonKernels`. The process gets copies, and what it wrote is copied back."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def self_attention(
        self, qkv: Tensor, kv: Tensor, positions: Tensor, bias: Tensor | None, *, scale: float
    ) -> Tensor:
        heads, written = self._pool.submit(_attend, "self_attention", qkv, kv, positions, bias, scale=scale).result()
        kv.copy_(written)
        return heads

    def cross_attention(self, q: Tensor, kv: Tensor, source_lengths: Tensor, *, scale: float) -> Tensor:
        return self._pool.submit(_attend, "cross_attention", q, kv, source_lengths, scale=scale).result()[0]

    def choose(self, logits: Tensor, rules: StepRules, state: StepState) -> None:
        written = self._pool.submit(_choose, logits, rules, state).result()
        for ours, theirs in zip(astuple(state), astuple(written), strict=True):
            if isinstance(ours, Tensor):
                ours.copy_(theirs)


@contextmanager
def interpreting_process() -> Iterator[ProcessPoolExecutor]:
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(torch.set_num_threads, 1).result()
            os.environ.pop("TRITON_INTERPRET")
            yield pool
    finally:
        os.environ.pop("TRITON_INTERPRET", None)
