"""`kakehashi bench`: runs the benchmarks, which only a checkout of the repository contains."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from service.commandline.errors import CommandError, ExitStatus

CHECKOUT = Path(__file__).parents[2]


def run_bench(arguments: Sequence[str], *, checkout: Path = CHECKOUT) -> NoReturn:
    """Replace this process with `python -m loadtests.bench`. Raises CommandError if `checkout` has no benchmarks."""
    if not (checkout / "loadtests" / "bench").is_dir():
        raise CommandError(
            f"the benchmarks are not installed: they need a checkout of the repository, and {checkout} is none",
            status=ExitStatus.USAGE,
        )
    path = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "loadtests.bench", *arguments]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})
