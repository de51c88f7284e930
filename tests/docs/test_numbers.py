"""Figures stand in RESULTS.md, or are computed from a checkpoint's configuration; the README stays short."""

import re

import pytest
import torch

from loadtests.bench.decode_steps import StepSize, step_cost
from model.checkpoint.config import ModelConfig
from model.decoding.batch import MAX_AUTO_ROWS
from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer
from service.app import MAX_SOURCE_TOKENS
from service.engine.runner import AUTO_KV_BYTES
from service.settings import Settings
from tests.support.configs import MARIAN, NLLB
from tests.support.markdown import PAGES, README, Page, page

MAX_README_WORDS = 900
MARK = "from RESULTS.md"
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]*\w)")
RESULTS = page("loadtests/RESULTS.md")
BYTES_A_SECOND = 45.3e9
"""The bandwidth of one core, from RESULTS.md."""
MIB, GIB = 2**20, 2**30
NLLB_MAX_LENGTH = 200
"""The maximum length of its generation, prompt included."""


def test_the_readme_is_short() -> None:
    assert len(README.text.split()) <= MAX_README_WORDS


@pytest.mark.parametrize("each", [each for each in PAGES if MARK in each.text], ids=str)
def test_a_measured_figure_stands_in_the_results(each: Page) -> None:
    measured = set(NUMBER.findall(RESULTS.text))
    cells = [cell for line in each.table_after(MARK).splitlines()[2:] for cell in line.split("|")[2:]]
    figures = {figure for cell in cells for figure in NUMBER.findall(cell)}
    assert figures
    assert figures - measured == set()


def sized(raw: dict[str, object], *, d_model: int, layers: int, ffn: int, heads: int, vocab: int) -> ModelConfig:
    """A model with encoder and decoder of one size."""
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", layers), ("attention_heads", heads), ("ffn_dim", ffn))
    }
    vocabulary: dict[str, object] = {name: vocab for name in ("vocab_size", "decoder_vocab_size") if name in raw}
    special = {"pad_token_id": vocab - 1, "decoder_start_token_id": vocab - 1} if raw is MARIAN else {}
    return ModelConfig.from_dict({**raw, **sides, **vocabulary, **special, "d_model": d_model})


CONFIGS = [
    sized(MARIAN, d_model=512, layers=6, ffn=2048, heads=8, vocab=58_101),
    sized(NLLB, d_model=1024, layers=12, ffn=4096, heads=16, vocab=256_206),
    sized(NLLB, d_model=1024, layers=24, ffn=8192, heads=16, vocab=256_206),
    sized(NLLB, d_model=2048, layers=24, ffn=8192, heads=16, vocab=256_206),
]


def test_the_sizes_of_checkpoints_are_those_of_their_configurations() -> None:
    columns = [_column(config) for config in CONFIGS]
    expected = [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]]
    lines = page("docs/checkpoints.md").text.splitlines()
    start = lines.index(expected[0])
    assert lines[start : start + len(expected)] == expected


def _column(config: ModelConfig) -> dict[str, str]:
    transformer = Transformer(config)
    num_embeddings = config.vocab_size * config.d_model
    row_bytes = KVCache.bytes_per_row(
        config,
        max_source_tokens=min(config.max_positions, MAX_SOURCE_TOKENS),
        max_target_tokens=Settings().max_new_tokens + 1 if config.model_type == "marian" else NLLB_MAX_LENGTH,
        dtype=torch.bfloat16,
    )
    num_rows = min(MAX_AUTO_ROWS, AUTO_KV_BYTES // row_bytes)
    step = step_cost(
        config, StepSize(num_rows=1, num_source_tokens=0, num_self_tokens=0), "int8", kv_dtype=torch.bfloat16
    )
    return {
        "layers (encoder + decoder)": f"{config.encoder_layers} + {config.decoder_layers}",
        "D, feed-forward": f"{config.d_model:,}, {config.decoder_ffn:,}",
        "vocabulary": f"{config.decoder_vocab_size:,}",
        "parameters, millions": f"{transformer.num_parameters / 1e6:,.0f}",
        "weights in int8, GiB, shared by all workers": f"{(transformer.num_parameters + 4 * num_embeddings) / GIB:.1f}",
        "weights in float32, GiB, shared by all workers": (
            f"{4 * (transformer.num_parameters + num_embeddings) / GIB:.1f}"
        ),
        "KV caches of a row, MiB": f"{row_bytes / MIB:.0f}",
        "rows that `KAKEHASHI_MAX_ROWS=auto` chooses": str(num_rows),
        "KV caches of a worker, MiB": f"{num_rows * row_bytes / MIB:,.0f}",
        "read for one step of one row, int8, MB": f"{step.weight_bytes / 1e6:,.0f}",
        "least time for that, ms": f"{1000 * step.weight_bytes / BYTES_A_SECOND:.1f}",
    }
