"""Checkpoints are loaded as requested; files are hashed only if the fingerprint is needed."""

from pathlib import Path

import pytest
import torch

from model.kernels import libraries
from model.kernels.libraries import Kernels
from model.transformer.compute_types import ComputeTypeChoice, ComputeTypeError, LoadedIsa
from service.engine import loading
from service.engine.loading import LoadedCheckpoint, load_checkpoint


def load(
    directory: Path, *, compute_type: ComputeTypeChoice = "float32", needs_fingerprint: bool = False
) -> LoadedCheckpoint:
    return load_checkpoint(
        directory,
        name="test",
        compute_type=compute_type,
        device="cpu",
        num_threads=torch.get_num_threads(),
        needs_fingerprint=needs_fingerprint,
    )


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_kernels", lambda: Kernels(None, "there is no compiler"))


def test_files_are_hashed_only_where_the_fingerprint_is_needed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_hashed = []
    monkeypatch.setattr(loading, "fingerprint", lambda checkpoint: num_hashed.append(checkpoint) or "f00d")
    assert load(directory).fingerprint == ""
    assert num_hashed == []
    assert len(load(directory, needs_fingerprint=True).fingerprint) == 64
    assert len(num_hashed) == 1


@pytest.mark.usefixtures("without_kernels")
def test_auto_is_float32_without_kernels_and_says_what_that_costs(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load(directory, compute_type="auto")
    assert "test runs in float32, several times slower than in int8: there is no compiler" in caplog.text
    assert loaded.compute_type == "float32"
    assert loaded.transformer.dtype == torch.float32


@pytest.mark.needs("kernels")
def test_auto_is_int8_with_kernels(directory: Path) -> None:
    loaded = load(directory, compute_type="auto")
    assert loaded.compute_type == "int8"
    assert loaded.transformer.decoder_kernel is not None


@pytest.mark.usefixtures("without_kernels")
def test_int8_without_kernels_is_refused_by_name(directory: Path) -> None:
    with pytest.raises(ComputeTypeError, match="int8 needs our own kernels, and there is no compiler; use float32"):
        load(directory, compute_type="int8")


@pytest.mark.needs("kernels")
@pytest.mark.parametrize("isa", libraries.runnable_isas())
def test_int8_is_computed_by_the_kernels_that_are_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, isa: LoadedIsa
) -> None:
    monkeypatch.setattr(libraries, "find_kernels", lambda: libraries.load_kernels(isa))
    assert load(directory, compute_type="int8").isa == isa
    assert load(directory, compute_type="float32").isa == "none"


@pytest.mark.needs("kernels")
def test_encoder_outputs_in_int8_are_shared_by_all_processors(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprints() -> tuple[str, str]:
        int8, float32 = (load(directory, compute_type=each, needs_fingerprint=True) for each in ("int8", "float32"))
        return int8.fingerprint, float32.fingerprint

    here = fingerprints()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    monkeypatch.setattr(libraries, "find_kernels", lambda: libraries.load_kernels(libraries.ORACLE))
    elsewhere = fingerprints()
    assert elsewhere[0] == here[0]
    assert elsewhere[1] != here[1]
    monkeypatch.setattr(libraries, "ARITHMETIC", libraries.ARITHMETIC + 1)
    assert load(directory, compute_type="int8", needs_fingerprint=True).fingerprint != here[0]
