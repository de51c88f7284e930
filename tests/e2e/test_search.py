"""Beams, samples, prefixes and rules: whole or streamed, alone or side by side, the answer is the search's own."""

from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import deltas, is_whole, request_body, translate, translate_all
from tests.support.oracle import Oracle, sentences
from tests.support.server import RunningServer, running_server

ALL: dict[str, Any] = {"return": ["tokens", "top_tokens", "alignment"]}
SCORE_TOLERANCE = 2e-4  # scores are said with four digits
PROBABILITY_TOLERANCE = 1e-4
KINDS: list[dict[str, Any]] = [
    {},
    {"beam_size": 4},
    {"seed": 11},
    {"beam_size": 2, "length_penalty": 0.5},
    {"seed": 12, "temperature": 1.5, "top_k": 20},
    {"stream": True, "beam_size": 5},
    {"stream": True, "seed": 13, "top_p": 0.9},
    {"stream": True, "prefix": "Ja,"},
]


@pytest.fixture(scope="module")
def looping_server(tmp_path_factory: pytest.TempPathFactory, random_checkpoint: Path) -> Iterator[RunningServer]:
    """A random checkpoint, which often repeats itself, in a batch of two rows."""
    settings = {"MODEL": random_checkpoint, "WORKERS": 1, "MAX_ROWS": 2}
    with running_server(tmp_path_factory.mktemp("looping"), settings) as server:
        yield server


def check_hypotheses(found: list[dict[str, Any]], expected: list[tuple[str, float]]) -> None:
    assert [each["text"] for each in found] == [text for text, _ in expected]
    assert [each["score"] for each in found] == pytest.approx([score for _, score in expected], abs=SCORE_TOLERANCE)


@pytest.mark.parametrize("beam_size", [2, 4])
@pytest.mark.parametrize("pair", [("en", "de"), ("de", "en"), ("en", "ja")], ids="-".join)
def test_beams_equal_the_oracles(server: RunningServer, oracle: Oracle, pair: tuple[str, str], beam_size: int) -> None:
    texts = sentences(pair[0], most=8)
    expected = oracle.search(texts, *pair, max_new_tokens=40, beam_size=beam_size)
    options: dict[str, Any] = {"max_new_tokens": 40, "repetition_guard": False, "num_hypotheses": beam_size}
    answer = server.translate(texts, *pair, beam_size=beam_size, **options)
    for translation, hypotheses in zip(answer["translations"], expected, strict=True):
        check_hypotheses(translation["hypotheses"], hypotheses)
        assert translation["text"] == hypotheses[0][0]


def test_beams_of_a_random_checkpoint_equal_the_oracles(looping_server: RunningServer, random_checkpoint: Path) -> None:
    oracle = Oracle(random_checkpoint)
    texts = [text for text in oracle.sentences("en", most=40) if oracle.tokenizer.count_tokens(text) < 30][:8]
    expected = oracle.search(texts, "en", "de", max_new_tokens=30, beam_size=2)
    options: dict[str, Any] = {"max_new_tokens": 30, "repetition_guard": False, "num_hypotheses": 2, "beam_size": 2}
    answer = looping_server.translate(texts, "en", "de", **options)
    for translation, hypotheses in zip(answer["translations"], expected, strict=True):
        check_hypotheses(translation["hypotheses"], hypotheses)
    looping_server.wait_idle()


def test_hypotheses_come_best_first_and_the_first_is_the_text(server: RunningServer) -> None:
    texts = [*sentences("en", most=6), " ".join(sentences("en", most=3))]
    for each in server.translate(texts, "en", "de", beam_size=4, num_hypotheses=4)["translations"]:
        scores = [hypothesis["score"] for hypothesis in each["hypotheses"]]
        assert len(scores) == 4
        assert each["hypotheses"][0] == {"text": each["text"], "score": each["score"]}
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis["text"] for hypothesis in each["hypotheses"]}) > 1


@pytest.mark.parametrize("options", [{"beam_size": 4}, {"beam_size": 8}, {"seed": 3}], ids=str)
def test_joined_deltas_of_a_search_equal_the_plain_text(server: RunningServer, options: dict[str, Any]) -> None:
    texts = [*sentences("en", most=10), "  " + " ".join(sentences("en", most=5)) + "\n\nIt is raining.\n"]
    events = server.stream(texts, "en", ["de", "ja"], **options)
    assert is_whole(events)
    for plain in server.translate(texts, "en", ["de", "ja"], **options)["translations"]:
        place = (plain["text_index"], plain["target_lang"])
        mine = [each for each in events[1:-1] if (each.data["text_index"], each.data["target_lang"]) == place]
        assert deltas(mine) == plain["text"]
        assert mine[-1].data == plain


def test_a_beam_tells_its_first_tokens_before_its_last_step(server: RunningServer) -> None:
    text = "My brother bought three old books at the market and gave them to his friends in the village."
    body = request_body(text, "en", "de", beam_size=4, stream=True)
    with server.client.stream("POST", "/v1/translations", json=body) as answer:
        chunks = list(answer.iter_raw())
    telling = [chunk for chunk in chunks if b"event: token" in chunk]
    assert len(telling) > 1
    assert b"event: translation" not in telling[0]


async def test_searches_side_by_side_are_what_they_are_alone(server: RunningServer) -> None:
    texts = sentences("en", most=32)
    bodies = [request_body(text, "en", "de", **KINDS[place % len(KINDS)]) for place, text in enumerate(texts)]
    async with server.async_client() as client:
        alone = [await translate(client, body) for body in bodies]
        assert len(set(alone)) > 24
        for _ in range(2):
            assert await translate_all(client, bodies) == alone
    server.wait_idle()


def test_a_seed_gives_its_text_again_and_others_differ(server: RunningServer) -> None:
    (text,) = sentences("en", most=1)
    said = [server.text(text, "en", "de", seed=seed, temperature=1.3) for seed in range(8)]
    assert said == [server.text(text, "en", "de", seed=seed, temperature=1.3) for seed in range(8)]
    assert len(set(said)) > 1
    assert len({server.text(text, "en", "de", temperature=1.3) for _ in range(8)}) > 1


def test_sampling_from_one_token_is_greedy(server: RunningServer) -> None:
    for text in sentences("en", most=6):
        assert server.text(text, "en", "de", top_k=1) == server.text(text, "en", "de")


@pytest.mark.parametrize("options", [{}, {"beam_size": 4}, {"seed": 2}], ids=["greedy", "beams", "sampled"])
@pytest.mark.parametrize(("target", "prefix"), [("de", "Ich sah"), ("de", "☃ Nun,"), ("ja", "私は"), ("de", "Gest")])
def test_a_translation_starts_with_its_prefix(
    server: RunningServer, target: str, prefix: str, options: dict[str, Any]
) -> None:
    for text in ("I saw a dog.", "I saw a dog. It was big."):
        (plain,) = server.translate(text, "en", target, prefix=prefix, **options)["translations"]
        assert plain["text"].startswith(prefix)
        assert len(plain["text"]) > len(prefix)
        assert all(each["text"].startswith(prefix) for each in plain["hypotheses"])
        events = server.stream(text, "en", target, prefix=prefix, **options)
        assert deltas(events) == plain["text"] == events[-2].data["text"]


def test_a_prefix_of_the_answer_leaves_it_as_it_is(server: RunningServer) -> None:
    assert server.text("I saw a dog.", "en", "de", prefix="Ich habe einen") == "Ich habe einen Hund gesehen."
    assert server.text("Ich habe einen Hund.", "de", "fr", prefix="Voici").startswith("Voici")


def test_a_loop_ends_a_sentence_unless_the_guard_is_off(looping_server: RunningServer, random_checkpoint: Path) -> None:
    texts = [text for text in Oracle(random_checkpoint).sentences("en", most=30) if len(text) < 60]
    options: dict[str, Any] = {"max_new_tokens": 60}  # where the loops of the others end
    guarded = looping_server.translate(texts, "en", "de", **options)["translations"]
    free = looping_server.translate(texts, "en", "de", repetition_guard=False, **options)["translations"]
    assert "repetition" in {each["finish_reason"] for each in guarded}
    assert "repetition" not in {each["finish_reason"] for each in free}
    for ended, went_on in zip(guarded, free, strict=True):
        assert went_on["text"].startswith(ended["text"])
        assert (ended["text"] == went_on["text"]) or ended["finish_reason"] == "repetition"


def test_a_beam_as_wide_as_the_batch_is_served_and_a_wider_one_refused(looping_server: RunningServer) -> None:
    assert looping_server.text("I see.", "en", "de", beam_size=2)
    answer = looping_server.client.post("/v1/translations", json=request_body("I see.", "en", "de", beam_size=3))
    assert answer.status_code == 400
    assert "beam_size is 3; the limit of this server is 2" in answer.json()["detail"]
    looping_server.wait_idle()


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}, {"seed": 4}], ids=["greedy", "beams", "sampled"])
def test_tokens_come_with_their_rivals_and_alignment(server: RunningServer, options: dict[str, Any]) -> None:
    answer = server.translate(" ".join(sentences("en", most=3)), "en", "de", **ALL, **options)
    (translation,) = answer["translations"]
    tokens, sources = translation["tokens"], translation["source_tokens"]
    assert len(tokens) == answer["usage"]["generated_tokens"]
    assert sum(map(len, sources)) == answer["usage"]["source_tokens"]
    for each in tokens:
        probabilities = [rival["probability"] for rival in each["top_tokens"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 5
        assert sum(probabilities) <= 1 + PROBABILITY_TOLERANCE
        chosen = [rival for rival in each["top_tokens"] if rival["token_id"] == each["token_id"]]
        assert all(rival["probability"] == pytest.approx(exp(each["logprob"]), abs=1e-4) for rival in chosen)
        assert len(each["alignment"]) == len(sources[each["sentence_index"]])
        assert sum(each["alignment"]) == pytest.approx(1, abs=PROBABILITY_TOLERANCE)


def test_a_stream_tells_the_same_of_its_tokens(server: RunningServer) -> None:
    text = " ".join(sentences("en", most=2))
    (plain,) = server.translate(text, "en", "de", **ALL)["translations"]
    events = server.stream(text, "en", "de", **ALL)
    told = [event.data for event in events if event.name == "token"]
    names = ("sentence_index", "token_id", "logprob", "top_tokens", "alignment")
    assert [[each[name] for name in names] for each in told] == [
        [each[name] for name in names] for each in plain["tokens"]
    ]


@pytest.mark.parametrize("asked", [[], ["tokens"], ["top_tokens"], ["alignment"]], ids=str)
def test_what_was_not_asked_for_is_absent(server: RunningServer, asked: list[str]) -> None:
    options: dict[str, Any] = {"return": asked}
    (translation,) = server.translate("I saw a dog.", "en", "de", **options)["translations"]
    assert ("tokens" in translation) == ("source_tokens" in translation) == bool(asked)
    told = [event.data for event in server.stream("I saw a dog.", "en", "de", **options) if event.name == "token"]
    for each in [*translation.get("tokens", []), *told]:
        assert each.keys() & {"top_tokens", "alignment"} == {*asked} - {"tokens"}
