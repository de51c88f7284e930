"""The means that some tests need and some machines lack."""

import shutil
from dataclasses import dataclass
from functools import cache

MEANS = ("kernels", "bfloat16", "node")
"""Our own kernels, products of bfloat16 on the CPU, and a Node.js that runs the examples in JavaScript."""


@dataclass(frozen=True, slots=True)
class Means:
    label: str
    """The variant that this machine has."""
    problem: str
    """The reason why tests that need it cannot run; empty if they can."""


@cache
def find_means(name: str) -> Means:
    """Kernels that are not built although they could run are not a problem to report here: tests fail instead."""
    if name == "node":
        node = shutil.which("node")
        return Means(node or "", "" if node else "there is no node in PATH")
    import torch  # only here: many runs of a few tests do not need it

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
