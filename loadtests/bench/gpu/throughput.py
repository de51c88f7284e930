"""Tokens a second of the engine with many sentences waiting, beside CTranslate2 and `transformers`."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.gpu.decoder import Decoder, Targets, search
from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import bundled_specs
from loadtests.bench.sides import Shape
from loadtests.bench.work import Work
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import read_checkpoint
from model.decoding.batch import DecodingBatch
from model.decoding.generate import decode_all
from model.evaluation.transformers_peer import TransformersPeer
from model.search.spec import DecodeSpec

LEAST_OVER_CTRANSLATE2 = 3.0
LEAST_OVER_TRANSFORMERS = 10.0
NUM_SENTENCES = 8 * 1024
TRANSFORMERS_BATCH = 64
NUM_TRANSFORMERS_BATCHES = 8
"""`transformers` takes longer than all others together, so it has a part of the sentences."""
OUR_ROWS = (64, 256, 1024)
CTRANSLATE2_BATCHES = (256, 1024)


def measure(setting: Setting, part: Part) -> None:
    setting.check_time(40)
    specs = bundled_specs(6 if setting.is_tiny else NUM_SENTENCES, max_new_tokens=setting.max_new_tokens)
    head = ["side", "rows", "tokens/s"]
    table = Table(f"The bundled checkpoint, {len(specs):,} sentences with natural ends, greedy", head, [])
    part.tables.append(table)
    ours = max(our_speeds(setting, specs, table))
    transformers = ctranslate2 = None
    with part.attempt("transformers"):
        transformers = transformers_speed(setting, specs, table)
    with part.attempt("CTranslate2"):  # its libraries may not load
        reason = missing_ctranslate2(setting)
        if reason:
            part.notes.append(f"CTranslate2 was not measured: {reason}.")
        else:
            ctranslate2 = ctranslate2_speed(setting, specs, table)
    if setting.is_tiny:
        return
    if ctranslate2 is not None:
        law = f"at least {LEAST_OVER_CTRANSLATE2:g} times the tokens/s of CTranslate2, saturated"
        part.check(law, holds=ours >= LEAST_OVER_CTRANSLATE2 * ctranslate2, detail=f"{ours / ctranslate2:.1f} times")
    if transformers is not None:
        law = f"at least {LEAST_OVER_TRANSFORMERS:g} times the tokens/s of transformers at batch {TRANSFORMERS_BATCH}"
        holds = ours >= LEAST_OVER_TRANSFORMERS * transformers
        part.check(law, holds=holds, detail=f"{ours / transformers:.1f} times")


def speed(table: Table, side: str, rows: int, translate: Callable[[], Targets]) -> float:
    """Tokens a second, noted in the table."""
    began = time.perf_counter()
    targets = translate()
    tokens_per_second = sum(map(len, targets)) / (time.perf_counter() - began)
    table.body.append([side, f"{rows:,}", f"{tokens_per_second:,.0f}"])
    return tokens_per_second


def our_speeds(setting: Setting, specs: Sequence[DecodeSpec], table: Table) -> list[float]:
    decoder = Decoder(setting, setting.half)
    speeds = []
    for max_rows in (4,) if setting.is_tiny else OUR_ROWS:
        setting.check_time(20)
        batch = decoder.batch(specs, max_rows=max_rows)
        decode_all(batch, specs[: 2 * max_rows])

        speeds.append(speed(table, "ours", max_rows, partial(best_targets, batch, specs)))
    return speeds


def best_targets(batch: DecodingBatch, specs: Sequence[DecodeSpec]) -> Targets:
    return [list(hypotheses[0].token_ids) for hypotheses in decode_all(batch, specs)]


def transformers_speed(setting: Setting, specs: Sequence[DecodeSpec], table: Table) -> float:
    setting.check_time(20)
    peer = TransformersPeer(read_checkpoint(BUNDLED_MODEL, name="bundled"), device=setting.device, dtype=setting.half)
    search(peer, specs[:4])
    some = specs[: NUM_TRANSFORMERS_BATCHES * TRANSFORMERS_BATCH]
    translate = partial(search, peer, some, batch_size=TRANSFORMERS_BATCH)
    return speed(table, "transformers", TRANSFORMERS_BATCH, translate)


def missing_ctranslate2(setting: Setting) -> str:
    """Why CTranslate2 cannot be measured; empty if it can."""
    if find_spec("ctranslate2") is None:
        return "the package ctranslate2 is not installed"
    import ctranslate2  # only here: a machine may lack it

    if setting.device.type == "cuda" and not ctranslate2.get_cuda_device_count():
        return "it finds no GPU"
    return ""


def ctranslate2_speed(setting: Setting, specs: Sequence[DecodeSpec], table: Table) -> float:
    """The best of several batch sizes."""
    from loadtests.bench.conversion import convert
    from loadtests.bench.peers import CTranslate2Backend

    compute_type = str(setting.half).removeprefix("torch.")
    with TemporaryDirectory() as directory:
        backend = CTranslate2Backend(
            convert(BUNDLED_MODEL, Path(directory) / "converted", compute_type=compute_type),
            compute_type=compute_type,
            shape=Shape(1, 1),
            device=setting.device.type,
            device_index=setting.device.index or 0,
        )
        speeds = []
        for batch_size in (4,) if setting.is_tiny else CTRANSLATE2_BATCHES:
            setting.check_time(15)
            work = as_work(specs, batch_size=batch_size, max_new_tokens=setting.max_new_tokens)
            backend.translate(work.part(0, 2 * batch_size))
            speeds.append(speed(table, "CTranslate2", batch_size, partial(backend.translate, work)))
    return max(speeds)


def as_work(specs: Sequence[DecodeSpec], *, batch_size: int, max_new_tokens: int) -> Work:
    sources, prompts = (tuple(each) for each in zip(*((s.source_ids, s.decoder_prompt) for s in specs), strict=True))
    return Work(sources, prompts, beam_size=1, batch_size=batch_size, max_new_tokens=max_new_tokens)
