"""What a tokenizer is here, and what the families build it from.

Text is only ever text: `</s>` or `>>fra<<` in a source is those characters, never a special token.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece

from model.checkpoint.config import Checkpoint, CheckpointError
from model.tokenizers.detokenizer import IncrementalDetokenizer, PieceTable, decode
from model.tokenizers.files import check_ids
from model.tokenizers.languages import match_code

PieceIds = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """The tokens around the pieces of a source: special ones, a target's tag, an instruction to the model."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


Frames = Mapping[str, Mapping[str, SourceFrame]]
"""Source -> target -> frame, for each pair that the model was trained to translate directly."""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Text to ids and back. All codes are the public ones, of `source_languages` and `targets_of`: see `match`."""

    frames: Frames
    decoder_prompts: Mapping[str, tuple[int, ...]]
    pivot_lang: str | None
    piece_ids: PieceIds
    pieces: PieceTable
    source_names: Mapping[int, str]
    """Every source token as its vocabulary writes it, special ones too."""
    target_names: Mapping[int, str]
    target_piece_ids: PieceIds | None = None
    """For text of the target language; None: as for the source."""

    @property
    def source_languages(self) -> tuple[str, ...]:
        return tuple(self.frames)

    def targets_of(self, source: str) -> tuple[str, ...]:
        """The targets that the model was trained to reach from `source` directly; none for an unknown source."""
        return tuple(self.frames.get(source, ()))

    def match(self, code: str, *, among: Iterable[str]) -> str | None:
        """The one of `among` that a client means by `code`: BCP 47 in any case, `deu_Latn` as well."""
        return match_code(code, among=among)

    def encode_source(self, text: str, *, source_lang: str, target_lang: str) -> list[int]:
        """Encoder input ids, complete. A lone surrogate cannot be encoded: refuse it before."""
        return self.frame_source(self.piece_ids(text), source_lang=source_lang, target_lang=target_lang)

    def frame_source(self, piece_ids: Sequence[int], *, source_lang: str, target_lang: str) -> list[int]:
        """The complete input, around the `piece_ids` of its text."""
        frame = self.frames[source_lang][target_lang]
        return [*frame.before, *piece_ids, *frame.after]

    def count_tokens(self, text: str) -> int:
        """The pieces of `text`, without what `encode_source` puts around them."""
        return len(self.piece_ids(text))

    @property
    def num_source_specials(self) -> int:
        """How many tokens `encode_source` puts around the pieces of a text, at most."""
        return max(
            len(frame.before) + len(frame.after) for targets in self.frames.values() for frame in targets.values()
        )

    def decoder_prompt(self, target_lang: str) -> list[int]:
        """N₀: the decoder's start token and, where one model has many targets, the language's token."""
        return list(self.decoder_prompts[target_lang])

    def encode_prefix(self, text: str) -> list[int]:
        """What follows the decoder prompt of a translation that starts with `text`."""
        return (self.target_piece_ids or self.piece_ids)(text)

    def decode(self, ids: Sequence[int]) -> str:
        return decode(self.pieces, ids)

    def detokenizer(self) -> IncrementalDetokenizer:
        return IncrementalDetokenizer(self.pieces)


def direct_frames(
    sources: Mapping[str, SourceFrame], targets: Mapping[str, tuple[int, ...]], *, pivot_lang: str | None
) -> Frames:
    """Each source with each other target, of which one is the pivot; a target's tag goes before the source's frame."""
    return {
        source: {
            target: SourceFrame((*tag, *frame.before), frame.after) if tag else frame
            for target, tag in targets.items()
            if target != source and pivot_lang in (None, source, target)
        }
        for source, frame in sources.items()
    }


def served_languages(checkpoint: Checkpoint, known: Mapping[str, str]) -> dict[str, str]:
    """Of the tokenizer's languages (public -> own code) those that `languages` in config.json lists, in its order."""
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
    """Of a tokenizer with a `tokenizers` backend: text to piece ids, id -> piece of what may be shown, and of all.

    The backend keeps settings, so what it would cut, pad or add is taken out here. Raises CheckpointError for an id
    without an embedding.
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
    """A Unigram model finds special tokens in plain text, for they are pieces like others: none has a space in it."""
    from tokenizers.models import Unigram

    if not isinstance(backend.model, Unigram):
        return
    model = json.loads(backend.to_str())["model"]
    pieces = [
        (f" {piece}" if token_id in hidden else piece, score) for token_id, (piece, score) in enumerate(model["vocab"])
    ]
    backend.model = Unigram(pieces, model["unk_id"], model.get("byte_fallback", False))


def word_start_table(shown: Mapping[int, str], checkpoint: Checkpoint) -> PieceTable:
    """Of pieces with `▁` for a space, and none for a byte."""
    return PieceTable.build(shown.items(), size=checkpoint.config.decoder_vocab_size, byte_ids=())


def sentencepiece_ids(
    spm: sentencepiece.SentencePieceProcessor, vocab: Mapping[str, int], *, unk_token_id: int
) -> PieceIds:
    """By the piece's text, not its SentencePiece id: the vocabularies of these families are numbered on their own."""
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
