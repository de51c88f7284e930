"""Tokens a second of the engine with many sentences waiting, beside `transformers`."""

import time

from loadtests.bench.gpu.parity import Decoder, search
from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import bundled_specs
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import read_checkpoint
from model.evaluation.transformers_peer import TransformersPeer

LEAST_OVER_TRANSFORMERS = 10.0
THEIR_BATCH = 64


def measure(setting: Setting, part: Part) -> None:
    """The peer decodes a part of the sentences, which takes it as long."""
    setting.check_time(40)
    num_theirs, num_ours, rows = (4, 4, (4,)) if setting.is_tiny else (THEIR_BATCH, 8 * 1024, (64, 256, 1024))
    table = Table("The bundled checkpoint, sentences with natural ends, greedy", ["side", "rows", "tokens/s"], [])
    part.tables.append(table)
    peer = TransformersPeer(read_checkpoint(BUNDLED_MODEL, name="bundled"), device=setting.device, dtype=setting.half)
    specs = bundled_specs(num_ours, max_new_tokens=setting.max_new_tokens)
    search(peer, specs[:4])
    began = time.perf_counter()
    theirs = search(peer, specs[:num_theirs])
    their_speed = sum(map(len, theirs)) / (time.perf_counter() - began)
    table.body.append([f"transformers, batch {num_theirs}", "", f"{their_speed:,.0f}"])
    decoder = Decoder(setting, setting.half)
    speeds = []
    for max_rows in rows:
        setting.check_time(30)
        decoder.decode(specs[: 2 * max_rows], max_rows=max_rows)  # records the steps of this number of rows
        began = time.perf_counter()
        targets = decoder.decode(specs, max_rows=max_rows)
        speeds.append(sum(map(len, targets)) / (time.perf_counter() - began))
        table.body.append(["ours", f"{max_rows:,}", f"{speeds[-1]:,.0f}"])
    ratio = max(speeds) / their_speed
    if not setting.is_tiny:
        law = f"at least {LEAST_OVER_TRANSFORMERS:g} times the tokens/s of transformers at batch {THEIR_BATCH}"
        part.check(law, holds=ratio >= LEAST_OVER_TRANSFORMERS, detail=f"{ratio:.1f} times")
