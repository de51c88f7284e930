"""The time of a decode step of our engine, and its lower bound."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from loadtests.bench.kakehashi_backend import CPU, unending
from loadtests.bench.roofline import Roofline
from model.checkpoint.config import ModelConfig, read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.batch import DecodingBatch, NewDecode
from model.search.spec import DecodeSpec
from model.transformer.compute_types import ComputeType

WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
NUM_STEPS = 16
NUM_WARMING_STEPS = 3
"""Warm-up steps: some kernels are generated for a number of rows."""
FIRST_ORDINARY_ID = 4


@dataclass(frozen=True, slots=True)
class StepSize:
    num_rows: int
    num_source_tokens: int
    num_self_tokens: int
    """In the middle of the measurement; it grows with every step."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """The bytes to read and the operations of a step, in linear layers and attention."""

    weight_bytes: int
    kv_bytes: int
    linear_operations: int
    attention_operations: int

    @property
    def num_bytes(self) -> int:
        return self.weight_bytes + self.kv_bytes

    @property
    def num_operations(self) -> int:
        return self.linear_operations + self.attention_operations

    def floor_seconds(self, roofline: Roofline, compute_type: str) -> float:
        """The time to read all bytes once at full bandwidth, or to compute at the peak rate, whichever is longer."""
        peaks = roofline.operations_per_second
        attention_peak = peaks["bfloat16" if compute_type == "bfloat16" else "float32"]
        reading = self.num_bytes / roofline.bandwidth(self.num_bytes)
        return max(reading, self.linear_operations / peaks[compute_type] + self.attention_operations / attention_peak)


@dataclass(frozen=True, slots=True)
class StepTime:
    subject: str
    compute_type: str
    size: StepSize
    cost: StepCost
    seconds: float
    floor_seconds: float


def step_cost(config: ModelConfig, size: StepSize, compute_type: str, *, kv_dtype: torch.dtype) -> StepCost:
    """The cost of the decoder layers and the output projection. K' and V' of the source are cached already."""
    inner = config.decoder_heads * config.decoder_head_dim
    attention = (4 + 2) * config.d_model * inner  # self-attention: Q, K, V, output; cross-attention: Q, output
    feed_forward = (3 if config.gated_ffn else 2) * config.d_model * config.decoder_ffn
    weights = config.decoder_layers * (attention + feed_forward) + config.d_model * config.decoder_vocab_size
    num_kv = size.num_rows * config.decoder_layers * 2 * inner * (size.num_source_tokens + size.num_self_tokens)
    return StepCost(
        weight_bytes=weights * WEIGHT_BYTES[compute_type],
        kv_bytes=num_kv * kv_dtype.itemsize,
        linear_operations=2 * size.num_rows * weights,
        attention_operations=2 * num_kv,
    )


class StepTimer:
    """Times steps of a checkpoint in one compute type."""

    def __init__(self, name: str, directory: Path, *, compute_type: str, roofline: Roofline) -> None:
        self._name = name
        self._compute_type = compute_type
        self._roofline = roofline
        self._checkpoint = read_checkpoint(directory, name=name)
        self._transformer = load_transformer(self._checkpoint, compute_type=cast(ComputeType, compute_type), device=CPU)

    def measure(self, size: StepSize) -> StepTime:
        """The median of several steps, including the search for the next tokens."""
        config = self._checkpoint.config
        num_all_steps = NUM_WARMING_STEPS + NUM_STEPS
        prompt_length = max(1, size.num_self_tokens - NUM_WARMING_STEPS - NUM_STEPS // 2)
        max_length = prompt_length + num_all_steps + 1
        batch = DecodingBatch(
            self._transformer,
            unending(self._checkpoint, max_length),
            max_rows=size.num_rows,
            max_source_tokens=size.num_source_tokens,
            max_target_tokens=max_length,
        )
        generator = torch.Generator().manual_seed(size.num_rows)
        ids = torch.randint(
            FIRST_ORDINARY_ID,
            config.vocab_size - 1,
            (size.num_rows, size.num_source_tokens + prompt_length),
            generator=generator,
        ).tolist()
        specs = [
            DecodeSpec(
                self._name,
                (*row[: size.num_source_tokens - 1], config.eos_token_id),
                (config.decoder_start_token_id, *row[size.num_source_tokens + 1 :]),
                num_all_steps + 1,
                repetition_guard=False,
            )
            for row in ids
        ]
        encoded = batch.encode([spec.source_ids for spec in specs]).hidden_states
        batch.add([NewDecode(index, *new) for index, new in enumerate(zip(specs, encoded, strict=True))])
        seconds = []
        for _ in range(num_all_steps):
            began = time.perf_counter()
            batch.step()
            seconds.append(time.perf_counter() - began)
        cost = step_cost(config, size, self._compute_type, kv_dtype=self._transformer.kv_dtype)
        return StepTime(
            self._name,
            self._compute_type,
            size,
            cost,
            statistics.median(seconds[NUM_WARMING_STEPS:]),
            cost.floor_seconds(self._roofline, self._compute_type),
        )
