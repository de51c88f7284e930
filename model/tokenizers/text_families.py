"""Tokenizers of the text-to-text families: BART and PEGASUS, and T5 with its instructions.

None has language tokens. A BART or a PEGASUS has learned one task, so it has one target: `languages` in config.json
lists its sources and then its target (`["en", "de"]`, `["de", "fr", "en"]`); without it, `source_lang` and
`target_lang` in tokenizer_config.json count. Without these, it is English to English, like the published checkpoints.

A T5 reads its task in front of the text: `translate English to German: `. Its config.json lists its tasks: all pairs
of `languages`, or otherwise `translation_en_to_de` and so on in `task_specific_params`, with their prefixes. A T5
without any pair is refused, because nothing shows that it can translate.
"""

import re
from itertools import permutations
from typing import Any

from model.checkpoint.config import Checkpoint, CheckpointError
from model.checkpoint.fields import Fields
from model.tokenizers.alphabet import Alphabet
from model.tokenizers.base import (
    PieceIds,
    SourceFrame,
    Tokenizer,
    direct_frames,
    pivot_language,
    read_backend,
    word_start_table,
)
from model.tokenizers.detokenizer import PieceTable
from model.tokenizers.files import backend_file, load_pretrained, read_tokenizer_settings, tokenizer_class
from model.tokenizers.languages import english_names, public_code

DEFAULT_LANGUAGE = "en"
_TRANSLATION_TASK = re.compile(r"translation_(\w+)_to_(\w+)")


def bart(checkpoint: Checkpoint) -> Tokenizer:
    """BART: byte-level BPE between `<s>` and `</s>`."""
    from transformers.models.roberta.tokenization_roberta import RobertaTokenizer

    tokenizer_class(checkpoint, ("BartTokenizer", "RobertaTokenizer"), default="BartTokenizer")
    file = backend_file(checkpoint, "vocab.json")
    required = (file,) if file == "tokenizer.json" else (file, "merges.txt")
    source = load_pretrained(RobertaTokenizer, checkpoint, required=required)
    piece_ids, shown, names = read_backend(source, checkpoint, file=file)
    return _with_one_target(
        checkpoint,
        SourceFrame((source.bos_token_id,), (source.eos_token_id,)),
        piece_ids,
        PieceTable.build_byte_level(shown.items(), size=checkpoint.config.decoder_vocab_size),
        names,
        unk_token_id=None,
    )


def pegasus(checkpoint: Checkpoint) -> Tokenizer:
    """PEGASUS: pieces, then `</s>`."""
    from transformers.models.pegasus.tokenization_pegasus import PegasusTokenizer

    source, file = _load_spiece(PegasusTokenizer, checkpoint, "PegasusTokenizer")
    piece_ids, shown, names = read_backend(source, checkpoint, file=file)
    return _with_one_target(
        checkpoint,
        SourceFrame(after=(source.eos_token_id,)),
        piece_ids,
        word_start_table(shown, checkpoint),
        names,
        unk_token_id=source.unk_token_id,
    )


def _load_spiece(their_class: Any, checkpoint: Checkpoint, *names: str) -> tuple[Any, str]:
    tokenizer_class(checkpoint, names, default=names[0])
    file = backend_file(checkpoint, "spiece.model")
    return load_pretrained(their_class, checkpoint, required=(file,)), file


def _with_one_target(
    checkpoint: Checkpoint,
    frame: SourceFrame,
    piece_ids: PieceIds,
    pieces: PieceTable,
    names: dict[int, str],
    *,
    unk_token_id: int | None,
) -> Tokenizer:
    *sources, target = _sources_and_target(checkpoint)
    pivot_lang = pivot_language(checkpoint, [*sources, target])
    frames = (
        direct_frames(dict.fromkeys(sources, frame), {target: ()}, pivot_lang=pivot_lang)
        if sources
        else {target: {target: frame}}
    )
    return Tokenizer(
        frames=frames,
        decoder_prompts={target: (checkpoint.config.decoder_start_token_id,)},
        pivot_lang=pivot_lang,
        piece_ids=piece_ids,
        pieces=pieces,
        source_names=names,
        target_names=names,
        alphabet=Alphabet(piece_ids, unk_token_id=unk_token_id),
    )


def _sources_and_target(checkpoint: Checkpoint) -> list[str]:
    """Public codes, the target last; a single code is source and target."""
    settings = read_tokenizer_settings(checkpoint.directory)
    pair = (settings.get("source_lang"), settings.get("target_lang"))
    codes = checkpoint.config.languages or (pair if all(pair) else (DEFAULT_LANGUAGE,))
    return list(dict.fromkeys(public_code(str(code)) for code in codes))


def t5(checkpoint: Checkpoint) -> Tokenizer:
    """T5: an instruction, pieces, then `</s>`. The instruction's pieces do not depend on the text after it."""
    from transformers.models.t5.tokenization_t5 import T5Tokenizer

    source, file = _load_spiece(T5Tokenizer, checkpoint, "T5Tokenizer", "MT5Tokenizer")
    piece_ids, shown, names = read_backend(source, checkpoint, file=file)
    prefixes = _prefixes(checkpoint)
    languages = dict.fromkeys(code for pair in prefixes for code in pair)
    pivot_lang = pivot_language(checkpoint, languages)
    frames: dict[str, dict[str, SourceFrame]] = {}
    for (source_lang, target_lang), prefix in prefixes.items():
        frame = SourceFrame(tuple(piece_ids(prefix)), (source.eos_token_id,))
        if pivot_lang in (None, source_lang, target_lang):
            frames.setdefault(source_lang, {})[target_lang] = frame
    return Tokenizer(
        frames=frames,
        decoder_prompts=dict.fromkeys(languages, (checkpoint.config.decoder_start_token_id,)),
        pivot_lang=pivot_lang,
        piece_ids=piece_ids,
        pieces=word_start_table(shown, checkpoint),
        source_names=names,
        target_names=names,
        alphabet=Alphabet(piece_ids, unk_token_id=source.unk_token_id),
    )


def _prefixes(checkpoint: Checkpoint) -> dict[tuple[str, str], str]:
    """Map each served (source, target) to its instruction."""
    tasks = _translation_tasks(Fields.read(checkpoint.directory / "config.json"))
    languages = tuple(map(public_code, checkpoint.config.languages or ()))
    pairs = list(permutations(languages, 2)) or list(tasks)
    if not pairs:
        raise CheckpointError(
            "config.json: neither languages nor task_specific_params names a pair for this T5; add languages"
        )
    names = english_names(code for pair in pairs for code in pair)
    standard = {pair: f"translate {names[pair[0]]} to {names[pair[1]]}: " for pair in pairs}
    return {pair: tasks.get(pair, standard[pair]) for pair in pairs}


def _translation_tasks(fields: Fields) -> dict[tuple[str, str], str]:
    tasks = fields.raw.get("task_specific_params") or {}
    if not isinstance(tasks, dict):
        raise fields.error("task_specific_params", f"is {tasks!r}, not an object")
    prefixes = {}
    for task, params in tasks.items():
        pair = _TRANSLATION_TASK.fullmatch(str(task))
        if pair is None:
            continue
        prefix = params.get("prefix") if isinstance(params, dict) else None
        if not isinstance(prefix, str) or (prefix and not prefix[-1].isspace()):
            raise fields.error("task_specific_params", f"{task}: the prefix {prefix!r} does not end in a space")
        prefixes[public_code(pair[1]), public_code(pair[2])] = prefix
    return prefixes
