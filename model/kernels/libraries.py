"""Find the library of our own kernels (`native/`) for this processor; there is one for each instruction set.

The installation builds the libraries that its compiler supports. `_cpu` reports the instruction sets of the processor,
so that only a library that can run is loaded. All libraries compute the same numbers, bit for bit.
"""

import os
from ctypes import CDLL, c_char_p, c_int64, c_long, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sysconfig import get_config_var
from types import MappingProxyType
from typing import get_args

from model.transformer.compute_types import ISA_VARIABLE, Isa, IsaError, LoadedIsa

INSTRUCTION_SETS: tuple[LoadedIsa, ...] = ("avx512_vnni", "avx_vnni", "avx2", "neon_dotprod")
"""Fastest first."""
ORACLE: LoadedIsa = "scalar"
"""The kernels in plain arithmetic: several times as slow as float32, and used only on request."""
LAYOUT = 9
ARITHMETIC = 2
"""`LAYOUT` and `ARITHMETIC` must equal those in `native/structs.h`; a library that differs is refused."""

_FUNCTIONS = MappingProxyType(
    {
        "linear_int8": (c_void_p, c_void_p, c_long, c_void_p),
        "encode_stack": (c_void_p, c_void_p, c_void_p),
        "decode_stack": (c_void_p, c_void_p, c_void_p),
        "decode_ahead": (c_void_p, c_void_p, c_void_p, c_void_p),
        "write_cross_kv": (c_void_p, c_void_p, c_long, c_void_p, c_void_p, c_void_p, c_long),
        "top_k_of_groups": (c_void_p,),
        "choose": (c_void_p, c_long, c_long, c_void_p, c_void_p, c_void_p, c_void_p),
    }
)
"""Parameter types by function. `decode_ahead` returns a number of steps, the others return nothing."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The loaded library, or the reason why there is none."""

    library: CDLL | None
    problem: str = ""
    isa: LoadedIsa = "none"


def library() -> CDLL:
    """The loaded library; call it only if `is_available()`."""
    loaded = find_kernels().library
    assert loaded is not None, "the kernels are not available"
    return loaded


def is_available() -> bool:
    return find_kernels().library is not None


def wanted_isa() -> Isa:
    """The value of `KAKEHASHI_ISA`. Raises IsaError for an unknown one."""
    isa = os.environ.get(ISA_VARIABLE) or "auto"
    for known in get_args(Isa):
        if isa == known:
            chosen: Isa = known
            return chosen
    raise IsaError(f"{ISA_VARIABLE}: {isa!r} cannot be used: only {', '.join(get_args(Isa))} can")


@cache
def find_kernels() -> Kernels:
    """The kernels of this process; the result never changes.

    Raises IsaError if `KAKEHASHI_ISA` names an instruction set that cannot be used here.
    """
    isa = wanted_isa()
    if isa == "none":
        return Kernels(None, f"{ISA_VARIABLE}=none switches our kernels off")
    if isa != "auto":
        forced = load_kernels(isa)
        if forced.library is None:
            raise IsaError(f"{ISA_VARIABLE}={isa} cannot be used: {forced.problem}")
        return forced
    problem = _problem_of_cpu()
    for each in runnable_isas():
        found = load_kernels(each)
        if found.library is not None:
            return found
        problem = problem or found.problem
    return Kernels(None, problem or f"this CPU has none of {', '.join(INSTRUCTION_SETS)}")


def runnable_isas() -> list[LoadedIsa]:
    """The instruction sets that have kernels and that this processor supports, fastest first."""
    cpu = _load("_cpu")
    if isinstance(cpu, str):
        return []
    cpu.kakehashi_has.argtypes = (c_char_p,)
    return [isa for isa in INSTRUCTION_SETS if cpu.kakehashi_has(isa.encode())]


@cache
def load_kernels(isa: LoadedIsa) -> Kernels:
    """The kernels for one instruction set."""
    if isa != ORACLE and isa not in runnable_isas():
        return Kernels(None, _problem_of_cpu() or f"this CPU lacks {isa}")
    loaded = _load(f"_{isa}")
    if isinstance(loaded, str):
        return Kernels(None, loaded)
    loaded.kakehashi_layout.restype = loaded.kakehashi_arithmetic.restype = c_int64
    built = (loaded.kakehashi_layout(), loaded.kakehashi_arithmetic())
    if built != (LAYOUT, ARITHMETIC):
        return Kernels(
            None,
            f"{Path(loaded._name).name} was built from other sources: its layout and arithmetic are {built}, not "
            f"{(LAYOUT, ARITHMETIC)}; install kakehashi again",
        )
    for name, argument_types in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = argument_types, c_int64 if name == "decode_ahead" else None
    return Kernels(loaded, isa=isa)


def _problem_of_cpu() -> str:
    cpu = _load("_cpu")
    return cpu if isinstance(cpu, str) else ""


def _load(name: str) -> CDLL | str:
    """Load a library of this directory, or return the reason why it cannot be loaded."""
    path = Path(__file__).with_name(f"{name}{get_config_var('EXT_SUFFIX')}")
    if not path.exists():
        return f"{name} was not built, because the installation found no C++ compiler that supports it"
    try:
        return CDLL(str(path))
    except OSError as error:
        return f"{path.name} cannot be loaded: {error}"
