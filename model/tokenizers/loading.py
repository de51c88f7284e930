"""Load the tokenizer of a checkpoint, by family.

A family is a function that reads its tokenizer with `transformers` and builds a `Tokenizer` from it: how plain text
becomes piece ids, which ids surround them, and the text of every id. The object of `transformers` keeps the current
language as state, so it is dropped afterwards; a `Tokenizer` has no state and may be shared.

Nothing here imports torch, and `transformers` is imported when a tokenizer is loaded.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from model.checkpoint.config import Checkpoint, CheckpointError
from model.tokenizers.base import SourceFrame, Tokenizer
from model.tokenizers.text_families import bart, pegasus, t5
from model.tokenizers.translation_families import m2m_100, marian, mbart

__all__ = ["SourceFrame", "Tokenizer", "load_tokenizer"]


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Raises CheckpointError, which names the file, if a tokenizer file is missing or cannot be read."""
    family = _FAMILIES.get(checkpoint.config.model_type)
    if family is None:
        raise CheckpointError(f"config.json: no tokenizer for model_type {checkpoint.config.model_type!r}")
    tokenizer = family(checkpoint)
    if not any(map(tokenizer.targets_of, tokenizer.source_languages)):
        raise CheckpointError("config.json: languages and pivot_lang leave no pair to translate")
    return tokenizer


_FAMILIES: Mapping[str, Callable[[Checkpoint], Tokenizer]] = MappingProxyType(
    {
        "bart": bart,
        "m2m_100": m2m_100,
        "marian": marian,
        "mbart": mbart,
        "mt5": t5,
        "pegasus": pegasus,
        "t5": t5,
    }
)
