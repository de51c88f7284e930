"""The batch owns its rows: decodes enter all together or not at all, and rows are free when nobody uses them."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from model.decoding.batch import MAX_AUTO_ROWS, DecodingBatch, NewDecode
from model.decoding.generate import generate
from model.search.spec import DecodeSpec
from model.transformer.compute_types import ComputeType
from model.transformer.kv_cache import KVCache
from tests.support.mixed_batch import add
from tests.support.pairs import Pair, make_spec, prompts_of, random_sources

MAX_ROWS, MAX_SOURCE, MAX_TARGET = 8, 40, 60
INT8 = pytest.param("int8", marks=pytest.mark.needs("kernels"))
BFLOAT16 = pytest.param("bfloat16", marks=pytest.mark.needs("bfloat16"))


def make_batch(pair: Pair) -> DecodingBatch:
    sizes: dict[str, Any] = {"max_rows": MAX_ROWS, "max_source_tokens": MAX_SOURCE, "max_target_tokens": MAX_TARGET}
    return DecodingBatch(pair.ours, pair.checkpoint, **sizes)


def specs_of(pair: Pair, count: int, *, seed: int = 0, max_new_tokens: int = 12, **options: object) -> list[DecodeSpec]:
    (prompt,) = prompts_of(pair, 1)
    return [make_spec(source, prompt, max_new_tokens, **options) for source in random_sources(pair, count, seed=seed)]


def run(batch: DecodingBatch) -> dict[int, tuple[int, ...]]:
    """The best targets of the running decodes by id."""
    finished: dict[int, tuple[int, ...]] = {}
    while batch.num_rows:
        ended = [progress for progress in batch.step() if progress.hypotheses]
        finished |= {progress.decode_id: progress.hypotheses[0].token_ids for progress in ended}
    return finished


def alone(pair: Pair, spec: DecodeSpec) -> tuple[int, ...]:
    ((best, *_),) = generate(pair.ours, pair.checkpoint, [spec])
    return best.token_ids


def new_decodes(batch: DecodingBatch, specs: Sequence[DecodeSpec]) -> list[NewDecode]:
    encoded = batch.encode([spec.source_ids for spec in specs]).hidden_states
    return [NewDecode(index, *new) for index, new in enumerate(zip(specs, encoded, strict=True))]


def test_encoded_sources_come_in_the_order_given_as_if_encoded_alone(m2m100: Pair) -> None:
    batch, sources = make_batch(m2m100), random_sources(m2m100, 30, seed=1, max_tokens=39)
    encoded = batch.encode(sources)
    for source, hidden_states in zip(sources, encoded.hidden_states, strict=True):
        (expected,) = batch.encode([source]).hidden_states
        torch.testing.assert_close(hidden_states, expected, rtol=0, atol=1e-5)
        assert hidden_states.untyped_storage().nbytes() == hidden_states.nbytes
    assert 0 < encoded.num_padding_tokens <= sum(len(source) / 4 + 4 for source in sources)


def test_padding_of_very_different_lengths_stays_within_a_quarter(m2m100: Pair) -> None:
    encoded = make_batch(m2m100).encode([[10, 5], [10] * 38 + [5], [11, 5], [11] * 39 + [5]])
    assert encoded.num_padding_tokens == 1


@pytest.mark.needs("kernels")
def test_own_kernels_encode_no_padding(m2m100: Pair) -> None:
    encoded = make_batch(m2m100.computing_in("int8")).encode([[10] * length for length in range(10, 14)])
    assert [len(hidden_states) for hidden_states in encoded.hidden_states] == [10, 11, 12, 13]
    assert encoded.num_padding_tokens == 0


@pytest.mark.parametrize("source", [[], [10, 10**6], [-1], [10] * 41])
def test_source_that_cannot_be_encoded_is_refused(m2m100: Pair, source: list[int]) -> None:
    with pytest.raises(ValueError, match="source_ids"):
        make_batch(m2m100).encode([[10, 5], source])


@pytest.mark.parametrize("compute_type", ["float32", BFLOAT16, INT8])
def test_encoder_output_bytes_become_the_same_tensor(m2m100: Pair, compute_type: ComputeType) -> None:
    batch = make_batch(m2m100.computing_in(compute_type))
    (hidden_states,) = batch.encode([[10, 11, 5]]).hidden_states
    (data,) = batch.fetch_encoder_outputs([hidden_states])()
    assert str(hidden_states.dtype) == f"torch.{batch.encoder_dtype}"
    assert len(data) == 3 * m2m100.checkpoint.config.d_model * hidden_states.itemsize
    assert torch.equal(batch.encoder_output_tensor(data, 3), hidden_states)


@pytest.mark.parametrize("surplus", [-1, 1])
def test_encoder_output_of_another_size_is_refused(m2m100: Pair, surplus: int) -> None:
    batch = make_batch(m2m100)
    num_bytes = 3 * m2m100.checkpoint.config.d_model * 4
    with pytest.raises(ValueError, match=f"has {num_bytes + surplus} bytes; 3 tokens have {num_bytes}"):
        batch.encoder_output_tensor(bytes(num_bytes + surplus), 3)


def test_rows_of_finished_decodes_are_free_when_the_step_returns(m2m100: Pair) -> None:
    batch = make_batch(m2m100)
    one_step, two_steps = (specs_of(m2m100, 1, max_new_tokens=count, beam_size=3)[0] for count in (1, 2))
    add(batch, {0: one_step, 1: two_steps})
    assert (batch.num_rows, batch.num_free_rows, batch.max_rows) == (6, 2, MAX_ROWS)
    assert [bool(progress.hypotheses) for progress in batch.step()] == [True, False]
    assert (batch.num_rows, batch.num_free_rows) == (3, 5)
    assert [progress.decode_id for progress in batch.step()] == [1]
    assert batch.num_rows == 0
    assert batch.step() == []


def test_removed_decodes_leave_the_others_as_they_were(pair: Pair) -> None:
    specs = [*specs_of(pair, 3), *specs_of(pair, 1, beam_size=3), *specs_of(pair, 2, seed=1)]
    batch = make_batch(pair)
    add(batch, dict(enumerate(specs)))
    batch.step()
    batch.remove([0, 3, 99, 0])
    assert batch.num_rows == 4
    assert run(batch) == {index: alone(pair, specs[index]) for index in (1, 2, 4, 5)}


def test_removing_many_decodes_moves_no_row_twice(m2m100: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(m2m100)
    add(batch, dict(enumerate(specs_of(m2m100, MAX_ROWS))))
    move = Mock(wraps=batch._cache.move)
    monkeypatch.setattr(batch._cache, "move", move)
    batch.remove([0, 2, 4, 6, 7])
    ((moves,),) = (call.args for call in move.call_args_list)
    assert len({source for source, *_ in moves}) == len({target for _, target, *_ in moves}) == len(moves) == 2


def test_everything_is_free_again_after_a_failed_step(m2m100: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(m2m100)
    specs = [*specs_of(m2m100, 3, beam_size=2), *specs_of(m2m100, 2)]
    add(batch, dict(enumerate(specs)))
    batch.step()
    with monkeypatch.context() as patch:
        patch.setattr(KVCache, "reorder", Mock(side_effect=RuntimeError("broken")))
        with pytest.raises(RuntimeError, match="broken"):
            batch.step()
    batch.remove(range(5))
    assert batch.num_free_rows == MAX_ROWS
    add(batch, dict(enumerate(specs)))
    assert run(batch) == {index: alone(m2m100, spec) for index, spec in enumerate(specs)}


REFUSED: dict[str, dict[str, Any]] = {
    "9 rows are needed, 6 are free": {"beam_size": 8},
    "source_ids has 41 tokens, more than 40": {"source_ids": (10,) * 41},
    "the target may have 62 tokens; the limit is 60": {"max_new_tokens": 60},
    "decoder_prompt has 200 tokens, max_length is 120": {"decoder_prompt": (5,) * 200},
    "decoder_prompt has a token outside the vocabulary": {"decoder_prompt": (5, 10**6)},
    "encoder_hidden_states is": {"source_ids": (10, 10, 10)},
}


@pytest.mark.parametrize("message", REFUSED)
def test_add_refuses_all_decodes_if_one_cannot_be_run(m2m100: Pair, message: str) -> None:
    pair = m2m100.ruled(max_length=120)
    batch = make_batch(pair)
    running, good = specs_of(pair, 2, seed=3)
    add(batch, {7: running, 8: running})
    bad = DecodeSpec(**{**_fields(good), **REFUSED[message]})
    (hidden_states,) = batch.encode([good.source_ids]).hidden_states
    with pytest.raises(ValueError, match=message):
        batch.add([NewDecode(0, good, hidden_states), NewDecode(1, bad, hidden_states)])
    assert batch.num_rows == 2
    assert run(batch) == dict.fromkeys((7, 8), alone(pair, running))


def _fields(spec: DecodeSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in DecodeSpec.__slots__}


@pytest.mark.parametrize("ids", [(0, 0), (1, 7)])
def test_add_refuses_an_id_in_use(m2m100: Pair, ids: tuple[int, int]) -> None:
    batch = make_batch(m2m100)
    specs = specs_of(m2m100, 2)
    add(batch, {7: specs[0]})
    decodes = [new._replace(decode_id=decode_id) for new, decode_id in zip(new_decodes(batch, specs), ids, strict=True)]
    with pytest.raises(ValueError, match="id is in use"):
        batch.add(decodes)
    assert batch.num_rows == 1


def test_add_that_fails_for_another_reason_adds_nothing(m2m100: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(m2m100)
    decodes = new_decodes(batch, specs_of(m2m100, 3))
    with monkeypatch.context() as patch:
        patch.setattr(m2m100.ours, "prefill", Mock(side_effect=RuntimeError("out of memory")))
        with pytest.raises(RuntimeError, match="out of memory"):
            batch.add(decodes)
    assert batch.num_rows == 0
    batch.add(decodes)
    assert batch.num_rows == 3


def test_source_of_several_decodes_is_projected_once(m2m100: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(m2m100)
    spec, other = specs_of(m2m100, 2)
    specs = [spec, other, make_spec(spec.source_ids, [*spec.decoder_prompt[:-1], 30], 12), spec]
    seen: list[int] = []
    cross_kv = m2m100.ours.cross_kv
    monkeypatch.setattr(m2m100.ours, "cross_kv", lambda states: (seen.append(len(states)), cross_kv(states))[1])
    add(batch, dict(enumerate(specs)))
    assert sum(seen) == 2
    assert run(batch) == {index: alone(m2m100, spec) for index, spec in enumerate(specs)}


@pytest.mark.parametrize("compute_type", ["float32", INT8])
def test_forced_prefixes_of_any_length_decode_as_if_their_tokens_had_been_chosen(
    m2m100: Pair, compute_type: ComputeType
) -> None:
    m2m100 = m2m100.computing_in(compute_type)
    prefixes: list[tuple[int, ...]] = []
    rests: list[tuple[int, ...]] = []
    forced: list[DecodeSpec] = []
    specs = specs_of(m2m100, 6, max_new_tokens=30, repetition_guard=False)
    for spec, longest in zip(specs, [0, 1, 2, 5, 11, 25], strict=True):
        target = alone(m2m100, spec)
        count = min(longest, len(target) - 1)
        prefixes.append(target[:count])
        rests.append(target[count:])
        prompt = (*spec.decoder_prompt, *target[:count])
        forced.append(make_spec(spec.source_ids, prompt, 30 - count, repetition_guard=False))
    assert max(map(len, prefixes)) > 10
    batch = make_batch(m2m100)
    add(batch, dict(enumerate(forced)))
    assert run(batch) == dict(enumerate(rests))


def test_auto_rows_are_as_many_as_their_caches_have_room_for(m2m100: Pair) -> None:
    sizes: dict[str, Any] = {"max_source_tokens": 10, "max_target_tokens": 20}
    per_row = KVCache.bytes_per_row(m2m100.checkpoint.config, dtype=torch.float32, **sizes)
    rows = [
        DecodingBatch.choose_max_rows(m2m100.ours, kv_bytes=kv_bytes, **sizes)
        for kv_bytes in (0, per_row, 5 * per_row + 1, 10**15)
    ]
    assert rows == [1, 1, 5, MAX_AUTO_ROWS]
    batch = DecodingBatch(m2m100.ours, m2m100.checkpoint, max_rows=5, **sizes)
    assert batch.kv_bytes == 5 * per_row
