"""A fingerprint identifies the numbers of a checkpoint: it changes if and only if they change."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.checkpoint.fingerprint import fingerprint
from tests.support.checkpoints import random_m2m100


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("fingerprint"), seed=1)


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def of(directory: Path, name: str = "any") -> str:
    return fingerprint(read_checkpoint(directory, name=name))


def test_fingerprint_does_not_depend_on_name_and_place(directory: Path, copy: Path) -> None:
    (copy / "README.md").write_text("not the model")
    assert of(directory) == of(copy, name="other")


def test_fingerprint_differs_by_one_weight(directory: Path, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert of(directory) != of(copy)


def test_fingerprint_differs_by_the_configuration(directory: Path, copy: Path) -> None:
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"scale_embedding": true', '"scale_embedding": false'))
    assert of(directory) != of(copy)


def test_fingerprint_covers_every_shard(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    names = sorted(tensors)
    (copy / "model.safetensors").unlink()
    for place, part in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in part}, copy / f"{place}.safetensors", metadata={"format": "pt"})
    index = {name: f"{place % 2}.safetensors" for place, name in enumerate(names)}
    (copy / "model.safetensors.index.json").write_text(str({"weight_map": index}).replace("'", '"'))
    before = of(copy)
    tensors[names[1]].view(-1)[0] += 1
    save_file({name: tensors[name] for name in names[1::2]}, copy / "1.safetensors", metadata={"format": "pt"})
    assert of(copy) != before


def test_fingerprint_without_weights_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        of(copy)
