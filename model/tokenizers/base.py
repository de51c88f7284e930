"""`Tokenizer`, and the parts that the families build it from.

Text is never markup: `</s>` or `>>fra<<` in a source is those characters, not a special token.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece

from model.checkpoint.config import Checkpoint, CheckpointError
from model.tokenizers.alphabet import Alphabet
from model.tokenizers.detokenizer import IncrementalDetokenizer, PieceTable, decode
from model.tokenizers.files import check_ids
from model.tokenizers.languages import match_code

PieceIds = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """The tokens around the pieces of a source: special tokens, a target's tag, an instruction to the model."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


Frames = Mapping[str, Mapping[str, SourceFrame]]
"""Source -> target -> frame, for every pair that the model translates directly."""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Text to ids and back. All codes are public codes, from `source_languages` and `targets_of`; see `match`."""

    frames: Frames
    decoder_prompts: Mapping[str, tuple[int, ...]]
    pivot_lang: str | None
    piece_ids: PieceIds
    pieces: PieceTable
    source_names: Mapping[int, str]
    """Every source token as spelled in the vocabulary, including special tokens."""
    target_names: Mapping[int, str]
    alphabet: Alphabet
    """Of sources."""
    target_piece_ids: PieceIds | None = None
    """Tokenizes text of the target language; None: as for the source."""

    @property
    def source_languages(self) -> tuple[str, ...]:
        return tuple(self.frames)

    def targets_of(self, source: str) -> tuple[str, ...]:
        """The targets that the model translates to from `source` directly; empty for an unknown source."""
        return tuple(self.frames.get(source, ()))

    def match(self, code: str, *, among: Iterable[str]) -> str | None:
        """The language of `among` that a client means by `code`: BCP 47 in any letter case, or `deu_Latn`."""
        return match_code(code, among=among)

    def encode_source(self, text: str, *, source_lang: str, target_lang: str) -> list[int]:
        """The complete encoder input ids. `text` must not contain lone surrogates."""
        return self.frame_source(self.piece_ids(text), source_lang=source_lang, target_lang=target_lang)

    def frame_source(self, piece_ids: Sequence[int], *, source_lang: str, target_lang: str) -> list[int]:
        """The complete encoder input ids, given the `piece_ids` of the text."""
        frame = self.frames[source_lang][target_lang]
        return [*frame.before, *piece_ids, *frame.after]

    def count_tokens(self, text: str) -> int:
        """The number of pieces of `text`, without the tokens that `encode_source` adds around them."""
        return len(self.piece_ids(text))

    @property
    def num_source_specials(self) -> int:
        """The most tokens that `encode_source` adds around the pieces of a text."""
        return max(
            len(frame.before) + len(frame.after) for targets in self.frames.values() for frame in targets.values()
        )

    def decoder_prompt(self, target_lang: str) -> list[int]:
        """N₀: the decoder's start token and, if the model has many targets, the token of the language."""
        return list(self.decoder_prompts[target_lang])

    def encode_prefix(self, text: str) -> list[int]:
        """The token ids after the decoder prompt for a translation that starts with `text`."""
        return (self.target_piece_ids or self.piece_ids)(text)

    def decode(self, ids: Sequence[int]) -> str:
        return decode(self.pieces, ids)

    def detokenizer(self) -> IncrementalDetokenizer:
        return IncrementalDetokenizer(self.pieces)


def direct_frames(
    sources: Mapping[str, SourceFrame], targets: Mapping[str, tuple[int, ...]], *, pivot_lang: str | None
) -> Frames:
    """Pair each source with every other target, or only with the pivot. The target's tag precedes the frame."""
    return {
        source: {
            target: SourceFrame((*tag, *frame.before), frame.after) if tag else frame
            for target, tag in targets.items()
            if target != source and pivot_lang in (None, source, target)
        }
        for source, frame in sources.items()
    }


def served_languages(checkpoint: Checkpoint, known: Mapping[str, str]) -> dict[str, str]:
    """The `known` languages (public -> own code) that `languages` in config.json lists, in its order."""
    if checkpoint.config.languages is None:
        return dict(known)
    served = {}
    for code in checkpoint.config.languages:
        public = match_code(code, among=known)
        if public is None:
            raise CheckpointError(f"config.json: languages has {code!r}, which the tokenizer does not know")
        served[public] = known[public]
    return served


def pivot_language(checkpoint: Checkpoint, languages: Iterable[str]) -> str | None:
    code = checkpoint.config.pivot_lang
    if code is None:
        return None
    public = match_code(code, among=languages)
    if public is None:
        raise CheckpointError(f"config.json: pivot_lang {code!r} is not among the languages")
    return public


def read_backend(source: Any, checkpoint: Checkpoint, *, file: str) -> tuple[PieceIds, dict[int, str], dict[int, str]]:
    """Read a `tokenizers` backend: text to piece ids, id -> piece of the pieces that may be shown, and of all pieces.

    Resets the backend's settings for truncation, padding and added tokens. Raises CheckpointError for an id without an
    embedding.
    """
    vocab: dict[str, int] = source.get_vocab()
    hidden = set(source.all_special_ids)
    shown = {token_id: piece for piece, token_id in vocab.items() if token_id not in hidden}
    check_ids(shown, size=checkpoint.config.vocab_size, file=file)
    backend = source.backend_tokenizer
    backend.encode_special_tokens = True  # special tokens spelled out in a text are plain text
    backend.no_truncation()
    backend.no_padding()
    _hide_specials(backend, hidden)

    def piece_ids(text: str) -> list[int]:
        found: list[int] = backend.encode(text, add_special_tokens=False).ids
        return found

    return piece_ids, shown, {token_id: piece for piece, token_id in vocab.items()}


def _hide_specials(backend: Any, hidden: Container[int]) -> None:
    """Keep a Unigram model from finding special tokens in text: with a space in their pieces, none can match."""
    from tokenizers.models import Unigram

    if not isinstance(backend.model, Unigram):
        return
    model = json.loads(backend.to_str())["model"]
    pieces = [
        (f" {piece}" if token_id in hidden else piece, score) for token_id, (piece, score) in enumerate(model["vocab"])
    ]
    backend.model = Unigram(pieces, model["unk_id"], model.get("byte_fallback", False))


def word_start_table(shown: Mapping[int, str], checkpoint: Checkpoint) -> PieceTable:
    """The table of pieces that write a space as `▁`, without byte pieces."""
    return PieceTable.build(shown.items(), size=checkpoint.config.decoder_vocab_size, byte_ids=())


def sentencepiece_ids(
    spm: sentencepiece.SentencePieceProcessor, vocab: Mapping[str, int], *, unk_token_id: int
) -> PieceIds:
    """Look ids up by the piece's text: the vocabularies of these families do not use SentencePiece's numbers."""
    pieces_of = spm.encode_as_pieces
    id_of = dict(vocab).get

    def piece_ids(text: str) -> list[int]:
        return [id_of(piece, unk_token_id) for piece in pieces_of(text)]

    return piece_ids


def sentencepiece_table(
    spm: sentencepiece.SentencePieceProcessor, shown: Mapping[str, int], *, size: int
) -> PieceTable:
    spm_ids = {piece: spm.piece_to_id(piece) for piece in shown}
    return PieceTable.build(
        ((token_id, piece) for piece, token_id in shown.items() if not spm.is_control(spm_ids[piece])),
        size=size,
        byte_ids=[token_id for piece, token_id in shown.items() if spm.is_byte(spm_ids[piece])],
    )
