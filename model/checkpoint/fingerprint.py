"""The identity of a checkpoint's contents, independent of its name and location."""

import hashlib

from model.checkpoint.config import Checkpoint
from model.checkpoint.weight_files import find_weight_files


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256 of `config.json` and all weight files, in hexadecimal. Raises CheckpointError if there are no weights."""
    whole = hashlib.sha256()
    for path in [checkpoint.directory / "config.json", *find_weight_files(checkpoint.directory)]:
        with path.open("rb") as file:
            # Hash one digest a file: concatenated contents could be split into files in more than one way.
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
