"""In int8 our own kernels equal the layers on the same weights, and a row's result is the same in any batch.

Both sum in different orders, which differs by a few roundings of float32. Seldom, that tips a number over the middle
between two bytes, or between two bfloat16 of the cache: the row then differs by a step of these coarser grids.
"""

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from model.decoding import batch as decoding_batch
from model.decoding import generate
from model.decoding.batch import DecodingBatch
from model.kernels.stacks import DecoderKernel
from model.search.results import Hypothesis
from model.transformer.attention import CrossWeights
from model.transformer.kv_cache import KVCache, KVView, LayerSelfKV
from model.transformer.transformer import Transformer
from tests.support.checkpoint_families import random_bart, random_mbart, random_pegasus, random_t5
from tests.support.checkpoints import BUNDLED, Shape, random_m2m100, random_marian
from tests.support.mixed_batch import MAX_NEW, RULES, add, random_spec, run_batch
from tests.support.pairs import CPU, Pair, load_pair, make_spec, padded, prompts_of, random_sources

pytestmark = pytest.mark.needs("kernels")

CHECKPOINTS: dict[str, tuple[Callable[..., Path], Any]] = {
    "m2m100": (random_m2m100, Shape()),
    "m2m100-odd": (
        random_m2m100,
        Shape(d_model=21, encoder_heads=3, decoder_heads=7, encoder_ffn=50, decoder_ffn=34, decoder_layers=3),
    ),
    "marian-silu": (random_marian, Shape(activation="silu")),
    "bart-gelu": (random_bart, Shape(activation="gelu", encoder_layers=1)),
    "mbart-gelu_tanh": (random_mbart, Shape(activation="gelu_new")),
    "pegasus": (random_pegasus, Shape(d_model=48, encoder_heads=8, decoder_layers=1)),
    "t5-odd": (random_t5, Shape(d_model=21, decoder_heads=3, head_dim=9, decoder_ffn=34, num_buckets=7)),
    "t5-gated-silu": (random_t5, Shape(gated=True, activation="silu", head_dim=70)),
    "mt5": (partial(random_t5, multilingual=True), Shape(gated=True, tied=False, activation="gelu")),
}
NUM_SOURCES, NUM_TOKENS = 14, 12
ENCODER_ROUNDINGS = 2**-9
"""A step of float16 at 2 to 4, which few states exceed: encoder outputs are float16."""
ROUNDINGS = 5e-6
"""A few of float32, on states of about 1, where no number has tipped over."""
SHARE = 0.3
"""Of rows that differ by roundings only. The layers are torch's, with code of its own for each kind of CPU: with that
for AVX-512, AVX2 and neither, 0.51 to 0.55 were measured in the bundled encoder, and otherwise 0.97 to 1."""
STEP = 0.1
"""The tolerance of tipped roundings, relative to the row's largest number or 1: a byte is 1/127, a bfloat16 1/128."""
BFLOAT16_CACHES = 0.1
"""The effect of rounding K and V to 8 bits on the states, relative to their norm: 0.037 to 0.039 was measured."""


class Int8:
    """One checkpoint in int8 twice, by the kernels and by the layers, and what both are given."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair.computing_in("int8")
        self.kernels = self.pair.ours
        self.layers = pair.computing_in("int8").ours
        self.layers.encoder_kernel = self.layers.decoder_kernel = None
        self.input_ids, self.lengths = padded(random_sources(pair, NUM_SOURCES, seed=3), pair)
        self.is_token = torch.arange(self.input_ids.shape[1]) < self.lengths[:, None]
        num_columns, generator = pair.checkpoint.config.decoder_vocab_size, torch.Generator().manual_seed(4)
        self.targets = torch.randint(3, num_columns - 1, (NUM_SOURCES, NUM_TOKENS), generator=generator)
        with torch.inference_mode():
            self.encoded = self.kernels.encode(self.input_ids, self.lengths)
            self.cross_kv = self.kernels.cross_kv(self.encoded)

    def view(self, dtype: torch.dtype) -> KVView:
        cache = KVCache(
            self.pair.checkpoint.config,
            max_rows=NUM_SOURCES,
            max_target_tokens=NUM_TOKENS,
            max_source_tokens=self.input_ids.shape[1],
            dtype=dtype,
            device=CPU,
        )
        cache.write_cross(0, self.cross_kv.bfloat16().to(dtype))
        return cache.view(0, NUM_SOURCES, self_tokens=NUM_TOKENS, source_tokens=self.input_ids.shape[1])

    @torch.inference_mode()
    def steps(
        self, transformer: Transformer, view: KVView, *, layer: int | None = None, num_tokens: int = NUM_TOKENS
    ) -> tuple[Tensor, Tensor]:
        """The targets decoded step by step: states [B, T, D], and cross-attention weights of some rows [n, T, S]."""
        states, weights = [], []
        for index in range(num_tokens):
            asked = None if layer is None else CrossWeights(layer, torch.tensor([1, 5, 6]))
            positions, ids = torch.full((NUM_SOURCES,), index), self.targets[:, index : index + 1]
            states.append(transformer.decode(ids, positions, self.lengths, view, asked))
            weights += [] if asked is None or asked.weights is None else [asked.weights]
        return torch.cat(states, dim=1), torch.cat(weights, dim=1) if weights else torch.empty(0)


@pytest.fixture(scope="module", params=[*CHECKPOINTS, "bundled"])
def int8(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Int8:
    if request.param == "bundled":
        return Int8(load_pair(BUNDLED))
    build, shape = CHECKPOINTS[request.param]
    return Int8(load_pair(build(tmp_path_factory.mktemp(request.param), seed=1, shape=shape)))


@pytest.fixture
def rounded_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers keep float32 in their cache, of the values that bfloat16 has."""
    write = LayerSelfKV.write
    monkeypatch.setattr(LayerSelfKV, "write", lambda self, new_kv: write(self, new_kv.bfloat16().float()))


def assert_same_rows(ours: Tensor, theirs: Tensor, *, roundings: float = ROUNDINGS) -> None:
    """[rows, D]: but for roundings, which few rows carry over a step."""
    differences = (ours.float() - theirs.float()).abs().amax(dim=1)
    assert (differences < STEP * theirs.float().abs().amax(dim=1).clamp(min=1)).all()
    assert (differences <= roundings).float().mean() > SHARE


def test_int8_encoder_kernel_equals_the_layers(int8: Int8) -> None:
    with torch.inference_mode():
        layers = int8.layers.encode(int8.input_ids, int8.lengths)
    assert int8.lengths.sum() > 160, "one block of sources is not enough of a test"
    assert_same_rows(int8.encoded[int8.is_token], layers[int8.is_token], roundings=ENCODER_ROUNDINGS)


def test_int8_encoder_kernel_leaves_zeros_in_the_padding(int8: Int8) -> None:
    assert not int8.is_token.all()
    assert int8.encoded[~int8.is_token].eq(0).all()


def test_int8_encoder_kernel_does_not_depend_on_padding_and_neighbours(int8: Int8) -> None:
    for row, length in enumerate(int8.lengths.tolist()):
        with torch.inference_mode():
            alone = int8.kernels.encode(int8.input_ids[[row], :length], int8.lengths[[row]])
        assert torch.equal(alone[0], int8.encoded[row, :length])


@pytest.mark.parametrize("int8", ["t5-odd", "bundled"], indirect=True)
def test_int8_encoder_kernel_takes_sources_longer_than_a_block(int8: Int8) -> None:
    """All rows of a source attend to each other, so it is computed at once; its neighbours are not."""
    sources = random_sources(int8.pair, NUM_SOURCES, seed=4)
    sources[5] = [*chain.from_iterable(sources)][:170]
    with torch.inference_mode():
        together = int8.kernels.encode_unpadded(sources)
        alone = [int8.kernels.encode_unpadded([source])[0] for source in sources]
        layers = int8.layers.encode(*padded(sources, int8.pair))
    assert all(map(torch.equal, together, alone))
    expected = [states[: len(source)] for source, states in zip(sources, layers, strict=True)]
    assert_same_rows(torch.cat(together), torch.cat(expected), roundings=ENCODER_ROUNDINGS)


@pytest.mark.usefixtures("rounded_caches")
def test_int8_decoder_kernel_equals_the_layers_over_rounded_caches(int8: Int8) -> None:
    kernel_view, layers_view = int8.view(torch.bfloat16), int8.view(torch.float32)
    states, _ = int8.steps(int8.kernels, kernel_view)
    expected, _ = int8.steps(int8.layers, layers_view)
    assert_same_rows(states.flatten(0, 1), expected.flatten(0, 1))
    assert_same_rows(kernel_view.self_kv.float().flatten(0, 2).flatten(1), layers_view.self_kv.flatten(0, 2).flatten(1))


def test_int8_steps_equal_the_full_decoder_but_for_the_rounding_of_the_caches(int8: Int8) -> None:
    states, _ = int8.steps(int8.kernels, int8.view(torch.bfloat16))
    with torch.inference_mode():
        full = int8.kernels.decode_full(int8.targets, int8.encoded, int8.lengths)
    assert (states - full).norm() < BFLOAT16_CACHES * full.norm()


@pytest.mark.usefixtures("rounded_caches")
@pytest.mark.parametrize("layer", [-1, 0])
def test_int8_cross_weights_are_those_of_the_layers(int8: Int8, layer: int) -> None:
    _, weights = int8.steps(int8.kernels, int8.view(torch.bfloat16), layer=layer)
    _, expected = int8.steps(int8.layers, int8.view(torch.float32), layer=layer)
    torch.testing.assert_close(weights, expected, rtol=0, atol=0.01)
    assert ((weights - expected).abs().amax(dim=2) < ROUNDINGS).float().mean() > 0.8
    assert weights.masked_select(~int8.is_token[[1, 5, 6], None].expand_as(weights)).eq(0).all()


def test_int8_rows_at_different_positions_decode_as_at_their_own_step(int8: Int8) -> None:
    view = int8.view(torch.bfloat16)
    states, _ = int8.steps(int8.kernels, view)
    rows, positions = torch.arange(NUM_SOURCES), torch.arange(NUM_SOURCES) * 5 % NUM_TOKENS
    with torch.inference_mode():
        ids = int8.targets[rows, positions]
        again = int8.kernels.decode(ids[:, None], positions, int8.lengths, view)
    assert torch.equal(again[:, 0], states[rows, positions])


def test_int8_cross_kv_is_written_with_the_bits_of_its_layer(int8: Int8) -> None:
    expected, written = int8.view(torch.bfloat16).cross_kv, int8.view(torch.bfloat16).cross_kv.zero_()
    sources = [states[:length] for states, length in zip(int8.encoded, int8.lengths.tolist(), strict=True)]
    rows = list(reversed(range(NUM_SOURCES)))
    with torch.inference_mode():
        int8.kernels.write_cross_kv(sources, rows, written)
    assert torch.equal(written[:, rows][:, int8.is_token], expected[:, int8.is_token])
    assert written[:, rows][:, ~int8.is_token].eq(0).all(), "padding was written"


def ragged_tokens(int8: Int8) -> tuple[list[list[int]], Tensor]:
    """Prompts of different lengths, some empty, and each one's number of tokens."""
    lengths = torch.arange(NUM_SOURCES) * 5 % (NUM_TOKENS + 1)
    return [row[:length] for row, length in zip(int8.targets.tolist(), lengths.tolist(), strict=True)], lengths


def test_int8_prefill_of_ragged_prompts_writes_the_bits_of_single_steps(int8: Int8) -> None:
    prompts, lengths = ragged_tokens(int8)
    steps, prefilled = int8.view(torch.bfloat16), int8.view(torch.bfloat16)
    int8.steps(int8.kernels, steps)
    with torch.inference_mode():
        int8.kernels.prefill(prompts, int8.lengths, prefilled)
    is_token = torch.arange(NUM_TOKENS) < lengths[:, None]
    assert torch.equal(prefilled.self_kv[:, is_token], steps.self_kv[:, is_token])
    assert prefilled.self_kv[:, ~is_token].eq(0).all(), "padding went through the kernel"


def test_int8_prefill_is_one_call_of_the_kernel(int8: Int8, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, num_calls = int8.kernels.decoder_kernel, 0
    assert kernel is not None
    function = kernel._function

    def count(*arguments: object) -> None:
        nonlocal num_calls
        num_calls += 1
        function(*arguments)

    monkeypatch.setattr(kernel, "_function", count)
    with torch.inference_mode():
        int8.kernels.prefill(ragged_tokens(int8)[0], int8.lengths, int8.view(torch.bfloat16))
    assert num_calls == 1


def test_int8_tokens_decoded_at_once_have_the_states_of_single_steps(int8: Int8) -> None:
    states, _ = int8.steps(int8.kernels, int8.view(torch.bfloat16))
    with torch.inference_mode():
        positions = torch.zeros(NUM_SOURCES, dtype=torch.int64)
        at_once = int8.kernels.decode(int8.targets, positions, int8.lengths, int8.view(torch.bfloat16))
    assert torch.equal(at_once, states)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("int8", ["m2m100-odd", "t5-gated-silu", "bundled"], indirect=True)
def test_int8_stacks_do_not_depend_on_the_number_of_threads(int8: Int8) -> None:
    with torch.inference_mode():
        encoded = int8.kernels.encode(int8.input_ids, int8.lengths)
    by_two, _ = int8.steps(int8.kernels, int8.view(torch.bfloat16), num_tokens=2)
    torch.set_num_threads(1)
    by_one, _ = int8.steps(int8.kernels, int8.view(torch.bfloat16), num_tokens=2)
    assert torch.equal(encoded, int8.encoded)
    assert torch.equal(by_two, by_one)


def assert_batch_equals_each_alone(pair: Pair, random: Random, count: int) -> None:
    """Tokens, log-probabilities and scores, bit for bit."""
    (prompt,) = prompts_of(pair, 1)
    specs = [random_spec(source, prompt, random) for source in random_sources(pair, count, seed=9)]
    outcome = run_batch(pair, specs, random)
    for index, spec in enumerate(specs):
        (alone,) = generate.generate(pair.ours, pair.checkpoint, [spec], max_rows=1)
        assert outcome[index][1] == alone, spec
    assert sum(spec.beam_size > 1 for spec in specs) > count // 3
    assert any(spec.sampling for spec in specs)


@pytest.mark.parametrize("rules", sorted(RULES))
def test_int8_mixed_batch_gives_each_decode_exactly_what_it_gets_alone(lively: Pair, rules: str) -> None:
    assert_batch_equals_each_alone(lively.ruled(**RULES[rules]).computing_in("int8"), Random(rules), 40)


def test_int8_decodes_of_every_family_get_exactly_what_they_get_alone(int8: Int8) -> None:
    assert_batch_equals_each_alone(int8.pair, Random(5), 20)


def beams_of_four(pair: Pair) -> list[tuple[Hypothesis, ...]]:
    (prompt,) = prompts_of(pair, 1)
    sources = random_sources(pair, 12, seed=8)
    specs = [make_spec(source, [*prompt, 20, 21], MAX_NEW, beam_size=4, num_hypotheses=4) for source in sources]
    return generate.generate(pair.ours, pair.checkpoint, specs, max_rows=14)


@pytest.fixture
def copied_caches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Running batches copy the caches of beams. Of each step of the kernel, whether it saw indirection."""
    seen: list[bool] = []
    run = DecoderKernel.__call__

    def spy(self: DecoderKernel, *args: Any, **options: Any) -> Tensor:
        seen.append(any(isinstance(each, KVView) and each.indirection is not None for each in args))
        return run(self, *args, **options)

    monkeypatch.setattr(DecoderKernel, "__call__", spy)
    monkeypatch.setattr(
        decoding_batch, "KVCache", lambda config, **options: KVCache(config, **options | {"has_indirection": False})
    )
    return seen


def test_int8_beams_that_share_caches_equal_beams_that_copy_them(lively: Pair, request: pytest.FixtureRequest) -> None:
    pair = lively.computing_in("int8")
    shared = beams_of_four(pair)
    seen: list[bool] = request.getfixturevalue("copied_caches")
    assert beams_of_four(pair) == shared
    assert seen
    assert not any(seen)


def test_int8_running_batch_shares_the_caches_of_beams(m2m100: Pair) -> None:
    pair = m2m100.computing_in("int8")
    sizes: dict[str, Any] = {"max_rows": 4, "max_source_tokens": 40, "max_target_tokens": 30}
    batch = DecodingBatch(pair.ours, pair.checkpoint, **sizes)
    (prompt,) = prompts_of(pair, 1)
    (source,) = random_sources(pair, 1, seed=8)
    add(batch, {0: make_spec(source, prompt, 20, beam_size=4)})
    for _ in range(8):
        batch.step()
    indirection = batch._cache.view(0, 4, self_tokens=8, source_tokens=1).indirection
    assert indirection is not None
    assert indirection.ne(torch.arange(4)[:, None]).any()
