"""The time of a greedy step by rows, in a batch and on the device alone, beside its floor and the device's rates."""

import time
from functools import partial

import torch

from loadtests.bench.decode_steps import StepSize, step_cost
from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.static_step import StaticStep
from loadtests.bench.gpu.subjects import Size, random_specs, random_transformer, sizes, unending
from loadtests.bench.gpu.timing import median_seconds
from model.decoding.batch import DecodingBatch, NewDecode
from model.transformer.transformer import Transformer

SOURCE_TOKENS, SELF_TOKENS = 30, 30
"""In the middle of the measurement."""
STEPS_A_TURN, NUM_TURNS, NUM_WARMING_TURNS = 8, 5, 1
DEVICE_STEPS, NUM_DEVICE_RUNS = 28, 5
"""Taken from a position so that `SELF_TOKENS` are in the middle."""
MATRIX_SIZE = 4096
COPIED_BYTES = 1 << 30
MOST_OVER_FLOOR = 2.0


def measure(setting: Setting, part: Part) -> None:
    rates = None if setting.is_tiny else measure_rates(setting)
    if rates is not None:
        body = [["copies, bytes read and written", f"{rates[0] / 1e12:.2f} TB/s"]]
        body.append([f"multiplies matrices of {MATRIX_SIZE} in float16", f"{rates[1] / 1e12:.0f} TFLOP/s"])
        part.tables.append(Table("The device", ["", "measured"], body))
    head = ["checkpoint", "rows", "ms a step", "on the device", "least ms on an H100", "over its upper end"]
    table = Table(f"float16, {SOURCE_TOKENS} + {SELF_TOKENS} tokens", [*head, "ms by measured rates", "tokens/s"], [])
    part.tables.append(table)
    for size in sizes(is_tiny=setting.is_tiny):
        setting.check_time(20)
        transformer = random_transformer(size.config, dtype=setting.half, device=setting.device)
        for num_rows, (least, most) in size.floor_milliseconds.items():
            setting.check_time(8)
            on_device = 1000 * device_seconds(setting, transformer, num_rows)
            milliseconds = 1000 * step_seconds(setting, size, transformer, num_rows)
            by_rates = "" if rates is None else f"{1000 * roofline_seconds(size, num_rows, *rates):.2f}"
            table.body.append(
                [
                    size.name,
                    f"{num_rows:,}",
                    f"{milliseconds:.3f}",
                    f"{on_device:.3f}",
                    f"{least:.2f} to {most:.2f}",
                    f"{milliseconds / most:.2f}",
                    by_rates,
                    f"{1000 * num_rows / milliseconds:,.0f}",
                ]
            )
            if num_rows >= 64:
                law = f"{size.name}, {num_rows:,} rows: a step takes at most {MOST_OVER_FLOOR:g} times its floor"
                part.check(law, holds=milliseconds <= MOST_OVER_FLOOR * most, detail=f"{milliseconds / most:.2f} times")


@torch.inference_mode()
def device_seconds(setting: Setting, transformer: Transformer, num_rows: int) -> float:
    """Without the host's work on the tokens."""
    last = SELF_TOKENS + DEVICE_STEPS // 2
    static = StaticStep(setting, transformer, max_rows=num_rows, source_tokens=SOURCE_TOKENS, target_tokens=last)
    run = partial(static.run, DEVICE_STEPS, from_position=last - DEVICE_STEPS)
    run()
    return median_seconds(setting, run, num_runs=1 if setting.is_tiny else NUM_DEVICE_RUNS) / DEVICE_STEPS


def step_seconds(setting: Setting, size: Size, transformer: Transformer, num_rows: int) -> float:
    num_steps = STEPS_A_TURN * (NUM_WARMING_TURNS + NUM_TURNS + 1)  # the last turn is never read
    prompt_tokens = SELF_TOKENS - num_steps // 2
    batch = filled_batch(setting, size, transformer, num_rows, prompt_tokens=prompt_tokens, new_tokens=num_steps + 1)
    seconds = []
    for _ in range(NUM_WARMING_TURNS):
        batch.step(max_tokens=STEPS_A_TURN)
    setting.synchronize()
    for _ in range(NUM_TURNS):
        began = time.perf_counter()
        batch.step(max_tokens=STEPS_A_TURN)
        setting.synchronize()
        seconds.append((time.perf_counter() - began) / STEPS_A_TURN)
    return sorted(seconds)[NUM_TURNS // 2]


def filled_batch(
    setting: Setting,
    size: Size,
    transformer: Transformer,
    num_rows: int,
    *,
    prompt_tokens: int,
    new_tokens: int,
    least_source_tokens: int = SOURCE_TOKENS,
) -> DecodingBatch:
    """A batch of greedy rows of one length, none of which ends by itself."""
    max_length = prompt_tokens + new_tokens
    batch = DecodingBatch(
        transformer,
        unending(size.config, max_length=max_length),
        max_rows=num_rows,
        max_source_tokens=SOURCE_TOKENS,
        max_target_tokens=max_length,
        runtime=setting.runtime,
    )
    specs = random_specs(
        size.config,
        num_rows,
        source_tokens=SOURCE_TOKENS,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        least_source_tokens=least_source_tokens,
    )
    encoded = batch.encode([spec.source_ids for spec in specs]).hidden_states
    batch.add([NewDecode(index, *new) for index, new in enumerate(zip(specs, encoded, strict=True))])
    return batch


def measure_rates(setting: Setting) -> tuple[float, float]:
    """Bytes a second, read and written, of a large copy, and operations a second of a large product in float16."""
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    left = torch.randn(MATRIX_SIZE, MATRIX_SIZE, device=setting.device).half()
    copying = median_seconds(setting, lambda: target.copy_(source))
    multiplying = median_seconds(setting, lambda: left @ left)
    return 2 * COPIED_BYTES / copying, 2 * MATRIX_SIZE**3 / multiplying


def roofline_seconds(size: Size, num_rows: int, bytes_per_second: float, operations_per_second: float) -> float:
    cost = step_cost(size.config, StepSize(num_rows, SOURCE_TOKENS, SELF_TOKENS), "bfloat16", kv_dtype=torch.float16)
    return max(cost.num_bytes / bytes_per_second, cost.num_operations / operations_per_second)
