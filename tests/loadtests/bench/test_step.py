from pathlib import Path

import pytest
import torch

from loadtests.bench.decode_steps import StepSize, StepTimer, step_cost
from loadtests.bench.kakehashi_backend import CPU
from loadtests.bench.memory import num_parameters
from loadtests.bench.roofline import MEGABYTE, Roofline
from loadtests.bench.step_tables import step_table
from model.checkpoint.config import read_checkpoint
from model.checkpoint.loading import load_unpacked
from tests.support.checkpoints import random_m2m100

ROOFLINE = Roofline({4 * MEGABYTE: 8e10, 100 * MEGABYTE: 2e10}, {"float32": 1e11, "int8": 4e11})
SIZE = StepSize(num_rows=3, num_source_tokens=7, num_self_tokens=12)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("step"), seed=1)


def test_the_bytes_of_a_step_are_those_of_the_weights_that_it_multiplies(directory: Path) -> None:
    checkpoint = read_checkpoint(directory, name="tiny")
    transformer = load_unpacked(checkpoint, dtype=torch.float32, device=CPU)
    matrices = [weight for weight in transformer.decoder_layers.parameters() if weight.ndim == 2]
    num_weights = sum(map(len, map(list, (weight.flatten() for weight in matrices))))
    num_weights += checkpoint.config.decoder_vocab_size * checkpoint.config.d_model
    cost = step_cost(checkpoint.config, SIZE, "int8", kv_dtype=torch.bfloat16)
    assert cost.weight_bytes == num_weights
    assert cost.linear_operations == 2 * 3 * num_weights
    assert cost.kv_bytes == 3 * 2 * (2 * 32) * (7 + 12) * 2


def test_a_floor_is_the_longer_of_reading_and_computing(directory: Path) -> None:
    config = read_checkpoint(directory, name="tiny").config
    one, many = (step_cost(config, StepSize(rows, 7, 12), "float32", kv_dtype=torch.float32) for rows in (1, 1000))
    assert one.floor_seconds(ROOFLINE, "float32") == one.num_bytes / 8e10
    assert many.floor_seconds(ROOFLINE, "float32") == pytest.approx(many.num_operations / 1e11)


def test_a_bandwidth_is_that_of_the_nearest_working_set() -> None:
    assert [ROOFLINE.bandwidth(size * MEGABYTE) for size in (1, 19, 21, 500)] == [8e10, 8e10, 2e10, 2e10]


def test_a_step_is_measured_and_shown_beside_its_floor(directory: Path) -> None:
    measured = StepTimer("tiny", directory, compute_type="float32", roofline=ROOFLINE).measure(SIZE)
    cells = step_table([measured]).splitlines()[2].strip("| ").split(" | ")
    assert cells[:5] == ["tiny", "float32", "3", "7", "12"]
    assert float(cells[-1].replace(",", "")) == pytest.approx(measured.seconds / measured.floor_seconds, abs=0.1)


def test_parameters_are_counted_in_the_file(directory: Path) -> None:
    checkpoint = read_checkpoint(directory, name="tiny")
    assert num_parameters(directory) == load_unpacked(checkpoint, dtype=torch.float32, device=CPU).num_parameters
