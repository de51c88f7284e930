"""The number formats that a model computes in. Nothing here imports torch, so that settings can name them."""

from typing import Literal

ComputeType = Literal["float32", "bfloat16", "float16", "int8"]
EncoderDtype = Literal["float32", "bfloat16", "float16"]
"""What an encoder's output is made of: float32 in float32, else a type of two bytes."""
ComputeTypeChoice = Literal[ComputeType, "auto"]
"""`auto`: what is fastest on the device, see `hardware.py`."""
LoadedIsa = Literal["none", "avx512_vnni", "avx_vnni", "avx2", "neon_dotprod", "scalar"]
"""The instruction set of the kernels that a process uses: the same numbers with all but `none`."""
Isa = Literal["auto", LoadedIsa]
"""`auto`: the best one that the CPU has. `none`: no kernels. `scalar`: plain arithmetic, to compare with."""
ISA_VARIABLE = "KAKEHASHI_ISA"
"""The environment variable with an `Isa`, read when a process first needs the kernels.

It reaches what has no settings, too: forked workers, `kakehashi evaluate`, benchmarks and tests.
"""


class ComputeTypeError(Exception):
    """A compute type that this machine does not have; the message names it, the reason and an alternative."""


class IsaError(ComputeTypeError):
    """A `KAKEHASHI_ISA` that cannot be used; the message names it and the reason."""
