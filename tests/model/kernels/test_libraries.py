"""A process uses the fastest kernels that run, or the ones that `KAKEHASHI_ISA` names, or fails with an error."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from model.kernels import libraries
from model.kernels.libraries import Kernels
from model.transformer.compute_types import ISA_VARIABLE, IsaError, LoadedIsa


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """The libraries of a test. The cached choice of the process is cleared before and after."""
    for found in (libraries.find_kernels, libraries.load_kernels):
        found.cache_clear()
    yield
    for found in (libraries.find_kernels, libraries.load_kernels):
        found.cache_clear()


class FakeLibrary:
    """A library as ctypes loads it, built from the current sources."""

    def __init__(self, name: str, *, layout: int = libraries.LAYOUT, arithmetic: int = libraries.ARITHMETIC) -> None:
        self._name = f"/somewhere/{name}.so"
        self.kakehashi_layout = Number(layout)
        self.kakehashi_arithmetic = Number(arithmetic)
        self.linear_int8 = self.encode_stack = self.decode_stack = self.decode_ahead = SimpleNamespace()
        self.choose = self.top_k_of_groups = self.write_cross_kv = SimpleNamespace()


class Number:
    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self) -> int:
        return self._number


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The built libraries by name, on a processor with AVX2 and AVX-VNNI."""
    built: dict[str, object] = {}
    monkeypatch.delenv(ISA_VARIABLE, raising=False)
    monkeypatch.setattr(libraries, "runnable_isas", lambda: ["avx_vnni", "avx2"])
    monkeypatch.setattr(libraries, "_load", lambda name: built.get(name, f"{name} was not built"))
    built["_cpu"] = object()
    return built


def test_kernels_that_are_switched_off_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ISA_VARIABLE, "none")
    assert libraries.find_kernels() == Kernels(None, "KAKEHASHI_ISA=none switches our kernels off")


def test_an_unknown_set_of_kernels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ISA_VARIABLE, "mmx")
    with pytest.raises(IsaError, match=r"KAKEHASHI_ISA: 'mmx' cannot be used: only auto, none, avx512_vnni, "):
        libraries.find_kernels()


@pytest.mark.parametrize(("built", "best"), [(("avx2", "avx_vnni"), "avx_vnni"), (("avx2", "avx512_vnni"), "avx2")])
def test_the_fastest_kernels_are_those_that_are_built_and_run(
    installed: dict[str, object], built: tuple[LoadedIsa, ...], best: LoadedIsa
) -> None:
    installed |= {f"_{isa}": FakeLibrary(isa) for isa in built}
    assert libraries.find_kernels().isa == best


@pytest.mark.parametrize(
    ("isa", "problem"), [("avx512_vnni", "this CPU lacks avx512_vnni"), ("avx_vnni", "_avx_vnni was not built")]
)
def test_kernels_that_are_asked_for_and_do_not_run_are_an_error(
    installed: dict[str, object], monkeypatch: pytest.MonkeyPatch, isa: LoadedIsa, problem: str
) -> None:
    installed["_avx2"] = FakeLibrary("avx2")
    monkeypatch.setenv(ISA_VARIABLE, isa)
    with pytest.raises(IsaError, match=f"KAKEHASHI_ISA={isa} cannot be used: {problem}"):
        libraries.find_kernels()


@pytest.mark.parametrize("older", [{"layout": 1}, {"arithmetic": 0}])
def test_a_library_of_other_sources_is_refused_by_name(installed: dict[str, object], older: dict[str, int]) -> None:
    installed["_avx2"] = FakeLibrary("_avx2", **older)
    problem = libraries.load_kernels("avx2").problem
    assert problem.startswith("_avx2.so was built from other sources")
    assert problem.endswith("install kakehashi again")


def test_the_oracle_is_never_chosen_by_itself(installed: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    installed["_scalar"] = FakeLibrary("scalar")
    assert libraries.find_kernels().library is None
    libraries.find_kernels.cache_clear()
    monkeypatch.setenv(ISA_VARIABLE, "scalar")
    assert libraries.find_kernels().isa == "scalar"


def test_without_a_compiler_there_are_no_kernels(installed: dict[str, object]) -> None:
    assert libraries.find_kernels() == Kernels(None, "_avx_vnni was not built")
