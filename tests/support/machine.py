"""What some tests need and not every machine has."""

from dataclasses import dataclass
from functools import cache

MEANS = ("kernels", "bfloat16")
"""Our own kernels, and products of bfloat16 on the CPU."""


@dataclass(frozen=True, slots=True)
class Means:
    label: str
    """What of it the machine has."""
    problem: str
    """Why the tests that need it cannot run; else empty."""


@cache
def find_means(name: str) -> Means:
    """Kernels that could run and were not built are no reason to leave a test out: it fails."""
    import torch  # which many runs of a few tests do without

    from model.kernels import libraries
    from model.transformer.compute_types import ComputeTypeError
    from model.transformer.hardware import check_compute_type

    if name == "kernels":
        capabilities = torch.cpu.get_capabilities()
        has_instructions = any(capabilities.get(each) for each in ("avx2", "asimddp"))
        is_to_fail = has_instructions and libraries.wanted_isa() != "none"
        found = libraries.find_kernels()
        return Means(found.isa if found.library else "not built", "" if is_to_fail else found.problem)
    assert name == "bfloat16", f"no test needs {name}"
    try:
        check_compute_type("bfloat16", torch.device("cpu"))
    except ComputeTypeError as error:
        return Means("", str(error))
    return Means("on the CPU", "")
