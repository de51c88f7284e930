"""The number formats that a model computes in. Nothing here imports torch, so that settings can name them."""

from typing import Literal

ComputeType = Literal["float32", "bfloat16", "float16", "int8"]
EncoderDtype = Literal["float32", "bfloat16", "float16"]
"""The type of encoder outputs: float32 for float32, otherwise a type of two bytes."""
ComputeTypeChoice = Literal[ComputeType, "auto"]
"""`auto`: the fastest one on the device, see `hardware.py`."""
LoadedIsa = Literal["none", "avx512_vnni", "avx_vnni", "avx2", "neon_dotprod", "scalar"]
"""The instruction set of the kernels that a process uses; all but `none` compute the same numbers."""
Isa = Literal["auto", LoadedIsa]
"""`auto`: the fastest one that the CPU supports. `none`: no kernels. `scalar`: plain arithmetic, for comparison."""
ISA_VARIABLE = "KAKEHASHI_ISA"
"""The environment variable with an `Isa`, read when a process first needs the kernels.

It also reaches processes without settings: forked workers, `kakehashi evaluate`, benchmarks and tests.
"""


class ComputeTypeError(Exception):
    """A compute type that this machine does not support; the message names it, the reason and an alternative."""


class IsaError(ComputeTypeError):
    """A `KAKEHASHI_ISA` that cannot be used; the message names it and the reason."""
