"""A code means one language, however it is written, and never another language."""

import pytest

from model.tokenizers.languages import match_code, public_codes

NLLB = ("en", "de", "zh-Hans", "zh-Hant", "pt", "ks", "ks-Deva", "nb", "ar")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("EN-us", "en"),
        ("deu_Latn", "de"),
        ("ger", "de"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zho_Hant", "zh-Hant"),
        ("zh-tw", "zh-Hant"),
        ("PT-BR", "pt"),
        ("kas_Deva", "ks-Deva"),
        ("no", "nb"),
        ("arb_Arab", "ar"),
    ],
)
def test_match_finds_the_same_language(code: str, expected: str) -> None:
    assert match_code(code, among=NLLB) == expected


@pytest.mark.parametrize(
    "code", ["fr", "xx", "", "e", "en--US", "english", "en-" + "a" * 40, "\ud800", "日本語", "e\u0301n"]
)
def test_match_refuses_what_is_not_served(code: str) -> None:
    assert match_code(code, among=NLLB) is None


def test_match_takes_a_code_without_script_for_any_script() -> None:
    assert match_code("zh-Hant", among=["zh"]) == "zh"
    assert match_code("zh-Hant", among=["zh-Hans"]) is None


def test_match_prefers_the_region_asked_for() -> None:
    assert match_code("pt-BR", among=["pt-PT", "pt-BR"]) == "pt-BR"
    assert match_code("pt-AO", among=["pt-BR", "pt"]) == "pt"


def test_public_codes_are_bcp_47_and_distinct() -> None:
    codes = ["eng_Latn", "zho_Hans", "zho_Hant", "kor_Hang", "srp_Cyrl", "aka_Latn", "twi_Latn", "cmn", "ROMANCE"]
    expected = ["en", "zh-Hans", "zh-Hant", "ko", "sr", "ak", "tw", "zh", "ROMANCE"]
    assert public_codes(codes) == dict(zip(expected, codes, strict=True))
