import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).parents[1] / ".tools" / "bin"


def pytest_configure() -> None:
    """Programs that `make tools` had to unpack are found without make, too."""
    os.environ["PATH"] = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """The cores are for the servers that the tests run, and results must not depend on how many there are."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)
