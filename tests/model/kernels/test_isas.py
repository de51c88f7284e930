"""On every instruction set the kernels compute the same bits as plain arithmetic, for odd shapes.

The driver is linked with the library of an instruction set. Sets that this processor lacks run in other ways: AVX-VNNI
through the same instruction in AVX-512's encoding, NEON on an emulator.
"""

import shutil
from pathlib import Path
from platform import machine

import pytest

from model.kernels import libraries
from model.transformer.compute_types import LoadedIsa
from tests.support.kernel_driver import NATIVE, compile_driver, flags_of, run_driver

pytestmark = pytest.mark.needs("kernels")

AVX_VNNI_BY_AVX512 = """
#include <immintrin.h>
#undef __AVX512F__
#undef __AVX512VNNI__
#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#include "avx_vnni.cpp"
"""
NEON = NATIVE / "neon_dotprod.cpp"
ARM_COMPILER = "aarch64-linux-gnu-g++"
ARM_EMULATOR = "qemu-aarch64"


def lines_of(isa: LoadedIsa, directory: Path) -> list[str]:
    kernels = libraries.load_kernels(isa)
    assert kernels.library is not None, kernels.problem
    driver = compile_driver([Path(kernels.library._name)], directory / isa, flags=["-O1", "-std=c++17", "-fopenmp"])
    return run_driver(driver)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return lines_of(libraries.ORACLE, tmp_path_factory.mktemp("oracle"))


def test_cases_are_of_numbers(expected: list[str]) -> None:
    """A kernel that gave nothing but NaN would be the same everywhere."""
    for line in expected:
        name, num_finite, num_all, _ = line.rsplit(" ", 3)
        assert int(num_finite) > 0.6 * int(num_all), name
    assert len(expected) > 40


@pytest.mark.parametrize("isa", libraries.runnable_isas())
def test_kernels_give_the_bits_of_the_oracle(isa: LoadedIsa, expected: list[str], tmp_path: Path) -> None:
    assert lines_of(isa, tmp_path) == expected


@pytest.mark.skipif(
    "avx512_vnni" not in libraries.runnable_isas(), reason="needs the instruction in AVX-512's encoding"
)
def test_avx_vnni_gives_the_bits_of_the_oracle(expected: list[str], tmp_path: Path) -> None:
    source = tmp_path / "by_avx512.cpp"
    source.write_text(AVX_VNNI_BY_AVX512)
    flags = [flag for flag in flags_of("avx_vnni") if flag != "-mavxvnni"]
    driver = compile_driver([source], tmp_path / "driver", flags=[*flags, "-mavx512vnni", "-mavx512vl"])
    assert run_driver(driver) == expected


@pytest.mark.skipif(machine() == "aarch64", reason="this processor runs NEON itself, in the test above")
def test_neon_gives_the_bits_of_the_oracle(expected: list[str], tmp_path: Path) -> None:
    missing = [program for program in (ARM_COMPILER, ARM_EMULATOR) if shutil.which(program) is None]
    assert not missing, f"make tools: {missing}"
    flags = [*flags_of("neon_dotprod"), "-O1", "-static"]
    driver = compile_driver(
        [NEON], tmp_path / "driver", flags=[each for each in flags if each != "-fopenmp"], compiler=[ARM_COMPILER]
    )
    assert run_driver(ARM_EMULATOR, driver) == expected
