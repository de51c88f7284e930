"""Text to token ids and back, for each family of checkpoints.

A family is a function that reads its tokenizer with `transformers` and takes from it what a `Tokenizer` is: how plain
text becomes piece ids, which ids stand around them, and what each id says. The object of `transformers` keeps the
current language as state, so it is not used after that; a `Tokenizer` has no state and may be shared.

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
    """Raises CheckpointError, naming the file, when a tokenizer file is missing or cannot be read."""
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
