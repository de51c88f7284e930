"""Checkpoint directories with configuration and tokenizer files but no weights."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from transformers import (
    M2M100Tokenizer,
    MarianTokenizer,
    MBart50Tokenizer,
    MBartTokenizer,
    NllbTokenizer,
    PegasusTokenizer,
    RobertaTokenizer,
    T5Tokenizer,
)

from loadtests.bench.source_lines import read_sources
from model.checkpoint.config import Checkpoint, read_checkpoint
from model.tokenizers.loading import Tokenizer, load_tokenizer
from tests.support.checkpoint_families import random_bart, random_mbart, random_pegasus, random_t5
from tests.support.checkpoints import BUNDLED, Shape, random_marian

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]


def copy_bundled(directory: Path) -> Path:
    shutil.copytree(BUNDLED, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    return directory


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def m2m100_with_byte_pieces(directory: Path) -> Checkpoint:
    """Like the bundled checkpoint, but with few pieces, and the 256 byte pieces for all other characters."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(source.text for source in read_sources()),
        model_writer=model,
        vocab_size=600,
        hard_vocab_limit=False,
        character_coverage=0.98,
        byte_fallback=True,
        num_threads=1,
        minloglevel=2,
    )
    spm = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    vocab = SPECIALS + [spm.id_to_piece(index) for index in range(3, spm.get_piece_size())]
    copy_bundled(directory)
    (directory / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    (directory / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(vocab)}))
    edit_json(directory / "config.json", vocab_size=len(vocab) + 108)
    return read_checkpoint(directory, name="bytes")


def nllb(directory: Path, *, legacy: bool = False) -> Checkpoint:
    """An NLLB tokenizer with all NLLB languages, trained on the committed sources."""
    trained = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    texts = [source.text for source in read_sources()]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIALS, show_progress=False)
    trained.train_from_iterator(texts, trainer)
    learned = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = NllbTokenizer(vocab=learned["vocab"], merges=merges, legacy_behaviour=legacy)
    copy_bundled(directory)
    for name in ("vocab.json", "sentencepiece.bpe.model"):
        (directory / name).unlink()
    tokenizer.save_pretrained(directory)
    edit_json(directory / "config.json", vocab_size=len(tokenizer), languages=None, pivot_lang=None)
    return read_checkpoint(directory, name="nllb")


FAMILIES = ["bundled", "bytes", "nllb", "nllb-legacy", "marian", "marian-separate", "marian-many"]
BACKENDS: dict[str, tuple[Callable[..., Path], Any]] = {
    "bart": (random_bart, RobertaTokenizer),
    "mbart-25": (partial(random_mbart, many=False), MBartTokenizer),
    "mbart-50": (random_mbart, MBart50Tokenizer),
    "pegasus": (random_pegasus, PegasusTokenizer),
    "t5": (random_t5, T5Tokenizer),
    "mt5": (partial(random_t5, multilingual=True, languages=("en", "de", "ja"), tasks=None), T5Tokenizer),
}
FAMILIES += BACKENDS


@dataclass(frozen=True, slots=True)
class Pair:
    """Our tokenizer of a checkpoint and that of `transformers`."""

    ours: Tokenizer
    theirs: Any
    language_ids: frozenset[int]
    decoder_vocab_size: int

    def expected_text(self, ids: Sequence[int]) -> str:
        """The text that `transformers` decodes, without language tokens and rows without a piece."""
        known = [token_id for token_id in ids if token_id not in self.language_ids]
        return str(self.theirs.decode(known, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()


def load_pair(family: str, directory: Path) -> Pair:
    if family == "bundled":
        return _pair(read_checkpoint(BUNDLED, name=family), M2M100Tokenizer)
    if family == "bytes":
        return _pair(m2m100_with_byte_pieces(directory), M2M100Tokenizer)
    if family in BACKENDS:
        build, their_class = BACKENDS[family]
        return _pair(read_checkpoint(build(directory, seed=1), name=family), their_class)
    if family.startswith("nllb"):
        return _pair(nllb(directory, legacy=family == "nllb-legacy"), NllbTokenizer)
    tokens = (">>deu<<", ">>fra<<", ">>cmn_Hans<<") if family == "marian-many" else ()
    shape = Shape(shared=family != "marian-separate", tied=False)
    random_marian(directory, seed=1, shape=shape, language_tokens=tokens)
    return _pair(read_checkpoint(directory, name=family), MarianTokenizer)


def _pair(checkpoint: Checkpoint, their_class: Any) -> Pair:
    theirs = their_class.from_pretrained(checkpoint.directory)
    size = checkpoint.config.decoder_vocab_size
    if isinstance(theirs, M2M100Tokenizer):
        hidden = set(range(len(theirs.encoder), size))
    elif isinstance(theirs, MarianTokenizer):
        hidden = {theirs.encoder[token] for token in theirs.supported_language_codes}
    else:
        hidden = set()
    return Pair(load_tokenizer(checkpoint), theirs, frozenset(hidden), size)
