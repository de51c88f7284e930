import pytest

from loadtests.bench.machine import Machine


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("fpu avx2 avx512_vnni amx_tile avx512_bf16", "AMX and AVX512-BF16 and AVX512-VNNI"),
        ("fpu avx2 avx512_vnni", "AVX512-VNNI"),
        ("fpu avx2 avx_vnni", "AVX-VNNI"),
        ("fpu avx2", "none of AMX, AVX512-BF16 and VNNI"),
    ],
)
def test_a_machine_is_named_with_what_multiplies_its_matrices(flags: str, kind: str) -> None:
    cpuinfo = f"processor\t: 0\nmodel name\t: Fast CPU: the 2nd\nflags\t\t: {flags}\n\n"
    machine = Machine.from_cpuinfo(cpuinfo * 2, num_cores=2, isa="avx2")
    assert str(machine) == f"Fast CPU: the 2nd, 2 cores, {kind}; our kernels: avx2"
