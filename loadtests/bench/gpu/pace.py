"""A running stream beside admissions, and the waits of the host within turns."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.steps import SOURCE_TOKENS, filled_batch
from loadtests.bench.gpu.subjects import random_specs, random_transformer, sizes
from model.decoding.batch import DecodingBatch, NewDecode
from model.search.spec import DecodeSpec

NUM_TURNS = 24
STEPS_A_TURN = 4
MOST_SLOWER = 2.0
"""Of a turn with an admission over one without."""


def measure(setting: Setting, part: Part) -> None:
    size = sizes(is_tiny=setting.is_tiny)[0]
    setting.check_time(20)
    num_rows, num_new = (4, 1) if setting.is_tiny else (256, 8)
    transformer = random_transformer(size.config, dtype=setting.half, device=setting.device)
    new_tokens = (2 * NUM_TURNS + 4) * STEPS_A_TURN
    batch = filled_batch(setting, size, transformer, num_rows, prompt_tokens=2, new_tokens=new_tokens)
    specs = random_specs(
        size.config, num_new * NUM_TURNS, source_tokens=SOURCE_TOKENS, prompt_tokens=2, new_tokens=new_tokens
    )
    batch.remove(range(num_new))
    batch.step(max_tokens=STEPS_A_TURN)
    (cached,) = batch.fetch_encoder_outputs(batch.encode([specs[0].source_ids]).hidden_states)()
    steady, admitting = [], []
    with no_waits(part, setting):
        for turn in range(NUM_TURNS):
            first_id = 10_000 + turn * num_new
            entering = specs[turn * num_new :][:num_new]
            admitting.append(take_turn(batch, entering, first_id=first_id, cached=cached))
            batch.remove(range(first_id, first_id + num_new))
            steady.append(take_turn(batch, [], first_id=0))
    table = Table(f"{size.name}, {num_rows} rows, {STEPS_A_TURN} steps a turn", ["", "median ms", "longest ms"], [])
    for name, seconds in (("a turn", steady), (f"a turn that admits {num_new}", admitting)):
        table.body.append([name, f"{1000 * middle(seconds):.2f}", f"{1000 * max(seconds):.2f}"])
    part.tables.append(table)
    ratio = middle(admitting) / middle(steady)
    if not setting.is_tiny:
        part.check(
            "running rows keep their pace while others are admitted",
            holds=ratio <= MOST_SLOWER,
            detail=f"{ratio:.2f} times",
        )


def take_turn(batch: DecodingBatch, entering: list[DecodeSpec], *, first_id: int, cached: bytes = b"") -> float:
    began = time.perf_counter()
    if entering:
        encoded = batch.encode([spec.source_ids for spec in entering]).hidden_states
        batch.fetch_encoder_outputs(encoded)
        if cached:  # the first one comes from the encoder cache
            encoded[0] = batch.encoder_output_tensor(cached, len(entering[0].source_ids))
        pairs = zip(entering, encoded, strict=True)
        batch.add([NewDecode(first_id + index, *new) for index, new in enumerate(pairs)])
    batch.step(max_tokens=STEPS_A_TURN)
    return time.perf_counter() - began


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


@contextmanager
def no_waits(part: Part, setting: Setting) -> Iterator[None]:
    """Check that the host waits for nothing but the turn before: torch raises an error at any other wait."""
    law = "no host sync inside a turn, admissions included"
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
