"""Tokenizers of the translation families: M2M-100, NLLB and mBART with language tokens, and Marian."""

import re
from typing import Any

import sentencepiece

from model.checkpoint.config import Checkpoint, CheckpointError
from model.tokenizers.alphabet import Alphabet
from model.tokenizers.base import (
    SourceFrame,
    Tokenizer,
    direct_frames,
    pivot_language,
    read_backend,
    sentencepiece_ids,
    sentencepiece_table,
    served_languages,
    word_start_table,
)
from model.tokenizers.files import backend_file, check_ids, load_pretrained, read_tokenizer_settings, tokenizer_class
from model.tokenizers.languages import public_code, public_codes


def m2m_100(checkpoint: Checkpoint) -> Tokenizer:
    default = "M2M100Tokenizer" if (checkpoint.directory / "vocab.json").exists() else "NllbTokenizer"
    name = tokenizer_class(checkpoint, ("M2M100Tokenizer", "NllbTokenizer"), default=default)
    return _m2m_100(checkpoint) if name == "M2M100Tokenizer" else _nllb(checkpoint)


def _m2m_100(checkpoint: Checkpoint) -> Tokenizer:
    from transformers.models.m2m_100.tokenization_m2m_100 import M2M100Tokenizer

    source = load_pretrained(M2M100Tokenizer, checkpoint, required=("vocab.json", "sentencepiece.bpe.model"))
    spm: sentencepiece.SentencePieceProcessor = source.sp_model
    language_ids: dict[str, int] = source.lang_code_to_id
    hidden = {*source.all_special_ids, *language_ids.values()}
    vocab = {piece: token_id for piece, token_id in source.encoder.items() if token_id not in hidden}
    languages = served_languages(checkpoint, public_codes(language_ids))
    ids = {public: language_ids[code] for public, code in languages.items()}
    eos = (source.eos_token_id,)
    names = {token_id: piece for piece, token_id in source.encoder.items()}
    names |= {token_id: f"__{code}__" for code, token_id in language_ids.items()}
    check_ids((*vocab.values(), *ids.values()), size=checkpoint.config.vocab_size, file="vocab.json")
    pivot_lang = pivot_language(checkpoint, ids)
    frames = {code: SourceFrame((token_id,), eos) for code, token_id in ids.items()}
    piece_ids = sentencepiece_ids(spm, vocab, unk_token_id=source.unk_token_id)
    return Tokenizer(
        frames=direct_frames(frames, dict.fromkeys(ids, ()), pivot_lang=pivot_lang),
        decoder_prompts={code: (checkpoint.config.decoder_start_token_id, token_id) for code, token_id in ids.items()},
        pivot_lang=pivot_lang,
        piece_ids=piece_ids,
        pieces=sentencepiece_table(spm, vocab, size=checkpoint.config.decoder_vocab_size),
        source_names=names,
        target_names=names,
        alphabet=Alphabet(piece_ids, unk_token_id=source.unk_token_id),
    )


_NLLB_LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


def _nllb(checkpoint: Checkpoint) -> Tokenizer:
    from transformers.models.nllb.tokenization_nllb import NllbTokenizer

    file = backend_file(checkpoint, "sentencepiece.bpe.model")
    source = load_pretrained(NllbTokenizer, checkpoint, required=(file,))
    tokens: list[str] = [token for token in source.all_special_tokens if _NLLB_LANGUAGE.fullmatch(token)]
    languages = served_languages(checkpoint, public_codes(tokens))
    ids: dict[str, int] = {public: source.convert_tokens_to_ids(token) for public, token in languages.items()}
    check_ids(ids.values(), size=checkpoint.config.vocab_size, file=file)
    piece_ids, shown, names = read_backend(source, checkpoint, file=file)
    eos = source.eos_token_id

    def frame(token_id: int) -> SourceFrame:
        return SourceFrame(after=(eos, token_id)) if source.legacy_behaviour else SourceFrame((token_id,), (eos,))

    pivot_lang = pivot_language(checkpoint, ids)
    frames = {code: frame(token_id) for code, token_id in ids.items()}
    return Tokenizer(
        frames=direct_frames(frames, dict.fromkeys(ids, ()), pivot_lang=pivot_lang),
        decoder_prompts={code: (checkpoint.config.decoder_start_token_id, token_id) for code, token_id in ids.items()},
        pivot_lang=pivot_lang,
        piece_ids=piece_ids,
        pieces=word_start_table(shown, checkpoint),
        source_names=names,
        target_names=names,
        alphabet=Alphabet(piece_ids, unk_token_id=source.unk_token_id),
    )


def mbart(checkpoint: Checkpoint) -> Tokenizer:
    """mBART-50 and mBART-25. Public codes drop the region of `de_DE` or `en_XX`, since every language has only one.

    If the checkpoint fixes the start token or the first token, that is its only target, as in
    `facebook/mbart-large-50-many-to-one-mmt` and `facebook/mbart-large-en-ro`.
    """
    name = tokenizer_class(checkpoint, ("MBartTokenizer", "MBart50Tokenizer"), default="MBartTokenizer")
    source, file = _load_mbart(checkpoint, name)
    language_ids: dict[str, int] = source.lang_code_to_id
    public = {public_code(code.split("_")[0]): code for code in language_ids}
    ids = {code: language_ids[own] for code, own in served_languages(checkpoint, public).items()}
    check_ids(ids.values(), size=checkpoint.config.vocab_size, file=file)
    piece_ids, shown, names = read_backend(source, checkpoint, file=file)
    start, eos = checkpoint.config.decoder_start_token_id, source.eos_token_id
    prompts: dict[str, tuple[int, ...]]
    if name == "MBart50Tokenizer":
        frames = {code: SourceFrame((token_id,), (eos,)) for code, token_id in ids.items()}
        prompts = {code: (start, token_id) for code, token_id in ids.items()}
        only = checkpoint.generation.forced_bos_token_id
    else:
        if checkpoint.generation.forced_bos_token_id is not None:
            raise CheckpointError(
                "forced_bos_token_id is not implemented for mBART-25, where the start token selects the target"
            )
        frames = {code: SourceFrame(after=(eos, token_id)) for code, token_id in ids.items()}
        prompts = {code: (token_id,) for code, token_id in ids.items()}
        only = start if start in language_ids.values() else None
    targets = {code: () for code, token_id in ids.items() if only in (None, token_id)}
    pivot_lang = pivot_language(checkpoint, ids)
    return Tokenizer(
        frames=direct_frames(frames, targets, pivot_lang=pivot_lang),
        decoder_prompts=prompts,
        pivot_lang=pivot_lang,
        piece_ids=piece_ids,
        pieces=word_start_table(shown, checkpoint),
        source_names=names,
        target_names=names,
        alphabet=Alphabet(piece_ids, unk_token_id=source.unk_token_id),
    )


def _load_mbart(checkpoint: Checkpoint, name: str) -> tuple[Any, str]:
    from transformers.models.mbart.tokenization_mbart import MBartTokenizer
    from transformers.models.mbart50.tokenization_mbart50 import MBart50Tokenizer

    file = backend_file(checkpoint, "sentencepiece.bpe.model")
    source = load_pretrained(
        MBart50Tokenizer if name == "MBart50Tokenizer" else MBartTokenizer, checkpoint, required=(file,)
    )
    return source, file


_MARIAN_TARGET = re.compile(r">>\S+<<")


def marian(checkpoint: Checkpoint) -> Tokenizer:
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
    pivot_lang = pivot_language(checkpoint, tags)
    frame = SourceFrame(after=(source.eos_token_id,))
    piece_ids = sentencepiece_ids(source.spm_source, vocab, unk_token_id=source.unk_token_id)
    return Tokenizer(
        frames=direct_frames(dict.fromkeys(public_codes(sources), frame), tags, pivot_lang=pivot_lang),
        decoder_prompts=dict.fromkeys(tags, (config.decoder_start_token_id,)),
        pivot_lang=pivot_lang,
        piece_ids=piece_ids,
        pieces=sentencepiece_table(
            source.spm_target if source.separate_vocabs else source.spm_source, shown, size=config.decoder_vocab_size
        ),
        source_names={token_id: piece for piece, token_id in source.encoder.items()},
        target_names=dict(source.decoder),
        alphabet=Alphabet(piece_ids, unk_token_id=source.unk_token_id),
        target_piece_ids=sentencepiece_ids(source.spm_target, shown, unk_token_id=source.unk_token_id),
    )


def _marian_languages(checkpoint: Checkpoint, key: str) -> list[str]:
    """One language, several (`cat_oci_spa`), or the name of a group (`ROMANCE`), which is kept as a code."""
    value = read_tokenizer_settings(checkpoint.directory).get(key)
    if not isinstance(value, str) or not value:
        raise CheckpointError(f"tokenizer_config.json: {key} is missing")
    parts = re.split(r"[_+]", value)
    return parts if all(re.fullmatch(r"[a-z]{3}", part) for part in parts) else [value]
