"""Locate a checkpoint: a directory, or a Hugging Face hub id, which is downloaded into the hub's own cache."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from model.checkpoint.fields import CheckpointError
from model.checkpoint.weight_files import FORMATS, find_weight_files, index_name

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_CONFIGURATION = ("*.json", "*.model", "*.spm", "merges.txt")


def resolve_checkpoint(reference: str) -> Path:
    """The directory of `reference`: a directory, or `org/name[@revision]` on the hub (`HF_HUB_OFFLINE` is honoured).

    A directory wins over a hub id of the same spelling. Only weight files that will be read are downloaded.
    Raises CheckpointError naming the reference.
    """
    directory = Path(reference).expanduser()
    if reference and directory.is_dir():
        return directory
    hub_id = _HUB_ID.fullmatch(reference)
    if hub_id is None or reference.startswith("."):
        raise CheckpointError(f"{reference}: neither a directory nor a hub id (org/name or org/name@revision)")
    try:
        snapshot = _snapshot(hub_id)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(f"{reference}: not a directory, and not available from the hub: {error}") from error
    return snapshot


def _snapshot(hub_id: re.Match[str]) -> Path:
    """Download configuration and weights; without weights in a readable format, only the rest."""
    for single in FORMATS:
        snapshot = _download(hub_id, single)
        if (snapshot / single).exists():
            break
        if (snapshot / index_name(single)).exists():
            return _download(hub_id, *(path.name for path in find_weight_files(snapshot).files))
    return snapshot


def _download(hub_id: re.Match[str], *weights: str) -> Path:
    patterns = [*_CONFIGURATION, *weights]
    return Path(snapshot_download(hub_id["repo"], revision=hub_id["revision"], allow_patterns=patterns))
