"""A reference is a directory or a hub id; anything else, and what cannot be had, is refused by name."""

import json
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub import constants

from model.checkpoint import hub
from model.checkpoint.config import CheckpointError
from model.checkpoint.hub import resolve_checkpoint


def test_directory_resolves_to_itself(tmp_path: Path) -> None:
    assert resolve_checkpoint(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("reference", ["./nowhere", "nowhere", "a/b/c", "", "org/name@", "org/na me"])
def test_reference_that_is_neither_directory_nor_hub_id_is_refused(reference: str) -> None:
    with pytest.raises(CheckpointError, match="neither a directory nor a hub id"):
        resolve_checkpoint(reference)


def test_hub_id_that_is_not_cached_is_refused_by_name_when_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"^org/name@v2: .*not available from the hub"):
        resolve_checkpoint("org/name@v2")


def test_cached_snapshot_of_a_revision_is_found_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    refs = tmp_path / "models--org--name" / "refs"
    refs.mkdir()
    (refs / "v2").write_text("a" * 40, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve_checkpoint("org/name@v2") == snapshot


def index(*files: str) -> str:
    return json.dumps({"weight_map": {f"tensor.{place}": file for place, file in enumerate(files)}})


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
PICKLED_SHARDS = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
SAFETENSORS_INDEX, PICKLED_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"


@pytest.mark.parametrize(
    ("offered", "weights"),
    [
        ({"model.safetensors", "pytorch_model.bin", "model.fp16.safetensors", "tf_model.h5"}, {"model.safetensors"}),
        ({"pytorch_model.bin", "rust_model.ot", "adapter.safetensors"}, {"pytorch_model.bin"}),
        ({*SHARDS, SAFETENSORS_INDEX, *PICKLED_SHARDS, PICKLED_INDEX}, set(SHARDS)),
        ({*PICKLED_SHARDS, PICKLED_INDEX, "flax_model.msgpack"}, set(PICKLED_SHARDS)),
        ({"flax_model.msgpack"}, set()),
    ],
)
def test_exactly_the_weights_that_will_be_read_are_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offered: set[str], weights: set[str]
) -> None:
    contents = {SAFETENSORS_INDEX: index(*SHARDS), PICKLED_INDEX: index(*PICKLED_SHARDS)}

    def download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        for name in {"config.json", "source.spm", "README.md", *offered}:
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (tmp_path / name).write_text(contents.get(name, ""))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert resolve_checkpoint("org/name") == tmp_path
    downloaded = {path.name for path in tmp_path.iterdir()}
    assert downloaded == {"config.json", "source.spm", *weights} | (offered & contents.keys())
