"""Whole or streamed, the answer is the oracle's, and the joined deltas are the plain answer."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from loadtests.bench.source_lines import read_sources
from tests.support.client import NO_STORE, Event, deltas, is_whole, read_events
from tests.support.oracle import Oracle, sentences
from tests.support.server import RunningServer

PAIRS = [(source, "en") for source in ("de", "fr", "es", "ja")] + [
    ("en", target) for target in ("de", "fr", "es", "ja")
]
TEXTS = [
    ("en", "de", "   Good morning.  How are you today?\n\n\tI am fine, thank you.\nIt is raining.\n"),
    ("en", "ja", "The cat is asleep. The dog is not.\r\n\r\n- the first\n- the second"),
    ("ja", "en", "　彼は学生です。私も学生です。\n\n明日は雨が降るでしょう。「はい」と彼女は言った。"),
    ("en", "fr", "I like it 😀👩‍👩‍👧! What about you? 🎉\nWe are ready."),
    ("fr", "en", "Le cafe\u0301 est ferme\u0301. L'e\u0301te\u0301 est fini\u202f!  C\u0327a va ?"),
    ("en", "es", "---\n\n  1. Wash your hands.\n  2. Eat your soup.\n…"),
    ("de", "en", "\u200bStraße, Größe, Übermut.\u00a0Wirklich?\u2028Ja. 한국어 العربية हिन्दी"),
]


def of(events: list[Event], name: str) -> list[dict[str, Any]]:
    return [event.data for event in events if event.name == name]


def runs(values: Iterator[object]) -> list[object]:
    """Each value once for all that stand together."""
    found: list[object] = []
    for value in values:
        if not found or found[-1] != value:
            found.append(value)
    return found


def test_every_pair_is_listed_the_direct_ones_first(server: RunningServer, oracle: Oracle) -> None:
    assert set(oracle.direct_pairs()) == set(PAIRS)
    for each in server.client.get("/v1/languages").json()["languages"]:
        direct = [target for source, target in oracle.direct_pairs() if source == each["code"]]
        assert each["targets"][: len(direct)] == direct
        assert sorted([each["code"], *each["targets"]]) == ["de", "en", "es", "fr", "ja"]


@pytest.mark.parametrize("pair", [("de", "fr"), ("ja", "es")], ids="-".join)
def test_a_pair_without_a_direct_way_goes_through_english(server: RunningServer, pair: tuple[str, str]) -> None:
    texts = sentences(pair[0], most=8)
    halves = [server.text(server.text(text, pair[0], "en"), "en", pair[1]) for text in texts]
    answer = server.translate(texts, *pair)
    assert [each["text"] for each in answer["translations"]] == halves
    assert {each["pivot_lang"] for each in answer["translations"]} == {"en"}
    events = server.stream(" ".join(texts), *pair)
    assert deltas(events) == events[-2].data["text"] == server.text(" ".join(texts), *pair)
    assert events[-2].data["pivot_lang"] == "en"
    assert "pivot_lang" not in server.translate(texts[0], pair[0], "en")["translations"][0]


def test_the_usage_of_a_pivot_counts_both_halves(server: RunningServer) -> None:
    (text,) = sentences("de", most=1)
    first = server.translate(text, "de", "en")
    second = server.translate(first["translations"][0]["text"], "en", "fr")
    through = server.translate(text, "de", "fr")["usage"]
    for name in ("source_tokens", "generated_tokens"):
        assert through[name] == first["usage"][name] + second["usage"][name]
    assert through["characters"] == len(text)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_text_equals_the_oracles(server: RunningServer, oracle: Oracle, pair: tuple[str, str]) -> None:
    texts = sentences(pair[0], most=12)
    limit = server.model()["max_new_tokens"]
    expected = [oracle.translate(text, *pair, max_new_tokens=limit) for text in texts]
    answer = server.translate(texts, *pair, repetition_guard=False)
    assert [each["text"] for each in answer["translations"]] == expected
    assert len(set(expected)) > len(texts) // 2
    for text, translated in zip(texts[:3], expected, strict=False):
        assert deltas(server.stream(text, *pair, repetition_guard=False)) == translated


def test_text_of_many_sentences_is_their_translations_in_order(server: RunningServer) -> None:
    texts = sentences("en", most=30)
    alone = [server.text(text, "en", "de") for text in texts]
    assert server.text(" ".join(texts), "en", "de") == " ".join(alone)
    assert server.text("\n".join(texts), "en", "de") == "\n".join(alone)


def test_translations_come_by_text_then_by_target_as_asked(server: RunningServer) -> None:
    texts, targets = sentences("en", most=5), ["ja", "de", "es"]
    answer = server.translate(texts, "en", targets)
    places = [(each["text_index"], each["target_lang"]) for each in answer["translations"]]
    assert places == list(product(range(5), targets))
    alone = [server.text(text, "en", target) for text, target in product(texts, targets)]
    assert [each["text"] for each in answer["translations"]] == alone
    assert len({answer["id"], server.translate(texts, "en", targets)["id"]}) == 2


def test_usage_counts_each_distinct_source_as_encoded_once(server: RunningServer, oracle: Oracle) -> None:
    first, second = sentences("en", most=2)
    usage = server.translate([first, second, first], "en", ["de", "fr", "es"], headers=NO_STORE)["usage"]
    assert (usage["encoder_cache_misses"], usage["encoder_cache_hits"]) == (2, 7)
    lengths = [oracle.tokenizer.count_tokens(text) + oracle.tokenizer.num_source_specials for text in (first, second)]
    assert usage["source_tokens"] == 3 * (2 * lengths[0] + lengths[1])
    assert usage["characters"] == 2 * len(first) + len(second)


def test_usage_counts_the_tokens_that_a_stream_shows(server: RunningServer) -> None:
    events = server.stream(sentences("en", most=3), "en", ["de", "ja"])
    assert events[-1].data["usage"]["generated_tokens"] == len(of(events, "token"))


def test_stream_by_get_equals_stream_by_post(server: RunningServer) -> None:
    texts, targets = sentences("en", most=3), ["de", "fr"]
    query: dict[str, Any] = {"text": texts, "source_lang": "en", "target_lang": targets, "max_new_tokens": 20}
    server.translate(texts, "en", targets)  # so that both find the sources in the cache
    with server.client.stream("GET", "/v1/translations/stream", params=query) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        by_get = list(read_events(answer))
    by_post = server.stream(texts, "en", targets, max_new_tokens=20)
    for name in ("token", "translation"):
        assert sorted(map(str, of(by_get, name))) == sorted(map(str, of(by_post, name)))
    assert by_get[-1] == by_post[-1]


def test_events_come_in_the_promised_order(server: RunningServer) -> None:
    texts = [" ".join(sentences("en", most=12)[start : start + 4]) for start in (0, 4, 8)]
    events = server.stream(texts, "en", ["de", "fr"])
    names = [event.name for event in events]
    assert names[0] == "start"
    assert events[0].data["texts"] == 3
    assert is_whole(events)
    assert set(names[1:-1]) == {"token", "translation"}
    for index, target in product(range(3), ["de", "fr"]):
        unit = [each for each in events[1:-1] if (each.data["text_index"], each.data["target_lang"]) == (index, target)]
        assert list(runs(each.name for each in unit)) == ["token", "translation"]
        assert unit[-1].data["text"] == deltas(unit)
        assert runs(each.data["sentence_index"] for each in unit[:-1]) == [0, 1, 2, 3]


@pytest.mark.parametrize(("source", "target", "text"), TEXTS)
def test_joined_deltas_equal_the_plain_text(server: RunningServer, source: str, target: str, text: str) -> None:
    events = server.stream(text, source, target)
    assert is_whole(events)
    (translation,) = of(events, "translation")
    (plain,) = server.translate(text, source, target)["translations"]
    assert deltas(events) == translation["text"] == plain["text"]
    assert translation == plain
    assert plain["hypotheses"] == [{"text": plain["text"], "score": plain["score"]}]


def test_joined_deltas_equal_the_plain_text_for_all_test_sources(server: RunningServer) -> None:
    for pair in PAIRS:
        texts = [each.text for each in read_sources() if (each.source_lang, each.target_lang) == pair]
        events = server.stream(texts, *pair)
        plain = server.translate(texts, *pair)["translations"]
        for index, translation in enumerate(plain):
            mine = [event for event in events[1:-1] if event.data["text_index"] == index]
            assert deltas(mine) == mine[-1].data["text"] == translation["text"]


def test_paragraphs_line_breaks_and_leading_spaces_stay(server: RunningServer) -> None:
    translated = server.text(TEXTS[0][2], "en", "de")
    assert translated.startswith("   ")
    assert [line == "" for line in translated.split("\n")] == [False, True, False, False, True]
    assert translated.split("\n")[2].startswith("\t")
    assert server.text(TEXTS[1][2], "en", "ja").count("\r\n\r\n- ") == 1


@pytest.mark.parametrize("text", ["…", "---\n\n* * *", "😀 👩‍👩‍👧", "!?"])
def test_text_without_letters_passes_through(server: RunningServer, text: str) -> None:
    answer = server.translate(text, "en", "de")
    assert answer["translations"][0]["text"] == text
    assert answer["usage"]["generated_tokens"] == 0
    events = server.stream(text, "en", "de")
    assert deltas(events) == text
    assert is_whole(events)


def test_a_sentence_longer_than_the_positions_is_split_and_not_cut(server: RunningServer, oracle: Oracle) -> None:
    text = " ".join(["house garden river mountain bread"] * 100)
    num_tokens = oracle.tokenizer.count_tokens(text)
    assert num_tokens > server.model()["max_source_tokens"]
    events = server.stream(text, "en", "de", max_new_tokens=8)
    num_pieces = 1 + max(each["sentence_index"] for each in of(events, "token"))
    source_tokens = events[-1].data["usage"]["source_tokens"]
    assert num_pieces > 1
    assert source_tokens >= num_tokens + num_pieces * oracle.tokenizer.num_source_specials


def test_max_new_tokens_ends_a_sentence_for_its_length(server: RunningServer) -> None:
    text = " ".join(sentences("en", most=2))
    answer = server.translate(text, "en", "de", max_new_tokens=2)
    assert answer["translations"][0]["finish_reason"] == "length"
    assert answer["usage"]["generated_tokens"] == 4
    assert server.translate(text, "en", "de")["translations"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("code", "meant"), [("EN-us", "en"), ("EN", "en"), ("en_GB", "en")])
def test_language_codes_are_matched_in_any_case_and_region(server: RunningServer, code: str, meant: str) -> None:
    (text,) = sentences("de", most=1)
    (translation,) = server.translate(text, "DE-at", code)["translations"]
    assert translation["target_lang"] == code
    assert translation["text"] == server.text(text, "de", meant)


def test_options_that_ask_for_nothing_are_served(server: RunningServer) -> None:
    nothing = {"format": "text", "beam_size": 1, "num_hypotheses": 1, "prefix": None, "return": [], "seed": None}
    more = {"priority": "bulk", "timeout_s": 60.0, "length_penalty": 1.0, "stream": False, "temperature": None}
    assert server.text("I saw a dog.", "en", "de", **nothing, **more) == server.text("I saw a dog.", "en", "de")


@pytest.mark.parametrize("given", ["abc", "3f1c.A_b-c:9", "x" * 100])
def test_sane_request_id_is_echoed(server: RunningServer, given: str) -> None:
    headers = {"X-Request-ID": given}
    body = {"text": "Hello.", "source_lang": "en", "target_lang": "de"}
    for sent, status in (({**body}, 200), ({**body, "stream": True}, 200), ({**body, "zz": 1}, 422), ({}, 422)):
        answer = server.client.post("/v1/translations", json=sent, headers=headers)
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, given)
        if status != 200:
            assert answer.json()["request_id"] == given
    assert server.client.get("/nowhere", headers=headers).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 101, "é".encode(), b'"<script>', b"a\tb"])
def test_other_request_ids_are_replaced(server: RunningServer, given: bytes) -> None:
    answers = [server.client.get(path, headers={b"X-Request-ID": given}) for path in ("/health/live", "/nowhere")]
    ids = [answer.headers.get_list("x-request-id") for answer in answers]
    assert all(len(each) == 1 and each[0].startswith("req-") for each in ids)
    assert ids[0] != ids[1]
    assert answers[1].json()["request_id"] == ids[1][0]


def test_server_serves_what_the_catalogue_says(server: RunningServer, oracle: Oracle) -> None:
    model = server.model()
    assert model["languages"] == list(oracle.tokenizer.source_languages)
    assert model["pivot_lang"] == "en"
    names = {each["code"]: each["name"] for each in server.client.get("/v1/languages").json()["languages"]}
    assert names == {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "ja": "Japanese"}
    assert server.translate("Hello.", "en", "de")["model"] == model["id"]


def test_texts_whose_languages_are_detected_are_translated_as_if_they_were_named(server: RunningServer) -> None:
    texts = {code: sentences(code, most=3)[-1] for code in ("de", "fr", "es", "ja", "en")}
    body = {"text": list(texts.values()), "target_lang": ["en", "de"]}
    answer = server.client.post("/v1/translations", json=body).json()
    named = [(code, target, text) for code, text in texts.items() for target in ("en", "de")]
    for (code, target, text), each in zip(named, answer["translations"], strict=True):
        assert each["detected_source_lang"] == code
        assert each["text"] == (text if code == target else server.text(text, code, target))
    events = read_events(server.client.post("/v1/translations", json=body | {"stream": True}))
    streamed = sorted(
        of(list(events), "translation"), key=lambda each: (each["text_index"], each["target_lang"] == "de")
    )
    assert streamed == answer["translations"]
