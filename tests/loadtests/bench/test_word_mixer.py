"""Laws of the sources of the cache benchmark."""

import pytest

from loadtests.bench.source_lines import SOURCES, SourceLine, read_sources
from loadtests.bench.word_mixer import WordMixer
from model.checkpoint.config import read_checkpoint
from model.tokenizers.loading import Tokenizer, load_tokenizer
from service.text.segmentation import segment
from tests.support.checkpoints import BUNDLED


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(read_checkpoint(BUNDLED, name="bundled"))


def mixer_of(tokenizer: Tokenizer, *, seed: int = 1) -> WordMixer:
    return WordMixer(tokenizer, read_sources(SOURCES), seed=seed)


def num_tokens(tokenizer: Tokenizer, sentence: SourceLine) -> int:
    source, target = sentence.source_lang, sentence.target_lang
    return len(tokenizer.encode_source(sentence.text, source_lang=source, target_lang=target))


@pytest.mark.parametrize("length", [4, 10, 50, 200])
def test_a_mixed_source_is_one_sentence_of_exactly_so_many_tokens(tokenizer: Tokenizer, length: int):
    mixer = mixer_of(tokenizer)
    for _ in range(50):
        source = mixer.mix(length, target_lang="de")
        assert num_tokens(tokenizer, source) == length
        segmented = segment(source.text, language="en", max_tokens=length, count_tokens=tokenizer.count_tokens)
        assert segmented.sentences == (source.text,)


def test_no_text_is_mixed_twice_whatever_language_it_is_for(tokenizer: Tokenizer):
    mixer = mixer_of(tokenizer)
    texts = [mixer.mix(4, target_lang=target).text for target in ("de", "fr") * 1_000]
    assert len(set(texts)) == len(texts)


def test_sources_are_those_of_their_seed(tokenizer: Tokenizer):
    first, again, other = (
        [mixer.mix(10, target_lang="de") for _ in range(5)]
        for mixer in (mixer_of(tokenizer), mixer_of(tokenizer), mixer_of(tokenizer, seed=2))
    )
    assert first == again != other


def test_a_source_like_another_has_its_length_and_target(tokenizer: Tokenizer):
    sentence = SourceLine("en", "ja", "Don't expect too much.")
    like = mixer_of(tokenizer).like(sentence)
    assert like.text != sentence.text
    assert (like.target_lang, num_tokens(tokenizer, like)) == ("ja", num_tokens(tokenizer, sentence))


@pytest.mark.parametrize("length", [0, 2])
def test_a_source_without_words_is_refused(tokenizer: Tokenizer, length: int):
    with pytest.raises(ValueError, match=f"no further text of {length} tokens"):
        mixer_of(tokenizer).mix(length, target_lang="de")


def test_a_mixer_that_has_given_all_its_texts_says_so(tokenizer: Tokenizer):
    mixer = mixer_of(tokenizer)
    with pytest.raises(ValueError, match="no further text of 3 tokens"):  # which leave a word of one
        [mixer.mix(3, target_lang="de") for _ in range(1_000)]
