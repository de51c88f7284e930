"""Cached decoding equals the full forward in any batch, and its step can be exported."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.checkpoint.loading import load_unpacked
from model.transformer.kv_cache import KVCache, KVView
from model.transformer.transformer import Transformer
from tests.support.exportable import Step
from tests.support.pairs import CPU, Pair, padded, random_sources

NUM_ROWS, NUM_TOKENS = 5, 12
TOLERANCE: dict[str, Any] = {"rtol": 0, "atol": 1e-4}


class Decoding:
    """Sources, random targets, their logits by the full forward, and a cache with the cross part filled."""

    def __init__(self, pair: Pair) -> None:
        self.model = pair.ours
        self.input_ids, self.lengths = padded(random_sources(pair, NUM_ROWS, seed=3), pair)
        config = pair.checkpoint.config
        generator = torch.Generator().manual_seed(4)
        self.targets = torch.randint(3, config.decoder_vocab_size - 1, (NUM_ROWS, NUM_TOKENS), generator=generator)
        self.cache = KVCache(
            config, max_rows=8, max_target_tokens=16, max_source_tokens=40, dtype=torch.float32, device=CPU
        )
        with torch.inference_mode():
            self.logits = self.model(self.input_ids, self.lengths, self.targets)
            self.cache.write_cross(0, self.model.cross_kv(self.model.encode(self.input_ids, self.lengths)))

    def view(self, self_tokens: int) -> KVView:
        return self.cache.view(0, NUM_ROWS, self_tokens=self_tokens, source_tokens=self.input_ids.shape[1])

    @torch.inference_mode()
    def prefill(self, start: int, stop: int) -> Tensor:
        """Logits of the targets' tokens start..stop-1, decoded in one call."""
        positions = torch.full((NUM_ROWS,), start)
        return self.model.project(
            self.model.decode(self.targets[:, start:stop], positions, self.lengths, self.view(stop))
        )


@pytest.fixture
def decoding(pair: Pair) -> Decoding:
    return Decoding(pair)


def test_cached_steps_equal_the_full_forward(decoding: Decoding) -> None:
    for position in range(NUM_TOKENS):
        logits = decoding.prefill(position, position + 1)
        torch.testing.assert_close(logits[:, 0], decoding.logits[:, position], **TOLERANCE)


@pytest.mark.parametrize("split", [1, 5, NUM_TOKENS - 1])
def test_prefill_of_many_tokens_equals_the_full_forward(decoding: Decoding, split: int) -> None:
    logits = torch.cat([decoding.prefill(0, split), decoding.prefill(split, NUM_TOKENS)], dim=1)
    torch.testing.assert_close(logits, decoding.logits, **TOLERANCE)


def test_rows_at_different_positions_decode_in_one_step(decoding: Decoding) -> None:
    decoding.prefill(0, NUM_TOKENS)
    positions = torch.tensor([0, 11, 4, 7, 2])
    rows = torch.arange(NUM_ROWS)
    with torch.inference_mode():
        logits = decoding.model.decode_step(
            decoding.targets[rows, positions], positions, decoding.lengths, decoding.view(16)
        )
    torch.testing.assert_close(logits, decoding.logits[rows, positions], **TOLERANCE)


def test_padded_batch_equals_each_source_alone(decoding: Decoding) -> None:
    for row, length in enumerate(decoding.lengths.tolist()):
        with torch.inference_mode():
            alone = decoding.model(decoding.input_ids[[row], :length], decoding.lengths[[row]], decoding.targets[[row]])
        torch.testing.assert_close(alone[0], decoding.logits[row], **TOLERANCE)


def test_target_logits_do_not_depend_on_later_tokens(decoding: Decoding) -> None:
    changed = decoding.targets.clone()
    changed[:, 6:] = 5
    with torch.inference_mode():
        logits = decoding.model(decoding.input_ids, decoding.lengths, changed)
    assert torch.equal(logits[:, :6], decoding.logits[:, :6])
    assert not torch.equal(logits[:, 6:], decoding.logits[:, 6:])


def test_decode_step_exports_with_static_shapes_and_writes_the_cache(decoding: Decoding) -> None:
    view = decoding.view(NUM_TOKENS)
    positions = torch.tensor([0, 3, 1, 2, 0])
    ids = decoding.targets[:, 0]
    with torch.no_grad():
        arguments = (ids, positions, decoding.lengths, view.self_kv.clone(), view.cross_kv.clone())
        program = torch.export.export(Step(decoding.model), arguments).module()
        expected = decoding.model.decode_step(ids, positions, decoding.lengths, view)
        torch.testing.assert_close(program(*arguments), expected)
    assert torch.equal(arguments[3], view.self_kv)


def test_gradients_reach_every_parameter_through_the_full_forward(decoding: Decoding, pair: Pair) -> None:
    model = load_unpacked(pair.checkpoint, dtype=torch.float32, device=CPU).requires_grad_(True)
    model(decoding.input_ids, decoding.lengths, decoding.targets).logsumexp(dim=-1).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_no_weight_is_drawn_that_a_checkpoint_fills(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kaiming_uniform_", "normal_", "uniform_"):
        monkeypatch.setattr(nn.init, name, pytest.fail)
    transformer = Transformer(pair.checkpoint.config)
    assert all(parameter.is_meta for parameter in transformer.parameters())
