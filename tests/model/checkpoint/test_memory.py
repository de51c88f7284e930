"""Loading takes the memory of the loaded model and of about one layer more: weights are never there twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from model.checkpoint.config import read_checkpoint
from model.checkpoint.loading import load_transformer, load_unpacked
from model.transformer.compute_types import ComputeType
from model.transformer.transformer import Transformer
from tests.support.checkpoints import Shape, random_m2m100
from tests.support.pairs import CPU

SHAPE = Shape(d_model=256, encoder_ffn=1024, decoder_ffn=1024, encoder_layers=6, decoder_layers=6)
NUM_LAYER_BYTES = 6 * 2 * 256 * 256 * 4
"""The size of the largest product in float32: K and V of the source for all decoder layers."""
SMALL_BYTES = 2**18
"""The size of position tables while they are converted."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("memory"), seed=1, shape=SHAPE)


def allocated_bytes(load: Callable[[], Transformer], weights: Path) -> tuple[int, int]:
    """The bytes that torch allocates in `load`: at its peak, when the file of `weights` is mapped too, and at the end.

    What is mapped is counted by torch and taken off here: it is the system's to have back at any time.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        transformer = load()
    assert profiled.profiler is not None
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        most = max(most, total)
    assert transformer.num_parameters > 10_000_000
    return most - weights.stat().st_size, total


@pytest.mark.parametrize(
    "compute_type",
    [
        "float32",
        pytest.param("bfloat16", marks=pytest.mark.needs("bfloat16")),
        pytest.param("int8", marks=pytest.mark.needs("kernels")),
    ],
)
def test_a_packed_model_is_loaded_layer_by_layer(directory: Path, compute_type: ComputeType) -> None:
    checkpoint, weights = read_checkpoint(directory, name="test"), directory / "model.safetensors"
    most, total = allocated_bytes(lambda: load_transformer(checkpoint, compute_type=compute_type, device=CPU), weights)
    assert total < weights.stat().st_size * {"float32": 1.1, "bfloat16": 0.55, "int8": 0.4}[compute_type]
    assert most < total + NUM_LAYER_BYTES


def test_an_unpacked_model_is_made_in_its_final_type(directory: Path) -> None:
    checkpoint, weights = read_checkpoint(directory, name="test"), directory / "model.safetensors"
    most, total = allocated_bytes(lambda: load_unpacked(checkpoint, dtype=torch.float16, device=CPU), weights)
    assert total < 0.51 * weights.stat().st_size
    assert most < total + SMALL_BYTES
