"""Text to token ids and back, for each family of checkpoints.

A family is a function that reads its tokenizer with `transformers` and takes from it what a `Tokenizer` is: how plain
text becomes piece ids, which ids stand around them, and what each id says. The object of `transformers` keeps the
current language as state, so it is not used after that; a `Tokenizer` has no state and may be shared.

Text is only ever text: `</s>` or `>>fra<<` in a source is those characters, never a special token.

Nothing here imports torch, and `transformers` is imported when a tokenizer is loaded.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sentencepiece

from model.config import Checkpoint, CheckpointError
from model.detokenizer import IncrementalDetokenizer, PieceTable, decode
from model.languages import match_code, public_codes
from model.tokenizer_files import check_ids, load_pretrained, read_tokenizer_settings


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """The special tokens around the pieces of a source."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Text to ids and back. All codes are the public ones, of `source_languages` and `targets_of`: see `match`."""

    source_frames: Mapping[str, SourceFrame]
    target_tags: Mapping[str, tuple[int, ...]]
    """What goes in front of a source to ask for this target (Marian's `>>fra<<`)."""
    decoder_prompts: Mapping[str, tuple[int, ...]]
    pivot_lang: str | None
    piece_ids: Callable[[str], list[int]]
    pieces: PieceTable

    @property
    def source_languages(self) -> tuple[str, ...]:
        return tuple(self.source_frames)

    def targets_of(self, source: str) -> tuple[str, ...]:
        """The targets that the model was trained to reach from `source` directly; none for an unknown source."""
        if source not in self.source_frames:
            return ()
        pivot = self.pivot_lang
        return tuple(code for code in self.target_tags if code != source and (pivot is None or pivot in (source, code)))

    def match(self, code: str, *, among: Iterable[str]) -> str | None:
        """The one of `among` that a client means by `code`: BCP 47 in any case, `deu_Latn` as well."""
        return match_code(code, among=among)

    def encode_source(self, text: str, *, source_lang: str, target_lang: str) -> list[int]:
        """Encoder input ids, complete. A lone surrogate cannot be encoded: refuse it before."""
        frame = self.source_frames[source_lang]
        return [*self.target_tags[target_lang], *frame.before, *self.piece_ids(text), *frame.after]

    def count_tokens(self, text: str) -> int:
        """The pieces of `text`, special tokens not counted."""
        return len(self.piece_ids(text))

    @property
    def num_source_specials(self) -> int:
        """How many special tokens `encode_source` adds, at most."""
        most_in_frame = max(len(frame.before) + len(frame.after) for frame in self.source_frames.values())
        return most_in_frame + max(map(len, self.target_tags.values()))

    def decoder_prompt(self, target_lang: str) -> list[int]:
        """N₀: the decoder's start token and, where one model has many targets, the language's token."""
        return list(self.decoder_prompts[target_lang])

    def decode(self, ids: Sequence[int]) -> str:
        return decode(self.pieces, ids)

    def detokenizer(self) -> IncrementalDetokenizer:
        return IncrementalDetokenizer(self.pieces)


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Raises CheckpointError, naming the file, when a tokenizer file is missing or cannot be read."""
    family = _FAMILIES.get(checkpoint.config.model_type)
    if family is None:
        raise CheckpointError(f"config.json: no tokenizer for model_type {checkpoint.config.model_type!r}")
    return family(checkpoint)


def _many_to_many(checkpoint: Checkpoint) -> Tokenizer:
    settings = read_tokenizer_settings(checkpoint.directory)
    default = "M2M100Tokenizer" if (checkpoint.directory / "vocab.json").exists() else "NllbTokenizer"
    name = settings.get("tokenizer_class") or default
    if name == "M2M100Tokenizer":
        return _m2m_100(checkpoint)
    if name in ("NllbTokenizer", "NllbTokenizerFast"):
        return _nllb(checkpoint)
    raise CheckpointError(f"tokenizer_config.json: tokenizer_class {name!r} is not supported")


def _m2m_100(checkpoint: Checkpoint) -> Tokenizer:
    from transformers.models.m2m_100.tokenization_m2m_100 import M2M100Tokenizer

    source = load_pretrained(M2M100Tokenizer, checkpoint, required=("vocab.json", "sentencepiece.bpe.model"))
    spm: sentencepiece.SentencePieceProcessor = source.sp_model
    language_ids: dict[str, int] = source.lang_code_to_id
    hidden = {*source.all_special_ids, *language_ids.values()}
    vocab = {piece: token_id for piece, token_id in source.encoder.items() if token_id not in hidden}
    languages = _served_languages(checkpoint, public_codes(language_ids))
    ids = {public: language_ids[code] for public, code in languages.items()}
    eos = (source.eos_token_id,)
    check_ids((*vocab.values(), *ids.values()), size=checkpoint.config.vocab_size, file="vocab.json")
    return Tokenizer(
        source_frames={code: SourceFrame(before=(token_id,), after=eos) for code, token_id in ids.items()},
        target_tags=dict.fromkeys(ids, ()),
        decoder_prompts={code: (checkpoint.config.decoder_start_token_id, token_id) for code, token_id in ids.items()},
        pivot_lang=_pivot_lang(checkpoint, ids),
        piece_ids=_sentencepiece_ids(spm, vocab, unk_token_id=source.unk_token_id),
        pieces=_sentencepiece_table(spm, vocab, size=checkpoint.config.decoder_vocab_size),
    )


_NLLB_LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


def _nllb(checkpoint: Checkpoint) -> Tokenizer:
    from transformers.models.nllb.tokenization_nllb import NllbTokenizer

    has_json = (checkpoint.directory / "tokenizer.json").exists()
    file = "tokenizer.json" if has_json else "sentencepiece.bpe.model"
    source = load_pretrained(NllbTokenizer, checkpoint, required=(file,))
    backend = source.backend_tokenizer
    backend.encode_special_tokens = True  # special tokens spelled out in a text are plain text
    backend.no_truncation()
    backend.no_padding()
    tokens: list[str] = [token for token in source.all_special_tokens if _NLLB_LANGUAGE.fullmatch(token)]
    languages = _served_languages(checkpoint, public_codes(tokens))
    ids: dict[str, int] = {public: source.convert_tokens_to_ids(token) for public, token in languages.items()}
    vocab: dict[str, int] = source.get_vocab()
    hidden = set(source.all_special_ids)
    shown = {piece: token_id for piece, token_id in vocab.items() if token_id not in hidden}
    check_ids((*shown.values(), *ids.values()), size=checkpoint.config.vocab_size, file=file)
    eos = source.eos_token_id

    def frame(token_id: int) -> SourceFrame:
        return SourceFrame(after=(eos, token_id)) if source.legacy_behaviour else SourceFrame((token_id,), (eos,))

    def piece_ids(text: str) -> list[int]:
        found: list[int] = backend.encode(text, add_special_tokens=False).ids
        return found

    return Tokenizer(
        source_frames={code: frame(token_id) for code, token_id in ids.items()},
        target_tags=dict.fromkeys(ids, ()),
        decoder_prompts={code: (checkpoint.config.decoder_start_token_id, token_id) for code, token_id in ids.items()},
        pivot_lang=_pivot_lang(checkpoint, ids),
        piece_ids=piece_ids,
        pieces=PieceTable.build(
            ((token_id, piece) for piece, token_id in shown.items()),
            size=checkpoint.config.decoder_vocab_size,
            byte_ids=(),
        ),
    )


_MARIAN_TARGET = re.compile(r">>\S+<<")


def _marian(checkpoint: Checkpoint) -> Tokenizer:
    from transformers.models.marian.tokenization_marian import MarianTokenizer

    files = ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json")
    source = load_pretrained(MarianTokenizer, checkpoint, required=files)
    config = checkpoint.config
    hidden = set(source.all_special_ids)
    vocab: dict[str, int] = {piece: token_id for piece, token_id in source.encoder.items() if token_id not in hidden}
    target_tokens = {piece[2:-2]: vocab.pop(piece) for piece in tuple(vocab) if _MARIAN_TARGET.fullmatch(piece)}
    shown = {
        piece: token_id
        for token_id, piece in source.decoder.items()
        if token_id not in hidden and not _MARIAN_TARGET.fullmatch(piece)
    }
    check_ids((*vocab.values(), *target_tokens.values()), size=config.vocab_size, file="vocab.json")
    check_ids(shown.values(), size=config.decoder_vocab_size, file="vocab.json")
    sources = config.languages or _marian_languages(checkpoint, "source_lang")
    tags: dict[str, tuple[int, ...]]
    if target_tokens:
        tags = {public: (target_tokens[code],) for public, code in public_codes(target_tokens).items()}
    else:
        tags = dict.fromkeys(public_codes(_marian_languages(checkpoint, "target_lang")), ())
    return Tokenizer(
        source_frames={code: SourceFrame(after=(source.eos_token_id,)) for code in public_codes(sources)},
        target_tags=tags,
        decoder_prompts=dict.fromkeys(tags, (config.decoder_start_token_id,)),
        pivot_lang=_pivot_lang(checkpoint, tags),
        piece_ids=_sentencepiece_ids(source.spm_source, vocab, unk_token_id=source.unk_token_id),
        pieces=_sentencepiece_table(
            source.spm_target if source.separate_vocabs else source.spm_source, shown, size=config.decoder_vocab_size
        ),
    )


def _marian_languages(checkpoint: Checkpoint, key: str) -> list[str]:
    """A language, several (`cat_oci_spa`), or the name of a group (`ROMANCE`), which then stands for itself."""
    value = read_tokenizer_settings(checkpoint.directory).get(key)
    if not isinstance(value, str) or not value:
        raise CheckpointError(f"tokenizer_config.json: {key} is missing")
    parts = re.split(r"[_+]", value)
    return parts if all(re.fullmatch(r"[a-z]{3}", part) for part in parts) else [value]


_FAMILIES: dict[str, Callable[[Checkpoint], Tokenizer]] = {"m2m_100": _many_to_many, "marian": _marian}


def _sentencepiece_ids(
    spm: sentencepiece.SentencePieceProcessor, vocab: Mapping[str, int], *, unk_token_id: int
) -> Callable[[str], list[int]]:
    """By the piece's text, not its SentencePiece id: the vocabularies of these families are numbered on their own."""
    pieces_of = spm.encode_as_pieces
    id_of = dict(vocab).get

    def piece_ids(text: str) -> list[int]:
        return [id_of(piece, unk_token_id) for piece in pieces_of(text)]

    return piece_ids


def _sentencepiece_table(
    spm: sentencepiece.SentencePieceProcessor, shown: Mapping[str, int], *, size: int
) -> PieceTable:
    spm_ids = {piece: spm.piece_to_id(piece) for piece in shown}
    return PieceTable.build(
        ((token_id, piece) for piece, token_id in shown.items() if not spm.is_control(spm_ids[piece])),
        size=size,
        byte_ids=[token_id for piece, token_id in shown.items() if spm.is_byte(spm_ids[piece])],
    )


def _served_languages(checkpoint: Checkpoint, known: Mapping[str, str]) -> dict[str, str]:
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


def _pivot_lang(checkpoint: Checkpoint, languages: Iterable[str]) -> str | None:
    code = checkpoint.config.pivot_lang
    if code is None:
        return None
    public = match_code(code, among=languages)
    if public is None:
        raise CheckpointError(f"config.json: pivot_lang {code!r} is not among the languages")
    return public
