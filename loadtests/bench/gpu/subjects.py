"""What is decoded: sentences for the bundled checkpoint, and random weights of published sizes, made on the device."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import nn
from transformers import M2M100Tokenizer

from loadtests.bench.source_lines import read_sources
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import Checkpoint, ModelConfig
from model.checkpoint.generation_config import GenerationConfig
from model.search.spec import DecodeSpec
from model.transformer.transformer import Transformer

INIT_STD = 0.05
FIRST_ORDINARY_ID = 4


@dataclass(frozen=True, slots=True)
class Size:
    """A published size, and the least time of a step on an H100 in float16 with 30 + 30 tokens, by rows."""

    name: str
    config: ModelConfig
    floor_milliseconds: dict[int, tuple[float, float]]


def sizes(*, is_tiny: bool) -> list[Size]:
    if is_tiny:
        tiny = _config("m2m_100", d_model=32, layers=2, ffn=64, heads=4, vocab=200)
        return [Size("tiny", tiny, {1: (1.0, 1.0), 4: (1.0, 1.0)})]
    opus = _config("marian", d_model=512, layers=6, ffn=2048, heads=8, vocab=58_101)
    nllb = _config("m2m_100", d_model=1024, layers=12, ffn=4096, heads=16, vocab=256_206)
    return [
        Size("OPUS-MT-sized", opus, {1: (0.14, 0.20), 64: (0.14, 0.20), 256: (0.14, 0.28), 1024: (0.53, 0.67)}),
        Size("NLLB-600M-sized", nllb, {1: (0.31, 0.59), 64: (0.40, 0.67), 256: (0.74, 1.0), 1024: (2.9, 3.2)}),
    ]


def _config(model_type: str, *, d_model: int, layers: int, ffn: int, heads: int, vocab: int) -> ModelConfig:
    raw: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": vocab,
        "d_model": d_model,
        "activation_function": "swish" if model_type == "marian" else "relu",
        "max_position_embeddings": 512,
        "scale_embedding": True,
        "pad_token_id": vocab - 1,
        "eos_token_id": 0,
        "decoder_start_token_id": vocab - 1,
    }
    if model_type == "marian":
        raw |= {"normalize_before": False, "decoder_vocab_size": vocab}
    for side in ("encoder", "decoder"):
        raw |= {f"{side}_layers": layers, f"{side}_attention_heads": heads, f"{side}_ffn_dim": ffn}
    return ModelConfig.from_dict(raw)


def unending(config: ModelConfig, *, max_length: int) -> Checkpoint:
    """A checkpoint without files, whose targets do not end before `max_length`, prompt included."""
    return Checkpoint(BUNDLED_MODEL, "random", config, GenerationConfig(max_length, min_length=max_length))


@torch.no_grad()
def random_transformer(config: ModelConfig, *, dtype: torch.dtype, device: torch.device) -> Transformer:
    """Random weights in their final type and place."""
    transformer = Transformer(config).eval()
    generator = torch.Generator(device).manual_seed(1)
    filled: dict[int, nn.Parameter] = {}
    for module in transformer.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in filled:
                values = torch.randn(parameter.shape, dtype=dtype, device=device, generator=generator).mul_(INIT_STD)
                filled[id(parameter)] = nn.Parameter(values, requires_grad=False)
            module.register_parameter(name, filled[id(parameter)])
    return transformer.to(dtype=dtype, device=device)  # the position tables


def random_specs(
    config: ModelConfig,
    count: int,
    *,
    source_tokens: int,
    prompt_tokens: int,
    new_tokens: int,
    least_source_tokens: int | None = None,
) -> list[DecodeSpec]:
    """Sources have from `least_source_tokens`, by default all of them, to `source_tokens` tokens."""
    generator = torch.Generator().manual_seed(2)
    shape = (count, source_tokens - 1 + prompt_tokens - 1)
    ids = torch.randint(FIRST_ORDINARY_ID, config.vocab_size - 1, shape, generator=generator).tolist()
    least = source_tokens if least_source_tokens is None else least_source_tokens
    lengths = torch.randint(least, source_tokens + 1, (count,), generator=generator).tolist()
    return [
        DecodeSpec(
            "random",
            (*row[: length - 1], config.eos_token_id),
            (config.decoder_start_token_id, *row[source_tokens - 1 :]),
            new_tokens,
            repetition_guard=False,
        )
        for row, length in zip(ids, lengths, strict=True)
    ]


def bundled_specs(count: int, *, max_new_tokens: int, beam_sizes: Iterable[int] = (1,)) -> list[DecodeSpec]:
    """Sentences for the bundled checkpoint, tokenized by `transformers`; beam sizes take turns."""
    tokenizer = M2M100Tokenizer.from_pretrained(BUNDLED_MODEL)
    lines = list(islice(cycle(read_sources()), count))
    specs = []
    for line, beam_size in zip(lines, cycle(beam_sizes), strict=False):
        tokenizer.src_lang = line.source_lang
        source_ids = tuple(tokenizer(line.text).input_ids[:100])
        prompt = (tokenizer.eos_token_id, tokenizer.get_lang_id(line.target_lang))
        specs.append(
            DecodeSpec(
                "bundled",
                source_ids,
                prompt,
                max_new_tokens,
                beam_size=beam_size,
                repetition_guard=False,
                num_uncounted_tokens=len(prompt),
            )
        )
    return specs
