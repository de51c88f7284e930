"""A compute type is taken only where the device computes in it, and the refusal names what to use instead."""

from ctypes import CDLL
from dataclasses import replace

import pytest
import torch

from model.checkpoint.config import read_checkpoint
from model.kernels import libraries
from model.kernels.libraries import Kernels
from model.transformer import hardware
from model.transformer.compute_types import ComputeType, ComputeTypeError
from model.transformer.hardware import check_compute_type, fastest_compute_type, has_bfloat16, has_float16
from tests.support.checkpoints import BUNDLED
from tests.support.pairs import CPU

CUDA = torch.device("cuda:0")
AVX2 = dict.fromkeys(("avx2", "fma3", "f16c"), True)
AVX512 = AVX2 | dict.fromkeys(("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_vnni"), True)


@pytest.fixture(params=["no kernels", "kernels"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the machine is taken to have them."""
    found = Kernels(None, "this CPU lacks AVX512-VNNI") if request.param == "no kernels" else Kernels(CDLL(None))
    monkeypatch.setattr(libraries, "find_kernels", lambda: found)
    return found.library is not None


def set_cpu(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], *, onednn: bool = True) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(hardware, "_onednn_takes", lambda _: onednn)


def refusal(compute_type: ComputeType, device: torch.device = CPU) -> str:
    with pytest.raises(ComputeTypeError, match=rf"^compute type {compute_type} ") as caught:
        check_compute_type(compute_type, device)
    return str(caught.value)


def test_float32_is_always_taken(kernels: bool) -> None:
    check_compute_type("float32", CPU)


def test_int8_is_taken_exactly_where_our_own_kernels_run(kernels: bool) -> None:
    if kernels:
        check_compute_type("int8", CPU)
    else:
        assert refusal("int8").endswith("needs our own kernels, and this CPU lacks AVX512-VNNI; use float32")


def test_auto_is_int8_on_a_cpu_exactly_where_our_own_kernels_run(kernels: bool) -> None:
    config = read_checkpoint(BUNDLED, name="bundled").config
    assert fastest_compute_type(config, CPU) == ("int8" if kernels else "float32")


@pytest.mark.parametrize("compute_type", ["bfloat16", "float16"])
@pytest.mark.parametrize("capabilities", [AVX2, AVX512, {"neon": True, "dot": True}])
def test_types_that_the_cpu_would_emulate_are_refused(
    kernels: bool, monkeypatch: pytest.MonkeyPatch, compute_type: ComputeType, capabilities: dict[str, bool]
) -> None:
    set_cpu(monkeypatch, capabilities)
    assert refusal(compute_type).endswith("use int8 or float32" if kernels else "use float32")


@pytest.mark.parametrize(
    "capabilities",
    [
        AVX512 | {"avx512_bf16": True},
        AVX512 | {"amx_bf16": True},
        AVX2 | {"avx_ne_convert": True, "avx_vnni_int8": True},
        {"bf16": True},
    ],
)
def test_bfloat16_is_taken_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]
) -> None:
    assert has_bfloat16(capabilities)
    set_cpu(monkeypatch, capabilities)
    check_compute_type("bfloat16", CPU)


@pytest.mark.parametrize("capabilities", [AVX512 | {"avx512_fp16": True}, AVX512 | {"amx_fp16": True}])
def test_float16_is_taken_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]
) -> None:
    assert has_float16(capabilities)
    set_cpu(monkeypatch, capabilities)
    check_compute_type("float16", CPU)


def test_bfloat16_that_onednn_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cpu(monkeypatch, AVX512 | {"avx512_bf16": True}, onednn=False)
    assert "needs a CPU with AVX512-BF16" in refusal("bfloat16")


def test_int8_is_refused_on_cuda() -> None:
    assert refusal("int8", CUDA).endswith("is for CPUs; on CUDA use float16")


@pytest.mark.parametrize(("capability", "t5"), [((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_auto_on_cuda_is_the_type_that_the_gpu_multiplies(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], t5: ComputeType
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    config = read_checkpoint(BUNDLED, name="bundled").config
    assert fastest_compute_type(config, CUDA) == "float16"
    assert fastest_compute_type(replace(config, positions="relative"), CUDA) == t5


def test_bfloat16_is_refused_on_an_older_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert refusal("bfloat16", CUDA).endswith("use float16 or float32")
