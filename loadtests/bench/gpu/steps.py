"""The time of a greedy step by rows, beside its floor and what the device was measured to do."""

import time

import torch

from loadtests.bench.decode_steps import StepSize, step_cost
from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import Size, random_specs, random_transformer, sizes, unending
from model.decoding.batch import DecodingBatch, NewDecode
from model.transformer.transformer import Transformer

SOURCE_TOKENS, SELF_TOKENS = 30, 30
"""In the middle of the measurement."""
STEPS_A_TURN, NUM_TURNS, NUM_WARMING_TURNS = 4, 5, 1
MATRIX_SIZE = 4096
COPIED_BYTES = 1 << 30
MOST_OVER_FLOOR = 2.0


def measure(setting: Setting, part: Part) -> None:
    rates = None if setting.is_tiny else measure_rates(setting)
    if rates is not None:
        body = [["copies, bytes read and written", f"{rates[0] / 1e12:.2f} TB/s"]]
        body.append([f"multiplies matrices of {MATRIX_SIZE} in float16", f"{rates[1] / 1e12:.0f} TFLOP/s"])
        part.tables.append(Table("The device", ["", "measured"], body))
    head = ["checkpoint", "rows", "ms a step", "least ms on an H100", "over its upper end", "ms by measured rates"]
    table = Table(f"float16, {SOURCE_TOKENS} + {SELF_TOKENS} tokens", [*head, "tokens/s", "GiB allocated"], [])
    part.tables.append(table)
    for size in sizes(is_tiny=setting.is_tiny):
        setting.check_time(25)
        transformer = random_transformer(size.config, dtype=setting.half, device=setting.device)
        for num_rows, (least, most) in size.floor_milliseconds.items():
            setting.check_time(10)
            milliseconds = 1000 * step_seconds(setting, size, transformer, num_rows)
            by_rates = "" if rates is None else f"{1000 * roofline_seconds(size, num_rows, *rates):.2f}"
            table.body.append(
                [
                    size.name,
                    f"{num_rows:,}",
                    f"{milliseconds:.3f}",
                    f"{least:.2f} to {most:.2f}",
                    f"{milliseconds / most:.2f}",
                    by_rates,
                    f"{1000 * num_rows / milliseconds:,.0f}",
                    f"{allocated_gib(setting):.1f}",
                ]
            )
            if num_rows >= 64:
                law = f"{size.name}, {num_rows:,} rows: a step takes at most {MOST_OVER_FLOOR:g} times its floor"
                part.check(law, holds=milliseconds <= MOST_OVER_FLOOR * most, detail=f"{milliseconds / most:.2f} times")


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
    setting: Setting, size: Size, transformer: Transformer, num_rows: int, *, prompt_tokens: int, new_tokens: int
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
        size.config, num_rows, source_tokens=SOURCE_TOKENS, prompt_tokens=prompt_tokens, new_tokens=new_tokens
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


def median_seconds(setting: Setting, run: object, *, num_runs: int = 9) -> float:
    assert callable(run)
    seconds = []
    for _ in range(num_runs):
        setting.synchronize()
        began = time.perf_counter()
        run()
        setting.synchronize()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[num_runs // 2]


def roofline_seconds(size: Size, num_rows: int, bytes_per_second: float, operations_per_second: float) -> float:
    cost = step_cost(size.config, StepSize(num_rows, SOURCE_TOKENS, SELF_TOKENS), "bfloat16", kv_dtype=torch.float16)
    return max(cost.num_bytes / bytes_per_second, cost.num_operations / operations_per_second)


def allocated_gib(setting: Setting) -> float:
    return 0.0 if setting.device.type == "cpu" else torch.cuda.max_memory_allocated(setting.device) / 2**30
