"""Which numbers a checkpoint holds, whatever it is called and wherever it lies."""

import hashlib

from model.checkpoint.config import Checkpoint
from model.checkpoint.weight_files import find_weight_files


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256 of its `config.json` and of all its weight files, in hexadecimal. Raises CheckpointError without any."""
    whole = hashlib.sha256()
    for path in [checkpoint.directory / "config.json", *find_weight_files(checkpoint.directory)]:
        with path.open("rb") as file:
            # Of each file its own digest: contents that follow each other could be cut in more ways than one.
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
