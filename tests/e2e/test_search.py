"""Beams, samples and prefixes over HTTP: each request gets what it gets alone, whole or streamed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import deltas, is_whole, request_body, translate, translate_all
from tests.e2e.oracle import Oracle, sentences
from tests.e2e.server import RunningServer, running_server

TEXT = "The old man went to the market. He bought some bread,  and then he went home!\n\nIt was late."


def test_a_beam_is_the_oracles_with_its_score(server: RunningServer, oracle: Oracle) -> None:
    for sentence in sentences("en", most=4):
        best = oracle.beam(sentence, "en", "de", beam_size=4)
        (answer,) = server.translate(sentence, "en", "de", beam_size=4)["translations"]
        assert answer["text"] == oracle.tokenizer.decode(best.token_ids)
        assert answer["score"] == pytest.approx(best.score, abs=1e-3)


@pytest.mark.parametrize("pair", [("en", "de"), ("en", "ja"), ("de", "fr")], ids="-".join)
def test_joined_deltas_of_a_beam_are_the_plain_answer(server: RunningServer, pair: tuple[str, str]) -> None:
    events = server.stream(TEXT, *pair, beam_size=4)
    assert is_whole(events)
    assert deltas(events) == server.text(TEXT, *pair, beam_size=4)
    (translation,) = (event.data for event in events if event.name == "translation")
    assert translation["text"] == deltas(events)
    assert translation.get("pivot_lang") == (None if "en" in pair else "en")


def test_hypotheses_are_distinct_and_best_first(server: RunningServer) -> None:
    (answer,) = server.translate("The old man went home.", "en", "de", beam_size=5, num_hypotheses=4)["translations"]
    scores = [each["score"] for each in answer["hypotheses"]]
    assert scores == sorted(scores, reverse=True)
    assert len({each["text"] for each in answer["hypotheses"]}) == 4
    assert answer["hypotheses"][0] == {"text": answer["text"], "score": answer["score"]}


async def test_each_kind_of_search_says_in_a_crowd_what_it_says_alone(server: RunningServer) -> None:
    kinds: list[dict[str, Any]] = [{}, {"beam_size": 4}, {"temperature": 1.2, "seed": 5}, {"top_p": 0.8, "seed": 6}]
    texts = sentences("en", most=12)
    bodies = [
        request_body(text, "en", "de", stream=place % 2 == 0, **kind)
        for place, text in enumerate(texts)
        for kind in kinds
    ]
    async with server.async_client() as client:
        alone = [await translate(client, body) for body in bodies]
        assert await translate_all(client, bodies) == alone
    assert any(alone[place] != alone[place + 2] for place in range(0, len(alone), 4))
    await asyncio.to_thread(server.wait_idle)


def test_another_seed_draws_another_text(server: RunningServer) -> None:
    texts = {
        server.text("The old man went to the market.", "en", "de", temperature=1.5, seed=seed) for seed in range(8)
    }
    assert len(texts) > 3


@pytest.mark.parametrize("options", [{}, {"beam_size": 4}], ids=["greedy", "beam"])
def test_a_translation_starts_with_its_prefix(server: RunningServer, options: dict[str, Any]) -> None:
    prefix = "Auf den Markt"
    text = server.text(TEXT, "en", "de", prefix=prefix, **options)
    assert text.startswith(prefix)
    assert len(text) > len(prefix) + 20
    assert deltas(server.stream(TEXT, "en", "de", prefix=prefix, **options)) == text


def test_details_come_where_they_are_asked_for_and_nowhere_else(server: RunningServer) -> None:
    extras = ["tokens", "top_tokens", "alignment"]
    (answer,) = server.translate("I saw a dog.", "en", "de", **{"return": extras})["translations"]
    assert answer["source_tokens"] == [["__en__", "▁I", "▁saw", "▁a", "▁dog", ".", "</s>"]]
    for token in answer["tokens"]:
        probabilities = [each["probability"] for each in token["top_tokens"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1.0001
        assert sum(token["alignment"]) == pytest.approx(1.0, abs=1e-3)
        assert len(token["alignment"]) == 7
    (plain,) = server.translate("I saw a dog.", "en", "de")["translations"]
    assert not {"tokens", "source_tokens"} & plain.keys()


def test_a_stream_carries_details_with_each_token(server: RunningServer) -> None:
    extras = {"return": ["top_tokens", "alignment"]}
    tokens = [event.data for event in server.stream("I saw a dog.", "en", "de", **extras) if event.name == "token"]
    assert all(len(token["top_tokens"]) == 5 and len(token["alignment"]) == 7 for token in tokens)
    bare = [event.data for event in server.stream("I saw a dog.", "en", "de") if event.name == "token"]
    assert not any({"top_tokens", "alignment"} & token.keys() for token in bare)


def test_a_beam_wider_than_a_batch_is_refused(tmp_path: Path, random_checkpoint: Path) -> None:
    with running_server(tmp_path, {"MODEL": random_checkpoint, "WORKERS": 1, "MAX_ROWS": 2}) as server:
        answer = server.client.post("/v1/translations", json=request_body("Hello.", "en", "de", beam_size=3))
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "beam_size is 3; a batch of this server has 2 rows",
        )
        assert server.text("Hello.", "en", "de", beam_size=2) is not None


def test_a_loop_ends_with_repetition_unless_it_may_go_on(tmp_path: Path, random_checkpoint: Path) -> None:
    with running_server(tmp_path, {"MODEL": random_checkpoint, "WORKERS": 1}) as server:
        guarded = reasons(server, repetition_guard=True)
        assert "repetition" in guarded
        assert "repetition" not in reasons(server, repetition_guard=False)


def reasons(server: RunningServer, **options: Any) -> set[str]:
    answer = server.translate(sentences("en", most=60), "en", ["de", "fr"], **options)
    return {each["finish_reason"] for each in answer["translations"]}
