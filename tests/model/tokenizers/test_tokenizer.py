"""Source ids equal those of `transformers` with the language set, without its state; broken files are named."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.tokenizers.loading import Tokenizer, load_tokenizer
from tests.support.checkpoints import BUNDLED, random_marian
from tests.support.texts import TEXTS
from tests.support.tokenizers import FAMILIES, Pair, copy_bundled, edit_json, load_pair


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_pair(request.param, tmp_path_factory.mktemp("family") / "checkpoint")


@pytest.fixture(scope="module")
def bundled() -> Tokenizer:
    return load_tokenizer(read_checkpoint(BUNDLED, name="bundled"))


def load_from(directory: Path) -> Tokenizer:
    return load_tokenizer(read_checkpoint(directory, name="broken"))


@pytest.mark.parametrize("family", ["bundled", "bytes", "nllb", "nllb-legacy"])
def test_source_ids_equal_transformers_in_every_language(family: str, tmp_path: Path) -> None:
    pair = load_pair(family, tmp_path / "checkpoint")
    their_codes = {"en": "eng_Latn", "de": "deu_Latn", "fr": "fra_Latn", "es": "spa_Latn", "ja": "jpn_Jpan"}
    for code, nllb_code in their_codes.items():
        pair.theirs.src_lang = nllb_code if family.startswith("nllb") else code
        target = pair.ours.targets_of(code)[0]
        for text in TEXTS:
            assert pair.ours.encode_source(text, source_lang=code, target_lang=target) == pair.theirs(text).input_ids


@pytest.mark.parametrize("family", ["marian", "marian-separate"])
def test_source_ids_equal_transformers_in_one_pair(family: str, tmp_path: Path) -> None:
    pair = load_pair(family, tmp_path / "checkpoint")
    for text in TEXTS:
        assert pair.ours.encode_source(text, source_lang="en", target_lang="de") == pair.theirs(text).input_ids


def test_source_ids_name_the_target_where_one_model_has_many(tmp_path: Path) -> None:
    pair = load_pair("marian-many", tmp_path / "checkpoint")
    assert pair.ours.targets_of("en") == ("de", "fr", "zh-Hans")
    for target, token in {"fr": ">>fra<<", "zh-Hans": ">>cmn_Hans<<"}.items():
        for text in TEXTS:
            ids = pair.ours.encode_source(text, source_lang="en", target_lang=target)
            assert ids == pair.theirs(f"{token} {text}").input_ids


@pytest.mark.parametrize(
    "text",
    [
        "</s> <s> <pad> <unk>",
        ">>fra<< Hi",
        "__de__ __fr__",
        "deu_Latn <mask>",
        "x de_DE</s>",
        "<extra_id_0><mask_1><unk_7>",
    ],
)
def test_special_tokens_spelled_out_are_plain_text(pair: Pair, text: str) -> None:
    source = pair.ours.source_languages[0]
    target = pair.ours.targets_of(source)[0]
    plain = pair.ours.encode_source("x", source_lang=source, target_lang=target)
    ids = pair.ours.encode_source(text, source_lang=source, target_lang=target)
    special = {*pair.theirs.all_special_ids, *pair.language_ids} - {pair.theirs.unk_token_id}
    assert sum(token_id in special for token_id in ids) == sum(token_id in special for token_id in plain)


def test_count_of_tokens_is_that_of_the_source_without_specials(pair: Pair) -> None:
    for text in TEXTS:
        most = max(
            len(pair.ours.encode_source(text, source_lang=source, target_lang=target))
            for source in pair.ours.source_languages[:10]
            for target in pair.ours.targets_of(source)[:10]
        )
        assert pair.ours.count_tokens(text) + pair.ours.num_source_specials == most


def test_source_ids_do_not_depend_on_what_was_encoded_before(bundled: Tokenizer) -> None:
    first = bundled.encode_source("Hello.", source_lang="en", target_lang="de")
    bundled.encode_source("こんにちは。", source_lang="ja", target_lang="en")
    assert bundled.encode_source("Hello.", source_lang="en", target_lang="fr") == first


def test_languages_are_those_of_the_config_and_pairs_go_through_its_pivot(bundled: Tokenizer) -> None:
    assert bundled.source_languages == ("en", "de", "fr", "es", "ja")
    assert bundled.targets_of("en") == ("de", "fr", "es", "ja")
    assert bundled.targets_of("ja") == ("en",)
    assert bundled.targets_of("it") == ()
    assert bundled.match("EN-us", among=bundled.source_languages) == "en"


def test_languages_are_all_of_the_tokenizer_when_the_config_lists_none(tmp_path: Path) -> None:
    directory = copy_bundled(tmp_path / "all")
    edit_json(directory / "config.json", languages=None, pivot_lang=None)
    tokenizer = load_from(directory)
    assert len(tokenizer.source_languages) == 100
    assert len(tokenizer.targets_of("de")) == 99


def test_decoder_prompt_is_the_start_and_the_language(bundled: Tokenizer, tmp_path: Path) -> None:
    assert bundled.decoder_prompt("ja") == [2, 16042]
    random_marian(tmp_path, seed=1)
    checkpoint = read_checkpoint(tmp_path, name="marian")
    assert load_tokenizer(checkpoint).decoder_prompt("de") == [checkpoint.config.decoder_start_token_id]


def test_marian_languages_are_normalised(tmp_path: Path) -> None:
    random_marian(tmp_path, seed=1)
    edit_json(tmp_path / "tokenizer_config.json", source_lang="deu", target_lang="cat_oci_spa")
    tokenizer = load_from(tmp_path)
    assert tokenizer.source_languages == ("de",)
    assert tokenizer.targets_of("de") == ("ca", "oc", "es")


@pytest.mark.parametrize("name", ["vocab.json", "sentencepiece.bpe.model"])
def test_loading_names_a_missing_file(name: str, tmp_path: Path) -> None:
    directory = copy_bundled(tmp_path / "checkpoint")
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing"):
        load_from(directory)


@pytest.mark.parametrize("name", ["vocab.json", "sentencepiece.bpe.model", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_loading_names_a_broken_file(name: str, content: bytes, tmp_path: Path) -> None:
    directory = copy_bundled(tmp_path / "checkpoint")
    (directory / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_from(directory)


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json", "tokenizer_config.json"])
def test_loading_names_a_missing_or_broken_marian_file(name: str, tmp_path: Path) -> None:
    random_marian(tmp_path, seed=1)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=name):
        load_from(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing"):
        load_from(tmp_path)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"languages": ["en", "xx"]}, "languages has 'xx'"),
        ("config.json", {"pivot_lang": "it"}, "pivot_lang 'it'"),
        ("config.json", {"vocab_size": 16010}, "token id 16042 is outside the vocabulary of 16010"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "'BertTokenizer' is not supported"),
    ],
)
def test_loading_refuses_what_does_not_fit(file: str, changes: dict[str, object], message: str, tmp_path: Path) -> None:
    directory = copy_bundled(tmp_path / "checkpoint")
    edit_json(directory / file, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_from(directory)


def test_loading_keeps_torch_out_of_the_process() -> None:
    program = (
        "import sys; from pathlib import Path; import model.tokenizers.loading, model.checkpoint.config\n"
        "assert 'transformers' not in sys.modules, 'slow to import'\n"
        f"checkpoint = model.checkpoint.config.read_checkpoint(Path({str(BUNDLED)!r}), name='bundled')\n"
        "tokenizer = model.tokenizers.loading.load_tokenizer(checkpoint)\n"
        "ids = tokenizer.encode_source('Hello.', source_lang='en', target_lang='de')\n"
        "assert tokenizer.decode(ids) == 'Hello.'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
