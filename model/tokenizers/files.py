"""Reading the tokenizer files of a checkpoint with `transformers`; errors name the file."""

import json
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from model.checkpoint.config import Checkpoint, CheckpointError
from model.checkpoint.fields import Fields


def check_ids(ids: Iterable[int], *, size: int, file: str) -> None:
    """Raises CheckpointError for an id without an embedding, which would fail while serving."""
    largest = max(ids)
    if largest >= size:
        raise CheckpointError(f"{file}: token id {largest} is outside the vocabulary of {size} in config.json")


def read_tokenizer_settings(directory: Path) -> dict[str, Any]:
    path = directory / "tokenizer_config.json"
    if not path.exists():
        return {}
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"tokenizer_config.json: {error}") from error
    if not isinstance(settings, dict):
        raise CheckpointError("tokenizer_config.json: not a JSON object")
    return settings


def backend_file(checkpoint: Checkpoint, original: str) -> str:
    """`tokenizer.json`, or in older checkpoints the `original` file that it is made from."""
    return "tokenizer.json" if (checkpoint.directory / "tokenizer.json").exists() else original


def tokenizer_class(checkpoint: Checkpoint, supported: Collection[str], *, default: str) -> str:
    """The class in tokenizer_config.json or, in older checkpoints, config.json, without `Fast`.

    Raises CheckpointError for a class that is not in `supported`.
    """
    for file in ("tokenizer_config.json", "config.json"):
        path = checkpoint.directory / file
        named = Fields.read(path).optional_string("tokenizer_class") if path.exists() else None
        if named is None:
            continue
        if named.removesuffix("Fast") not in supported:
            raise CheckpointError(f"{file}: tokenizer_class {named!r} is not supported")
        return named.removesuffix("Fast")
    return default


def load_pretrained(tokenizer_class: Any, checkpoint: Checkpoint, *, required: Sequence[str]) -> Any:
    """Load the tokenizer of `transformers` from the checkpoint's directory, never from the network."""
    for name in required:
        if not (checkpoint.directory / name).is_file():
            raise CheckpointError(f"{name}: missing from {checkpoint.directory}")
    read_tokenizer_settings(checkpoint.directory)
    try:
        with warnings.catch_warnings():  # MarianTokenizer recommends a package that its encoding does not use
            warnings.simplefilter("ignore")
            return tokenizer_class.from_pretrained(str(checkpoint.directory), local_files_only=True)
    except Exception as error:
        culprit = _broken_file(checkpoint.directory, required) or "tokenizer"
        raise CheckpointError(f"{culprit}: cannot be read: {error}") from error


def _broken_file(directory: Path, names: Sequence[str]) -> str | None:
    for name in names:
        try:
            if name.endswith(".json"):
                if not isinstance(json.loads((directory / name).read_bytes()), dict):
                    return name
            else:
                sentencepiece.SentencePieceProcessor(model_file=str(directory / name))
        except (ValueError, OSError, RuntimeError):
            return name
    return None
