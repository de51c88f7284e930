"""The app on a local Ray cluster: two replicas with room for one checkpoint each, and three checkpoints."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from httpx_sse import aconnect_sse

from loadtests.bench.loopback import wait_until
from loadtests.bench.server_process import has_ended
from tests.deploy.ray_cluster import RunningCluster, running_cluster
from tests.support.checkpoints import random_marian
from tests.support.client import deltas, is_whole, raw_request, read_events, request_body
from tests.support.oracle import Oracle, sentences

PAIRS = (("en", "de"), ("de", "en"))
THIRD = ("fr", "en")
OPTIONS: dict[str, Any] = {"max_new_tokens": 20, "repetition_guard": False}
"""The oracle has no guard."""
PATH = "/v1/translations"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an OPUS-MT for each pair, named as those on the hub are."""
    directory = tmp_path_factory.mktemp("opus-mt")
    for seed, (source, target) in enumerate((*PAIRS, THIRD)):
        random_marian(directory / f"opus-mt-{source}-{target}", seed=seed, source_lang=source, target_lang=target)
    return directory


@pytest.fixture(scope="module")
def long_text() -> str:
    """Distinct sentences, which take four rows many seconds: equal ones would be decoded once."""
    words = " ".join(sentences("en", most=40)).replace(".", "").split()
    return " ".join(f"The {' '.join(words[start : start + 6])}." for start in range(len(words) - 6))


@pytest.fixture(scope="module")
def cluster(checkpoints: Path) -> Iterator[RunningCluster]:
    listed = {"model": f"{checkpoints}/opus-mt-{{source}}-{{target}}", "pairs": [*PAIRS, THIRD]}
    arguments = {"checkpoints": [listed], "max_models_per_replica": 1, "min_replicas": 2, "max_replicas": 2}
    cpus = {"num_cpus": 0, "ingress_num_cpus": 0}
    with running_cluster(arguments | cpus, {"MAX_ROWS": 4, "MAX_NEW_TOKENS": 40}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def expected(checkpoints: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Texts by pair, and their translations by the same checkpoint on its own."""
    found = {}
    for source, target in PAIRS:
        oracle = Oracle(checkpoints / f"opus-mt-{source}-{target}")
        texts = oracle.sentences(source, most=4)
        found[source, target] = {text: oracle.translate(text, source, target, max_new_tokens=20) for text in texts}
    return found


def cancelled(cluster: RunningCluster) -> float:
    return cluster.metric("kakehashi_requests_total", outcome="cancelled")


def test_each_pair_is_translated_and_streamed_by_its_own_checkpoint(
    cluster: RunningCluster, expected: dict[tuple[str, str], dict[str, str]]
) -> None:
    for pair, translations in expected.items():
        for text, translated in translations.items():
            assert cluster.text(text, *pair, **OPTIONS) == translated
            events = cluster.stream(text, *pair, **OPTIONS)
            assert is_whole(events)
            assert deltas(events) == translated
    assert len(cluster.engine_processes()) == 4  # a fork server and a worker on each replica


def test_nothing_listens_beyond_the_loopback_interface(cluster: RunningCluster) -> None:
    sockets = [each for process in cluster.processes() for each in process.net_connections("tcp")]
    listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_listings_are_of_all_listed_checkpoints(cluster: RunningCluster, checkpoints: Path) -> None:
    languages = {each["code"]: each["targets"] for each in cluster.client.get("/v1/languages").json()["languages"]}
    assert languages == {"en": ["de"], "de": ["en"], "fr": ["en"]}
    names = [f"{checkpoints}/opus-mt-{source}-{target}" for source, target in (*PAIRS, THIRD)]
    assert [each["id"] for each in cluster.models()] == names


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (request_body("Hello.", "en", "ja"), 400, "unsupported-language"),
        (request_body("Hello.", "zz", "de"), 400, "unsupported-language"),
        (request_body("Hello.", "en", "de", model="none"), 400, "unsupported-option"),
        (request_body("Hello.", "en", "de") | {"target_lang": ["de", 7]}, 422, "malformed"),
        ({}, 422, "malformed"),
    ],
)
def test_refusals_are_problems_with_the_clients_id(
    cluster: RunningCluster, body: dict[str, object], status: int, slug: str
) -> None:
    for streamed in (False, True):
        sent = {**body, "stream": streamed}
        answer = cluster.client.post(PATH, json=sent, headers={"X-Request-ID": "mine"})
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:kakehashi:problem:{slug}")
        assert answer.headers.get_list("x-request-id") == [answer.json()["request_id"]] == ["mine"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_hang_up_reaches_the_replica(cluster: RunningCluster, long_text: str, stream: bool) -> None:
    before = cancelled(cluster)
    async with raw_request(cluster.port, request_body(long_text, "en", "de", stream=stream)) as reader:
        if stream:
            await reader.readuntil(b"event: token")
        await asyncio.to_thread(cluster.wait_running)
    await asyncio.to_thread(wait_until, lambda: cancelled(cluster) == before + 1, "the hang-up is counted")
    await asyncio.to_thread(wait_until, lambda: not cluster.metric("kakehashi_rows_running"), "no row runs")


def test_a_checkpoint_that_makes_room_ends_its_workers(cluster: RunningCluster) -> None:
    for pair in PAIRS:
        cluster.text("Hello.", *pair)
    before = cluster.engine_processes()
    assert cluster.text("Bonjour.", *THIRD)
    after = cluster.engine_processes()
    assert len(before) == len(after) == 4
    assert len(before & after) == 2
    assert all(map(has_ended, before - after))
    for pair in PAIRS:
        assert cluster.text("Hello.", *pair)


async def ask(client: httpx.AsyncClient, body: dict[str, object]) -> str | None:
    """The translation; None for a stream that ended with its one `error`."""
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    if not body["stream"]:
        return str(answer.json()["translations"][0]["text"])
    events = list(read_events(answer))
    assert [event.name for event in events if event.name in ("done", "error")] == [events[-1].name]
    return deltas(events) if events[-1].name == "done" else None


async def test_a_killed_replica_loses_no_request_that_can_be_retried(
    cluster: RunningCluster, expected: dict[tuple[str, str], dict[str, str]], long_text: str
) -> None:
    each = [(pair, text, stream) for pair, texts in expected.items() for text in texts for stream in (False, True)]
    load = 4 * each
    bodies = [request_body(text, *pair, stream=stream, **OPTIONS) for pair, text, stream in load]
    long = request_body(long_text, "en", "de", stream=True)
    async with cluster.async_client() as client, aconnect_sse(client, "POST", PATH, json=long) as source:
        events = source.aiter_sse()
        while (await anext(events)).event != "token":
            pass
        replica = await asyncio.to_thread(cluster.replica_at_work)
        asked = asyncio.gather(*(ask(client, body) for body in bodies))
        await asyncio.to_thread(wait_until, lambda: cluster.metric("kakehashi_requests_waiting"), "the load is there")
        replica.kill()
        assert not asked.done()
        rest = [event.event async for event in events]
        answers = await asked
    assert [name for name in rest if name in ("done", "error")] == [rest[-1]] == ["error"]
    for (pair, text, stream), answer in zip(load, answers, strict=True):
        assert answer == expected[pair][text] or (stream and answer is None)
    await asyncio.to_thread(wait_until, lambda: len(cluster.replicas()) == 2, "there are two replicas again")
