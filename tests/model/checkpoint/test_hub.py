"""A reference is a directory or a hub id; anything else, and what cannot be had, is refused by name."""

from pathlib import Path

import pytest
from huggingface_hub import constants

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
