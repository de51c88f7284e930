"""What runs on a GPU mixes no tensors of the host with its own: fake tensors have a device, and refuse a mixture."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from model.checkpoint.config import ModelConfig
from model.cuda.kernels import StepRules, TorchKernels
from model.cuda.runtime import EagerRuntime
from model.cuda.step import DeviceStep
from model.search.blockwise import Choices
from model.transformer.attention import CrossWeights
from model.transformer.kv_cache import KVCache, RowMove, RowsOfSource
from model.transformer.transformer import Transformer
from tests.support.configs import MARIAN, NLLB

DEVICE = torch.device("meta")
"""Stands in for CUDA, whose tensors a CPU build of torch cannot index, not even fake ones."""
NUM_ROWS, NUM_TOKENS = 4, 12
T5 = {
    "model_type": "t5",
    "vocab_size": 100,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "tie_word_embeddings": True,
}


@pytest.fixture(params=[MARIAN, NLLB, T5], ids=["marian", "nllb", "t5"])
def transformer(request: pytest.FixtureRequest) -> Iterator[Transformer]:
    """On a device whose tensors have no values."""
    transformer = Transformer(ModelConfig.from_dict(request.param)).eval()  # its tables are computed from values
    with FakeTensorMode(), torch.inference_mode():
        for module in transformer.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                values = torch.empty(parameter.shape, device=DEVICE)
                module.register_parameter(name, nn.Parameter(values, requires_grad=False))
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype, device=DEVICE))
        yield transformer


def make_cache(transformer: Transformer) -> KVCache:
    sizes: dict[str, Any] = {"max_rows": NUM_ROWS, "max_target_tokens": NUM_TOKENS, "max_source_tokens": NUM_TOKENS}
    return KVCache(transformer.config, dtype=torch.float32, device=DEVICE, **sizes)


def on_device(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.int64, device=DEVICE)


def test_device_mixtures_are_refused() -> None:
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        on_device(2) + torch.ones(2)


def test_encoder_and_prefill_stay_on_the_device(transformer: Transformer) -> None:
    cache = make_cache(transformer)
    encoded = transformer.encode(on_device(2, NUM_TOKENS), on_device(2))
    cache.write_cross(0, transformer.cross_kv(encoded), [RowsOfSource(1, 2), RowsOfSource(0, 2)])
    view = cache.view(0, NUM_ROWS, self_tokens=3, source_tokens=NUM_TOKENS)
    states = transformer.decode(on_device(NUM_ROWS, 3), on_device(NUM_ROWS), on_device(NUM_ROWS), view)
    assert (encoded.device, states.device) == (DEVICE, DEVICE)


def test_general_step_stays_on_the_device(transformer: Transformer) -> None:
    weights = CrossWeights(-1, on_device(2))
    view = make_cache(transformer).view(0, NUM_ROWS, self_tokens=NUM_TOKENS, source_tokens=NUM_TOKENS)
    logits = transformer.decode_step(on_device(NUM_ROWS), on_device(NUM_ROWS), on_device(NUM_ROWS), view, weights)
    assert weights.weights is not None
    assert {weights.weights.device, Choices.of(logits.float()).token_ids.device} == {DEVICE}


def test_replayed_step_and_its_state_stay_on_the_device(transformer: Transformer) -> None:
    rules = StepRules.of(on_device(1), on_device(2), vocab_size=transformer.config.decoder_vocab_size, min_length=3)
    step = DeviceStep(transformer, make_cache(transformer), rules, kernels=TorchKernels(), runtime=EagerRuntime())
    step.write(1, torch.ones((3, 2), dtype=torch.int64))
    step.move([3], [0])
    read = step.start_turn(3, 2)
    assert step.logits(3).device == DEVICE
    assert {each.device.type for each in read()} == {"cpu"}


def test_rows_that_move_stay_on_the_device(transformer: Transformer) -> None:
    cache = make_cache(transformer)
    cache.move([RowMove(3, 0, 2, 5), RowMove(2, 1, 4, 3)])
    cache.reorder([0], [1], self_tokens=3)
    cache.clear([1, 2])
