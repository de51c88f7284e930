"""Compile `tests/model/kernels/native/driver.cpp` with the kernels of one instruction set, and run it."""

import os
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

from model import kernels

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "model" / "kernels" / "native" / "driver.cpp"
NATIVE = Path(kernels.__file__).parent / "native"
COMPILER = os.environ.get("CXX", "g++")


def flags_of(isa: str) -> list[str]:
    """The compiler flags with which the installation builds these kernels."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (flags,) = [each["extra-compile-args"] for each in modules if each["name"] == f"model.kernels._{isa}"]
    return [str(flag) for flag in flags]


def compile_driver(
    kernels: Sequence[Path], target: Path, *, flags: Sequence[str], compiler: Sequence[str] = (COMPILER,)
) -> Path:
    """Compile the driver with `kernels`, which are sources or a library."""
    command: list[str | Path] = [*compiler, *flags, "-I", NATIVE, DRIVER, *kernels, "-o", target]
    subprocess.run(command, check=True)
    return target


def run_driver(*command: str | Path) -> list[str]:
    """Run the driver. It prints a line for each case: its name and a hash of the bits."""
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return ran.stdout.splitlines()
