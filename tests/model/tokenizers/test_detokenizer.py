"""Deltas join to the text, which is what `transformers` decodes; no delta holds half a character."""

import random
from collections.abc import Iterator

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from model.tokenizers.detokenizer import REPLACEMENT, IncrementalDetokenizer, PieceTable, decode
from tests.support.texts import TEXTS
from tests.support.tokenizers import FAMILIES, Pair, load_pair

# Ids 0-255 are bytes; then words, whitespace alone, and a token that is never shown.
BYTE_IDS = range(256)
WORD, START, SPACE, SPECIAL = 256, 257, 258, 259
TABLE = PieceTable.build(
    [*((byte, f"<0x{byte:02X}>") for byte in BYTE_IDS), (WORD, "a"), (START, "▁b"), (SPACE, "▁▁")],
    size=260,
    byte_ids=BYTE_IDS,
)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_pair(request.param, tmp_path_factory.mktemp("family") / "checkpoint")


def deltas(detokenizer: IncrementalDetokenizer, ids: list[int]) -> Iterator[str]:
    yield from map(detokenizer.push, ids)
    yield detokenizer.finish()


def test_decoding_equals_transformers_on_texts(pair: Pair) -> None:
    target = pair.ours.targets_of(pair.ours.source_languages[0])[0]
    for text in TEXTS:
        ids = pair.theirs(text_target=text, split_special_tokens=True).input_ids
        ids = [*pair.ours.decoder_prompt(target), *ids]
        assert pair.ours.decode(ids) == pair.expected_text(ids)


def test_decoding_equals_transformers_on_random_ids(pair: Pair) -> None:
    rng = random.Random(5)
    for _ in range(500):
        ids = [rng.randrange(pair.decoder_vocab_size) for _ in range(rng.randrange(30))]
        assert pair.ours.decode(ids) == pair.expected_text(ids)


def test_joined_deltas_equal_the_decoding(pair: Pair) -> None:
    rng = random.Random(6)
    for _ in range(500):
        ids = [rng.randrange(pair.decoder_vocab_size) for _ in range(rng.randrange(30))]
        assert "".join(deltas(pair.ours.detokenizer(), ids)) == pair.ours.decode(ids)


def test_language_and_special_tokens_are_never_shown(pair: Pair) -> None:
    ids = [*pair.language_ids, *pair.theirs.all_special_ids]
    ids += [token_id for target in pair.ours.decoder_prompts for token_id in pair.ours.decoder_prompt(target)]
    assert pair.ours.decode(ids) == ""


@given(st.text())
def test_bytes_of_a_text_come_out_as_whole_characters(text: str) -> None:
    parts = list(deltas(IncrementalDetokenizer(TABLE), list(text.encode())))
    assert "".join(parts) == text.strip()
    assert REPLACEMENT in text or not any(REPLACEMENT in part for part in parts)


@given(st.lists(st.integers(0, len(TABLE.texts) - 1)))
def test_deltas_of_any_ids_join_to_their_decoding(ids: list[int]) -> None:
    parts = list(deltas(IncrementalDetokenizer(TABLE), ids))
    joined = "".join(parts)
    assert joined == decode(TABLE, ids) == joined.strip()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xe3\x81", REPLACEMENT * 2),  # cut off at the end
        (b"\xe3\x81\xe3\x81\x82", REPLACEMENT * 2 + "あ"),
        (b"\xff\xc0\x80", REPLACEMENT * 3),
        (b"\xed\xa0\x80", REPLACEMENT * 3),  # a surrogate
        (b"\xf4\x90\x80\x80", REPLACEMENT * 4),  # past the last code point
        (b"\xf0\x9f\x98a", REPLACEMENT * 3 + "a"),
    ],
)
def test_each_byte_of_no_character_is_one_replacement(data: bytes, expected: str) -> None:
    assert decode(TABLE, list(data)) == expected


BYTE_LEVEL = PieceTable.build_byte_level(
    [(0, "ã"), (1, "ģ"), (2, "Ĥ"), (3, "Ġa"), (4, "í"), (5, "Â¹"), (6, "ĠĠ")], size=7
)


def test_bytes_in_the_alphabet_of_gpt_2_come_out_as_whole_characters() -> None:
    assert list(deltas(IncrementalDetokenizer(BYTE_LEVEL), [0, 1, 2, 3, 6, 0])) == [
        "",
        "",
        "あ",
        " a",
        "",
        "",
        "  \ufffd",
    ]


def test_runs_of_no_character_are_replaced_as_the_backend_does() -> None:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    table = PieceTable.build_byte_level(enumerate(alphabet), size=256)
    backend = tokenizers.decoders.ByteLevel()
    rng = random.Random(7)
    leads = [index for index, piece in enumerate(alphabet) if piece in "àáâíïðñôö"]  # of two to four bytes, and none
    for _ in range(3000):
        ids = [rng.choice(leads) if rng.random() < 0.3 else rng.randrange(256) for _ in range(rng.randrange(8))]
        assert decode(table, ids) == backend.decode([alphabet[token_id] for token_id in ids]).strip()


def test_half_a_character_waits_and_a_piece_ends_the_wait() -> None:
    detokenizer = IncrementalDetokenizer(TABLE)
    assert [detokenizer.push(token_id) for token_id in (0xE3, SPECIAL, 0x81, WORD)] == [
        "",
        "",
        "",
        REPLACEMENT * 2 + "a",
    ]


def test_whitespace_waits_for_text_and_none_is_left_at_the_ends() -> None:
    ids = [SPACE, START, SPACE, SPACE, START, SPACE]
    assert list(deltas(IncrementalDetokenizer(TABLE), ids)) == ["", "b", "", "", "     b", "", ""]
