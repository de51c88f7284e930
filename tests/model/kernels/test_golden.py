"""Whole models in int8 give the same encoder outputs, tokens and scores on every instruction set, to the last bit."""

import pytest

from model.kernels import libraries
from model.transformer.compute_types import LoadedIsa
from tests.support.golden import DIRECTORY, NAMES, NUM_SENTENCES, golden_lines, save_checkpoint

pytestmark = pytest.mark.needs("kernels")

NUM_BY_ORACLE = {"bundled": 2}
"""It takes seconds for each of them; all sentences of the small checkpoints."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("isa", [*libraries.runnable_isas(), libraries.ORACLE])
def test_int8_gives_the_golden_bits(
    isa: LoadedIsa, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kernels = libraries.load_kernels(isa)
    assert kernels.library is not None, kernels.problem
    monkeypatch.setattr(libraries, "find_kernels", lambda: kernels)
    num_sentences = NUM_BY_ORACLE.get(name, NUM_SENTENCES) if isa == libraries.ORACLE else NUM_SENTENCES
    directory = save_checkpoint(name, tmp_path_factory.mktemp(name))
    expected = (DIRECTORY / f"{name}.txt").read_text().splitlines()
    assert len(expected) == NUM_SENTENCES
    lines = golden_lines(directory, name, num_sentences=num_sentences)
    assert lines == expected[:num_sentences], "a change on purpose raises ARITHMETIC: see tests/support/golden.py"
