"""Convert a checkpoint to the format of CTranslate2."""

from pathlib import Path

from ctranslate2.converters import TransformersConverter
from transformers.utils import logging

from model.checkpoint.config import ModelConfig, read_checkpoint

PAD = "<pad>"


class TokenIds:
    """Replaces the tokenizer that the converter expects, with a vocabulary that names every token by its id.

    The tokenizers of `transformers` 5 no longer list the language tokens of M2M-100 where the converter looks for them,
    which leaves the vocabulary shorter than the embeddings. Names made from the config always match the number of
    embeddings, and need no tokenizer files.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self.unk_token_id = 3 if config.model_type == "m2m_100" else 1
        self.bos_token = self._name(config.bos_token_id if config.bos_token_id is not None else config.eos_token_id)
        self.eos_token = self._name(config.eos_token_id)
        self.unk_token = self._name(self.unk_token_id)
        self.special_tokens_map: dict[str, list[str]] = {}

    def get_vocab(self) -> dict[str, int]:
        return {self._name(token_id): token_id for token_id in range(self._config.vocab_size)}

    def convert_ids_to_tokens(self, token_id: int) -> str:
        return self._name(token_id)

    def _name(self, token_id: int) -> str:
        """The converter finds a Marian's padding token, which it removes, by this name."""
        return PAD if token_id == self._config.pad_token_id else str(token_id)


class Converter(TransformersConverter):  # type: ignore[misc]  # it is untyped
    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self._token_ids = TokenIds(read_checkpoint(directory, name=directory.name).config)

    def load_tokenizer(self, *_: object, **__: object) -> TokenIds:
        return self._token_ids


def convert(directory: Path, output: Path, *, compute_type: str) -> Path:
    """Create and return `output`, which must not exist."""
    logging.disable_progress_bar()
    Converter(directory).convert(str(output), quantization=compute_type)
    return output
