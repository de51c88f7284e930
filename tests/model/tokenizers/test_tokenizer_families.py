"""The families with a `tokenizers` backend: source ids equal those of `transformers`, and pairs are those trained."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from transformers import MBart50Tokenizer, T5Tokenizer

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.tokenizers.loading import Tokenizer, load_tokenizer
from tests.support.checkpoint_families import random_bart, random_mbart, random_pegasus, random_t5
from tests.support.checkpoints import read_sources
from tests.support.texts import TEXTS
from tests.support.tokenizers import BACKENDS, edit_json, load_pair

MBART_CODES = {"en": "en_XX", "de": "de_DE", "fr": "fr_XX"}
NAMES = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian", "ja": "Japanese"}


def load_from(directory: Path) -> Tokenizer:
    return load_tokenizer(read_checkpoint(directory, name="test"))


@pytest.mark.parametrize("family", ["mbart-25", "mbart-50"])
def test_mbart_source_ids_equal_transformers_in_every_language(family: str, tmp_path: Path) -> None:
    pair = load_pair(family, tmp_path)
    assert pair.ours.source_languages == tuple(MBART_CODES)
    for code, their_code in MBART_CODES.items():
        pair.theirs.src_lang = their_code
        target = pair.ours.targets_of(code)[0]
        for text in TEXTS:
            assert pair.ours.encode_source(text, source_lang=code, target_lang=target) == pair.theirs(text).input_ids


@pytest.mark.parametrize("family", ["bart", "pegasus"])
def test_source_ids_equal_transformers_without_languages(family: str, tmp_path: Path) -> None:
    pair = load_pair(family, tmp_path)
    for text in TEXTS:
        assert pair.ours.encode_source(text, source_lang="en", target_lang="de") == pair.theirs(text).input_ids


@pytest.mark.parametrize("family", ["t5", "mt5"])
def test_t5_source_ids_equal_transformers_with_the_instruction_before_the_text(family: str, tmp_path: Path) -> None:
    pair = load_pair(family, tmp_path)
    for source in pair.ours.source_languages:
        for target in pair.ours.targets_of(source):
            for text in TEXTS:
                told = f"translate {NAMES[source]} to {NAMES[target]}: {text}"
                assert (
                    pair.ours.encode_source(text, source_lang=source, target_lang=target) == pair.theirs(told).input_ids
                )


@pytest.mark.parametrize("code", ["de", "de_DE", "de-AT", "deu", "DE"])
def test_mbart_languages_are_known_by_their_usual_codes(code: str, tmp_path: Path) -> None:
    tokenizer = load_from(random_mbart(tmp_path, seed=1, languages=("en_XX", "de", "zh_CN")))
    assert tokenizer.source_languages == ("en", "de", "zh")
    assert tokenizer.match(code, among=tokenizer.source_languages) == "de"


@pytest.mark.parametrize(("many", "count"), [(True, 52), (False, 25)])
def test_mbart_languages_are_all_of_the_tokenizer_when_the_config_lists_none(
    many: bool, count: int, tmp_path: Path
) -> None:
    tokenizer = load_from(random_mbart(tmp_path, seed=1, many=many, languages=None))
    assert len(tokenizer.source_languages) == count
    assert len(tokenizer.targets_of("en")) == count - 1


def test_mbart_prompt_is_the_language_after_the_start_or_instead_of_it(tmp_path: Path) -> None:
    for many in (True, False):
        pair = load_pair("mbart-50" if many else "mbart-25", tmp_path / str(many))
        german = pair.theirs.convert_tokens_to_ids("de_DE")
        assert pair.ours.decoder_prompt("de") == ([2, german] if many else [german])


def test_mbart_with_a_first_token_of_its_own_has_that_target_only(tmp_path: Path) -> None:
    many, one = random_mbart(tmp_path / "50", seed=1), random_mbart(tmp_path / "25", seed=1, many=False)
    edit_json(many / "generation_config.json", forced_bos_token_id=load_from(many).decoder_prompt("en")[1])
    start = load_from(one).decoder_prompt("en")[0]
    edit_json(one / "config.json", decoder_start_token_id=start)
    edit_json(one / "generation_config.json", decoder_start_token_id=start)
    for directory in (many, one):
        tokenizer = load_from(directory)
        assert tokenizer.targets_of("de") == ("en",)
        assert tokenizer.targets_of("en") == ()
    edit_json(one / "generation_config.json", forced_bos_token_id=start)
    with pytest.raises(CheckpointError, match="forced_bos_token_id is not implemented for mBART-25"):
        load_from(one)


@pytest.mark.parametrize("build", [random_bart, random_pegasus])
@pytest.mark.parametrize(
    ("languages", "settings", "expected"),
    [
        (None, {}, {"en": ("en",)}),
        (None, {"source_lang": "de", "target_lang": "eng"}, {"de": ("en",)}),
        (("fr", "en"), {"source_lang": "de", "target_lang": "en"}, {"fr": ("en",)}),
        (("de", "fr", "en"), {}, {"de": ("en",), "fr": ("en",)}),
        (("de",), {}, {"de": ("de",)}),
    ],
)
def test_family_without_language_tokens_has_one_target(
    build: type, languages: tuple[str, ...] | None, settings: dict[str, str], expected: object, tmp_path: Path
) -> None:
    directory = build(tmp_path, seed=1, languages=languages)
    edit_json(directory / "tokenizer_config.json", **settings)
    tokenizer = load_from(directory)
    assert {source: tokenizer.targets_of(source) for source in tokenizer.source_languages} == expected


def test_t5_pairs_are_its_translation_tasks(tmp_path: Path) -> None:
    tasks = {"summarization": {"prefix": "summarize: "}, "translation_en_to_haw": {"prefix": "say in Hawaiian: "}}
    tokenizer = load_from(random_t5(tmp_path, seed=1, tasks=tasks))
    assert tokenizer.source_languages == ("en",)
    assert tokenizer.targets_of("en") == ("haw",)
    ids = tokenizer.encode_source("x", source_lang="en", target_lang="haw")
    assert ids == T5Tokenizer.from_pretrained(tmp_path)("say in Hawaiian: x").input_ids


def test_t5_pairs_are_all_of_its_languages_or_those_with_the_pivot(tmp_path: Path) -> None:
    directory = random_t5(tmp_path, seed=1, languages=("de", "en", "zh-Hans"))
    tokenizer = load_from(directory)
    assert [tokenizer.targets_of(code) for code in tokenizer.source_languages] == [
        ("en", "zh-Hans"),
        ("de", "zh-Hans"),
        ("de", "en"),
    ]
    edit_json(directory / "config.json", pivot_lang="en")
    tokenizer = load_from(directory)
    assert [tokenizer.targets_of(code) for code in tokenizer.source_languages] == [
        ("en",),
        ("de", "zh-Hans"),
        ("en",),
    ]


@pytest.mark.parametrize(
    ("languages", "tasks", "message"),
    [
        (None, None, "neither languages nor task_specific_params"),
        (None, {"summarization": {"prefix": "summarize: "}}, "neither languages nor task_specific_params"),
        (None, {"translation_en_to_de": {"prefix": "German:"}}, "'German:' does not end in a space"),
        (None, {"translation_en_to_de": {}}, "None does not end in a space"),
        (("en",), None, "neither languages nor"),
    ],
)
def test_t5_that_does_not_say_what_it_translates_is_refused(
    languages: tuple[str, ...] | None, tasks: dict[str, object] | None, message: str, tmp_path: Path
) -> None:
    directory = random_t5(tmp_path, seed=1, languages=languages, tasks=tasks)
    with pytest.raises(CheckpointError, match=message):
        load_from(directory)


@pytest.mark.parametrize("family", BACKENDS)
def test_loading_names_a_missing_broken_or_foreign_tokenizer(family: str, tmp_path: Path) -> None:
    build, _ = BACKENDS[family]
    directory = build(tmp_path / "checkpoint", seed=1)
    edit_json(directory / "tokenizer_config.json", tokenizer_class="ByT5Tokenizer")
    with pytest.raises(CheckpointError, match="tokenizer_class 'ByT5Tokenizer' is not supported"):
        load_from(directory)
    edit_json(directory / "tokenizer_config.json", tokenizer_class=None)
    edit_json(directory / "config.json", tokenizer_class="MBart50Tokenizer" if family == "mbart-50" else None)
    load_from(directory)
    (directory / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_from(directory)
    (directory / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        load_from(directory)


def test_vocabulary_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    directory = random_pegasus(tmp_path, seed=1)
    edit_json(directory / "config.json", vocab_size=200)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: token id \d+ is outside the vocabulary of 200"):
        load_from(directory)


@pytest.mark.parametrize(
    ("family", "file", "their_class"),
    [("t5", "spiece.model", T5Tokenizer), ("mbart-50", "sentencepiece.bpe.model", MBart50Tokenizer)],
)
def test_older_checkpoints_have_a_sentencepiece_model_instead(
    family: str, file: str, their_class: Any, tmp_path: Path
) -> None:
    pytest.importorskip("google.protobuf", reason="transformers reads these files with it")
    build, _ = BACKENDS[family]
    directory = build(tmp_path / "checkpoint", seed=1)
    (directory / "tokenizer.json").unlink()
    model = BytesIO()
    ids: dict[str, Any] = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1} if family == "t5" else {}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(source.text for source in read_sources() if source.source_lang in ("en", "de")),
        model_writer=model,
        vocab_size=250,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **ids,
    )
    (directory / file).write_bytes(model.getvalue())
    ours, theirs = load_from(directory), their_class.from_pretrained(directory)
    told = "translate English to German: " if family == "t5" else ""
    for text in TEXTS:
        assert ours.encode_source(text, source_lang="en", target_lang="de") == theirs(told + text).input_ids
        decoded = theirs.decode(theirs(text).input_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert ours.decode(theirs(text).input_ids) == decoded.strip()


def test_older_bart_has_its_pieces_and_merges_apart(tmp_path: Path) -> None:
    pair = load_pair("bart", tmp_path)
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"merges\.txt: missing"):
        load_from(tmp_path)
    (tmp_path / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *map(" ".join, model["merges"])]), encoding="utf-8"
    )
    tokenizer = load_from(tmp_path)
    assert tokenizer.pieces == pair.ours.pieces
    for text in TEXTS:
        ids = tokenizer.encode_source(text, source_lang="en", target_lang="de")
        assert ids == pair.ours.encode_source(text, source_lang="en", target_lang="de")


def test_loading_keeps_torch_out_of_the_process(tmp_path: Path) -> None:
    directories = [str(build(tmp_path / family, seed=1)) for family, (build, _) in BACKENDS.items()]
    program = (
        "import sys; from pathlib import Path\n"
        "from model.checkpoint.config import read_checkpoint; from model.tokenizers.loading import load_tokenizer\n"
        f"for directory in {directories!r}:\n"
        "    load_tokenizer(read_checkpoint(Path(directory), name='test'))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
