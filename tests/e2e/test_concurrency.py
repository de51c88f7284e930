"""Many clients at once get the same answers as alone, and nothing is left behind."""

import asyncio
import random
from typing import Any

import httpx

from loadtests.bench.source_lines import read_sources
from tests.support.client import raw_request, request_body, translate, translate_all
from tests.support.oracle import sentences
from tests.support.server import RunningServer

NUM_CLIENTS = 64
MAX_WORDS = 200
TARGETS = {"en": ("de", "fr", "es", "ja"), "de": ("en",), "fr": ("en",), "es": ("en",), "ja": ("en",)}
BAD = ({"target_lang": "zz"}, {"text": 7}, {"format": "rtf"}, {"zz": 1}, {"text": ["x"] * 1000}, {"timeout_s": 1e-6})


def words_of(language: str) -> list[str]:
    """Japanese sources are not spaced: each counts as a word."""
    return " ".join(source.text for source in read_sources() if source.source_lang == language).split()


def random_body(rng: random.Random, *, num_words: int, source_lang: str) -> dict[str, Any]:
    """Consecutive words of the test data, from a random place on."""
    words = words_of(source_lang)
    start = rng.randrange(len(words))
    text = " ".join((words[start:] + words * (MAX_WORDS // len(words) + 1))[:num_words])
    target_lang = rng.choice(TARGETS[source_lang])
    return request_body(text, source_lang, target_lang, stream=rng.random() < 0.5)


async def test_sixty_four_clients_get_what_each_gets_alone(server: RunningServer) -> None:
    rng = random.Random(20)
    counts = [1, MAX_WORDS, *(rng.randint(1, MAX_WORDS) for _ in range(NUM_CLIENTS - 2))]
    languages = [rng.choice(("en", "de", "fr", "es")) for _ in counts]
    bodies = [random_body(rng, num_words=n, source_lang=lang) for n, lang in zip(counts, languages, strict=True)]
    async with server.async_client() as client:
        alone = [await translate(client, body | {"stream": False}) for body in bodies]
        assert len(set(alone)) > NUM_CLIENTS * 3 // 4
        assert await translate_all(client, bodies) == alone


async def test_japanese_and_english_side_by_side_are_what_they_are_alone(server: RunningServer) -> None:
    rng = random.Random(21)
    bodies = [random_body(rng, num_words=rng.randint(1, 12), source_lang=rng.choice(("ja", "en"))) for _ in range(48)]
    async with server.async_client() as client:
        alone = [await translate(client, body) for body in bodies]
        assert await translate_all(client, bodies) == alone


async def test_targets_and_texts_in_one_request_are_what_they_are_alone(server: RunningServer) -> None:
    texts, targets = sentences("en", most=20), list(TARGETS["en"])
    async with server.async_client() as client:
        answer = await client.post("/v1/translations", json=request_body(texts, "en", targets))
        alone = [await translate(client, request_body(text, "en", target)) for text in texts for target in targets]
    assert [each["text"] for each in answer.json()["translations"]] == alone


# Chaos.


async def act(client: httpx.AsyncClient, port: int, rng: random.Random, body: dict[str, Any]) -> str | None:
    """One client that does well (its translation is returned), badly, or goes away."""
    kind = rng.choice(("good", "good", "bad", "gone at once", "gone in the middle"))
    if kind == "good":
        return await translate(client, body)
    if kind == "bad":
        changes = rng.choice(BAD)
        answer = await client.post("/v1/translations", json=body | {"stream": False} | changes)
        assert 400 <= answer.status_code < 500 or (answer.status_code == 504 and "timeout_s" in changes)
    elif kind == "gone at once":
        async with raw_request(port, body):
            pass
    else:
        async with raw_request(port, body | {"stream": True}) as reader:
            for _ in range(rng.randint(1, 40)):
                await reader.readline()
    return None


async def test_chaos_leaves_no_row_waiting_or_running_and_a_good_answer(server: RunningServer) -> None:
    rng = random.Random(22)
    languages = [rng.choice(tuple(TARGETS)) for _ in range(160)]
    counts = [rng.randint(1, 10 if lang == "ja" else 60) for lang in languages]
    bodies = [random_body(rng, num_words=n, source_lang=lang) for n, lang in zip(counts, languages, strict=True)]
    async with server.async_client() as client:
        answers = await asyncio.gather(*(act(client, server.port, rng, body) for body in bodies))
        await asyncio.to_thread(server.wait_idle)
        good = [(body, answer) for body, answer in zip(bodies, answers, strict=True) if answer is not None]
        assert 40 < len(good) < 100
        assert [await translate(client, body) for body, _ in good] == [answer for _, answer in good]


async def test_every_admitted_request_is_counted_once(server: RunningServer) -> None:
    rng = random.Random(23)
    bodies = [random_body(rng, num_words=20, source_lang="en") for _ in range(30)]
    # A deadline out of reach is refused if the speed of the server is known by now.
    outcomes = (("ok",), ("invalid",), ("timeout", "refused"), ("cancelled",), ("error",))

    def count(outcome: str) -> float:
        return server.metric("kakehashi_requests_total", outcome=outcome, endpoint="/v1/translations")

    def counts() -> list[float]:
        return [sum(map(count, either)) for either in outcomes]

    before = counts()
    async with server.async_client() as client:
        await translate_all(client, bodies)
        for changes in BAD:
            await client.post("/v1/translations", json=bodies[0] | changes | {"stream": False})
    await asyncio.to_thread(server.wait_idle)
    assert [after - then for after, then in zip(counts(), before, strict=True)] == [30, 5, 1, 0, 0]
