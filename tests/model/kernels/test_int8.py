"""In int8 our own kernels compute what the layers do over the same weights, and of each row the same in any batch.

Both sum in different orders, which differs by a few roundings of float32. Seldom, that tips a number over the middle
between two bytes, or between two bfloat16 of the cache: the row then differs by a step of these coarser grids.
"""

from functools import partial
from random import Random

import pytest
import torch
from torch import Tensor

from model.decoding import batch as decoding_batch
from model.decoding import generate
from model.decoding.generate import RunningBatch
from model.kernels.stacks import DecoderKernel
from model.search.types import Hypothesis, SearchRequest
from model.transformer.attention import CrossWeights
from model.transformer.kv_cache import KVCache, KVView, LayerSelfKV
from model.transformer.transformer import Transformer
from tests.model.decoding.test_mixed_batch import MAX_NEW, RULES, random_request, run_batch
from tests.support.checkpoint_families import random_bart, random_mbart, random_pegasus, random_t5
from tests.support.checkpoints import BUNDLED, Shape, random_m2m100, random_marian
from tests.support.pairs import CPU, Pair, load_pair, padded, prompts_of, random_sources

pytestmark = pytest.mark.needs("kernels")

CHECKPOINTS = {
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
"""A step of float16 at 2 to 4, where few states are: what the encoder gives is of float16."""
ROUNDINGS = 5e-6
"""A few of float32, on states of about 1, where no number has tipped over."""
SHARE = 0.3
"""Of rows that differ by roundings only. The layers are torch's, with code of its own for each kind of CPU: with that
for AVX-512, AVX2 and neither, 0.51 to 0.55 were measured in the bundled encoder, and otherwise 0.97 to 1."""
STEP = 0.1
"""Where one has tipped over: of the row's largest number, or of 1. A byte is 1/127 of it, and a bfloat16 1/128."""
BFLOAT16_CACHES = 0.1
"""What rounding K and V to 8 bits does to the states, relative to their norm: 0.037 to 0.039 was measured."""


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
    assert int8.lengths.sum() > 160, "one block of rows is not enough of a test"
    assert_same_rows(int8.encoded[int8.is_token], layers[int8.is_token], roundings=ENCODER_ROUNDINGS)


def test_int8_encoder_kernel_leaves_zeros_in_the_padding(int8: Int8) -> None:
    assert not int8.is_token.all()
    assert int8.encoded[~int8.is_token].eq(0).all()


def test_int8_encoder_kernel_does_not_depend_on_padding_and_neighbours(int8: Int8) -> None:
    for row, length in enumerate(int8.lengths.tolist()):
        with torch.inference_mode():
            alone = int8.kernels.encode(int8.input_ids[[row], :length], int8.lengths[[row]])
        assert torch.equal(alone[0], int8.encoded[row, :length])


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


def mixed_requests(pair: Pair, random: Random, count: int) -> tuple[list[SearchRequest], list[list[int]]]:
    (prompt,) = prompts_of(pair, 1)
    requests = [random_request(index, prompt, random) for index in range(count)]
    return requests, random_sources(pair, count, seed=9)


def assert_batch_equals_each_alone(pair: Pair, random: Random, count: int) -> None:
    """Tokens, log-probabilities and scores, bit for bit."""
    requests, sources = mixed_requests(pair, random, count)
    outcome = run_batch(pair, requests, sources, random)
    for request, source in zip(requests, sources, strict=True):
        (alone,) = generate.generate(pair.ours, pair.checkpoint, [request], [source], max_rows=1)
        assert outcome[request.sequence_id][1] == alone, request
    assert sum(request.beam_size > 1 for request in requests) > count // 3
    assert any(request.sampling for request in requests)


@pytest.mark.parametrize("rules", sorted(RULES))
def test_int8_mixed_batch_gives_each_sequence_exactly_what_it_gets_alone(lively: Pair, rules: str) -> None:
    assert_batch_equals_each_alone(lively.ruled(**RULES[rules]).computing_in("int8"), Random(rules), 40)


def test_int8_sequences_of_every_family_get_exactly_what_they_get_alone(int8: Int8) -> None:
    assert_batch_equals_each_alone(int8.pair, Random(5), 20)


def beams_of_four(pair: Pair) -> list[tuple[Hypothesis, ...]]:
    (prompt,) = prompts_of(pair, 1)
    requests = [SearchRequest(i, tuple(prompt), MAX_NEW, beam_size=4, num_hypotheses=4) for i in range(12)]
    return generate.generate(pair.ours, pair.checkpoint, requests, random_sources(pair, 12, seed=8), max_rows=14)


@pytest.fixture
def copied_caches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Running batches copy the caches of beams. Of each step of the kernel, whether it saw origins."""
    seen: list[bool] = []
    run = DecoderKernel.__call__

    def spy(self: DecoderKernel, *args: object, **options: object) -> Tensor:
        seen.append(any(isinstance(each, KVView) and each.origins is not None for each in args))
        return run(self, *args, **options)

    monkeypatch.setattr(DecoderKernel, "__call__", spy)
    monkeypatch.setattr(
        decoding_batch, "KVCache", lambda config, **options: KVCache(config, **options | {"follows_origins": False})
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
    sizes = {"max_rows": 4, "max_source_tokens": 40, "max_target_tokens": 30}
    batch = RunningBatch(pair.ours, pair.checkpoint, **sizes)
    (prompt,) = prompts_of(pair, 1)
    batch.join([SearchRequest(0, tuple(prompt), 20, beam_size=4)], random_sources(pair, 1, seed=8))
    for _ in range(8):
        batch.step()
    origins = batch._batch.cache.view(0, 4, self_tokens=8, source_tokens=1).origins
    assert origins is not None
    assert origins.ne(torch.arange(4)[:, None]).any()
