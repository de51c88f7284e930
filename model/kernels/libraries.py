"""The libraries of our own kernels (`native/`), one for each instruction set, and which of them this process uses.

The installation builds those that its compiler can. `_cpu` knows what the processor has, so that no other library is
loaded in vain. All of them compute the same numbers, bit for bit.
"""

import os
from ctypes import CDLL, c_char_p, c_int64, c_long, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from model.transformer.compute_types import ISA_VARIABLE, Isa, IsaError, LoadedIsa

INSTRUCTION_SETS: tuple[LoadedIsa, ...] = ("avx512_vnni", "avx_vnni", "avx2", "neon_dotprod")
"""The fastest first."""
ORACLE: LoadedIsa = "scalar"
"""The kernels in plain arithmetic: several times as slow as float32, and never chosen unless they are asked for."""
LAYOUT = 4
ARITHMETIC = 1
"""As in `native/structs.h`, of which the libraries were built."""

_FUNCTIONS = MappingProxyType(
    {
        "linear_int8": (c_void_p, c_void_p, c_long, c_void_p),
        "encode_stack": (c_void_p, c_void_p, c_void_p),
        "decode_stack": (c_void_p, c_void_p, c_void_p),
        "decode_ahead": (c_void_p, c_void_p, c_void_p, c_void_p),
        "choose": (c_void_p, c_long, c_long, c_long, c_void_p, c_void_p, c_void_p, c_void_p),
    }
)
"""Their parameters. `decode_ahead` returns a number of steps, the others nothing."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The loaded library, or why there is none."""

    library: CDLL | None
    problem: str = ""
    isa: LoadedIsa = "none"


def library() -> CDLL:
    """Only where the kernels are available."""
    loaded = find_kernels().library
    assert loaded is not None, "there are no kernels here"
    return loaded


def is_available() -> bool:
    return find_kernels().library is not None


def wanted_isa() -> Isa:
    """What `KAKEHASHI_ISA` asks for. Raises IsaError if it means nothing."""
    isa = os.environ.get(ISA_VARIABLE) or "auto"
    for known in get_args(Isa):
        if isa == known:
            chosen: Isa = known
            return chosen
    raise IsaError(f"{ISA_VARIABLE}: {isa!r} cannot be used: only {', '.join(get_args(Isa))} can")


@cache
def find_kernels() -> Kernels:
    """The same for as long as the process lives.

    Raises IsaError where `KAKEHASHI_ISA` names an instruction set that cannot be used here.
    """
    isa = wanted_isa()
    if isa == "none":
        return Kernels(None, f"{ISA_VARIABLE}=none switches them off")
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
    """The instruction sets that this processor has, of those that there are kernels for, the fastest first."""
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
            f"{Path(loaded._name).name} was built of other sources: its layout and arithmetic are {built}, not "
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
    """A library of this directory, or why there is none."""
    paths = sorted(Path(__file__).parent.glob(f"{name}.*.so"))
    if not paths:
        return f"{name} was not built, for lack of a C++ compiler that can"
    try:
        return CDLL(str(paths[0]))
    except OSError as error:
        return f"{paths[0].name} cannot be loaded: {error}"
