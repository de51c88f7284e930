"""Our Triton kernels compute what `TorchKernels` does, interpreted here, and compile for GPUs that are not here."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import pytest
import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from loadtests.bench.gpu import triton_head
from loadtests.bench.gpu.head import quantized
from model.cuda import triton_attention, triton_choice
from model.cuda.kernels import FORBIDDEN, FORBIDDEN_IF_SHORT, StepKernels, StepRules, StepState, TorchKernels
from tests.support.interpreted_kernels import InterpretedKernels, interpreting_process

NUM_ROWS, NUM_HEADS, HEAD_DIM, NUM_TOKENS = 5, 2, 10, 40
LENGTHS = (0, 1, 31, 32, 39)
"""Around the kernel's block of tokens."""


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    with interpreting_process() as process:
        yield process


@pytest.fixture(scope="module")
def ours(process: ProcessPoolExecutor) -> StepKernels:
    return InterpretedKernels(process)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("has_bias", [False, True])
def test_self_attention_reads_each_row_to_its_own_position(ours: StepKernels, has_bias: bool) -> None:
    qkv, positions = normal(NUM_ROWS, 3, NUM_HEADS, HEAD_DIM), torch.tensor(LENGTHS)
    bias = normal(NUM_HEADS, NUM_TOKENS) if has_bias else None
    cache = normal(NUM_ROWS, NUM_TOKENS, 2, NUM_HEADS, HEAD_DIM)
    expected_cache = cache.clone()
    for row, position in enumerate(LENGTHS):
        cache[row, position:] = torch.nan  # what a row has not written is not read
    heads = ours.self_attention(qkv, cache, positions, bias, scale=0.3)
    expected = TorchKernels().self_attention(qkv, expected_cache, positions, bias, scale=0.3)
    torch.testing.assert_close(heads, expected)
    for row, position in enumerate(LENGTHS):
        assert torch.equal(cache[row, : position + 1], expected_cache[row, : position + 1])


def test_cross_attention_reads_each_row_to_its_own_length(ours: StepKernels) -> None:
    q, lengths = normal(NUM_ROWS, NUM_HEADS, HEAD_DIM), torch.tensor(LENGTHS) + 1
    cache = normal(NUM_ROWS, NUM_TOKENS, 2, NUM_HEADS, HEAD_DIM)
    expected = TorchKernels().cross_attention(q, cache, lengths, scale=0.3)
    for row, length in enumerate(lengths.tolist()):
        cache[row, length:] = torch.nan
    torch.testing.assert_close(ours.cross_attention(q, cache, lengths, scale=0.3), expected)


NUM_COLUMNS = triton_choice.SHARE + 700
SHORT, LONG = 2, 19
"""The positions of rows, of which the first are too short to end."""


class Chosen(NamedTuple):
    state: Tensor
    token_ids: Tensor
    logprobs: Tensor


def chosen(kernels: StepKernels, logits: Tensor) -> Chosen:
    state = torch.tensor([[0] * NUM_ROWS, [SHORT, SHORT, LONG, LONG, LONG], [1] * NUM_ROWS, [3] * NUM_ROWS])
    results = torch.zeros((8, 2, NUM_ROWS), dtype=torch.int32)
    token_ids, positions, source_lengths, places = state
    logprobs = results[:, 1].view(torch.float32)
    views = StepState(token_ids, positions, source_lengths, places, results[:, 0], logprobs, last_position=LONG)
    rules = StepRules.of(
        torch.tensor([4, NUM_COLUMNS - 1]), torch.tensor([2, 4]), vocab_size=NUM_COLUMNS, min_length=SHORT + 2
    )
    kernels.choose(logits, rules, views)
    return Chosen(state, views.chosen[3], views.logprobs[3])


def test_choice_is_the_first_of_the_best_allowed_tokens_and_becomes_the_next_state(ours: StepKernels) -> None:
    logits = normal(NUM_ROWS, NUM_COLUMNS)
    logits[:, 4] = logits[:, NUM_COLUMNS - 1] = 60.0  # never allowed
    logits[[0, 3], 2] = 50.0  # allowed in a row that is long enough
    logits[4, [17, NUM_COLUMNS - 5]] = 40.0  # equals, in different shares
    result, expected = chosen(ours, logits), chosen(TorchKernels(), logits)
    assert torch.equal(result.state, expected.state)
    assert torch.equal(result.token_ids, expected.token_ids)
    torch.testing.assert_close(result.logprobs, expected.logprobs)
    assert result.token_ids[0] != 2
    assert result.token_ids.tolist()[3:] == [2, 17]
    assert result.state[1:].tolist() == [[SHORT + 1] * 2 + [LONG] * 3, [1] * NUM_ROWS, [4] * NUM_ROWS]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_choice_from_numbers_that_are_not_finite_is_a_token_of_unknown_probability(
    ours: StepKernels, value: float
) -> None:
    logits = normal(NUM_ROWS, NUM_COLUMNS)
    logits[1, 100] = value
    logits[2] = value
    result = chosen(ours, logits)
    assert result.logprobs.isnan().tolist() == [False, True, True, False, False]
    assert bool(((result.token_ids >= 0) & (result.token_ids < NUM_COLUMNS)).all())


@pytest.mark.parametrize("num_rows", [1, triton_head.MAX_ROWS + 3])
def test_benchmarked_head_multiplies_int8_weights(process: ProcessPoolExecutor, num_rows: int) -> None:
    inputs, weights = normal(num_rows, 2 * triton_head.DEPTH), normal(triton_head.OUTPUTS + 5, 2 * triton_head.DEPTH)
    rows, scales = quantized(weights)
    product = process.submit(head_product, inputs, rows, scales[:, 0]).result()
    torch.testing.assert_close(product, inputs @ (rows * scales).T)


def head_product(inputs: Tensor, rows: Tensor, scales: Tensor) -> Tensor:
    return triton_head.product(inputs, rows, scales)


OPTIONS = {"num_warps": 2, "enable_fp_fusion": True}
ATTEND: dict[str, Any] = {
    "fn": triton_attention.attend,
    "signature": dict.fromkeys(["q", "new_kv", "kv", "bias", "output"], "*fp16")
    | {"lengths": "*i64", "scale": "fp32"}
    | dict.fromkeys(["q_row_stride", "new_row_stride", "kv_row_stride", "kv_token_stride"], "i32")
    | dict.fromkeys(["v_offset", "bias_head_stride"], "i32"),
    "constants": {"HEAD_DIM": 64, "PADDED_DIM": 64, "BLOCK": triton_attention.BLOCK_TOKENS},
}
SOURCES = {
    "self-attention": ATTEND | {"constants": ATTEND["constants"] | {"HAS_NEW": True, "HAS_BIAS": True}},
    "cross-attention": ATTEND | {"constants": ATTEND["constants"] | {"HAS_NEW": False, "HAS_BIAS": False}},
    "survey": {
        "fn": triton_choice.survey,
        "signature": dict.fromkeys(["largests", "totals", "bests"], "*fp32")
        | {"logits": "*fp16", "flags": "*u8", "positions": "*i64", "columns": "*i32"}
        | dict.fromkeys(["num_columns", "min_length"], "i32"),
        "constants": {
            "SHARE": triton_choice.SHARE,
            "BLOCK": triton_choice.BLOCK,
            "FORBIDDEN": FORBIDDEN,
            "FORBIDDEN_IF_SHORT": FORBIDDEN_IF_SHORT,
        },
    },
    "choose": {
        "fn": triton_choice.choose,
        "signature": dict.fromkeys(["largests", "totals", "bests", "logprobs"], "*fp32")
        | dict.fromkeys(["columns", "chosen"], "*i32")
        | dict.fromkeys(["token_ids", "positions", "places"], "*i64")
        | dict.fromkeys(["num_shares", "num_columns", "num_rows_of_chosen", "last_position", "last_place"], "i32"),
        "constants": {"PADDED_SHARES": 8},
    },
    "head": {
        "fn": triton_head.multiply,
        "signature": dict.fromkeys(["inputs", "outputs"], "*fp16")
        | {"weights": "*i8", "scales": "*fp32", "num_rows": "i32", "num_outputs": "i32"},
        "constants": {
            "NUM_INPUTS": 512,
            "ROWS": triton_head.MAX_ROWS,
            "OUTPUTS": triton_head.OUTPUTS,
            "DEPTH": triton_head.DEPTH,
        },
    },
}


@pytest.mark.filterwarnings("ignore:AnnAssign:DeprecationWarning")  # Triton's own, from CPython 3.13 on
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_for_gpus_that_are_not_here(
    name: str, capability: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.getbasetemp()))
    function, signature, constants = SOURCES[name].values()
    signature = {each: signature.get(each, "constexpr") for each in function.arg_names}
    source = ASTSource(function, signature, constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS)
    assert f".target sm_{capability}" in compiled.asm["ptx"]
    assert compiled.asm["cubin"]
