"""The memory of weights, caches, other static memory and graphs, and the peak, by checkpoint and rows."""

import time

import torch

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.static_step import StaticStep
from loadtests.bench.gpu.subjects import random_transformer, sizes
from model.transformer.transformer import Transformer

ROWS = (64, 256, 1024)
NUM_STEPS = 4
MIB = 2**20


def measure(setting: Setting, part: Part) -> None:
    head = [
        "checkpoint",
        "rows",
        "weights",
        "caches",
        "state, results, logits",
        "graphs",
        "peak",
        "left",
        "s to record",
    ]
    table = Table("MiB with caches of the longest sources and targets; no peak and no graphs on a CPU", head, [])
    part.tables.append(table)
    for size in sizes(is_tiny=setting.is_tiny):
        setting.check_time(12)
        transformer = random_transformer(size.config, dtype=setting.half, device=setting.device)
        weights = mib(weight_bytes(transformer))
        for num_rows in (4,) if setting.is_tiny else ROWS:
            setting.check_time(8)
            with part.attempt(f"{size.name}, {num_rows} rows"):
                table.body.append([size.name, f"{num_rows:,}", weights, *row(setting, transformer, num_rows)])
        del transformer


@torch.inference_mode()
def row(setting: Setting, transformer: Transformer, num_rows: int) -> list[str]:
    setting.reset_memory()
    allocated = setting.allocated_bytes()
    num_tokens = transformer.config.max_positions
    static = StaticStep(setting, transformer, max_rows=num_rows, source_tokens=num_tokens, target_tokens=num_tokens)
    caches = static.cache.num_bytes
    others = setting.allocated_bytes() - allocated - caches
    setting.reset_memory()
    free = setting.free_bytes()
    began = time.perf_counter()
    static.step.record_all()
    setting.synchronize()
    seconds = time.perf_counter() - began
    setting.reset_memory()
    graphs = free - setting.free_bytes()
    static.run(NUM_STEPS, from_position=num_tokens // 2)
    figures = [mib(caches)]
    for num_bytes in (others, graphs, setting.peak_bytes(), setting.free_bytes()):
        figures.append("" if setting.device.type == "cpu" else mib(num_bytes))
    return [*figures, f"{seconds:.1f}"]


def weight_bytes(transformer: Transformer) -> int:
    """Tied parameters count once."""
    parameters = {id(each): each.nbytes for each in transformer.parameters()}
    return sum(parameters.values()) + sum(each.nbytes for each in transformer.buffers())


def mib(num_bytes: float) -> str:
    return f"{num_bytes / MIB:,.1f}"
