"""What a server answers, and what becomes of it."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.commandline import client as module
from service.commandline.client import Client, TranslationOptions
from service.commandline.errors import CommandError, ExitStatus

OPTIONS = TranslationOptions(("de", "fr"), source_lang="en")
Handler = Callable[[httpx2.Request], httpx2.Response]


class Scripted:
    """A client of a server that is a function; `notes` are its own."""

    def __init__(self, handler: Handler) -> None:
        self.notes: list[str] = []
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), base_url="http://there")
        self.client = Client(http, note=self.notes.append)

    async def refusal(self, texts: list[str], options: TranslationOptions = OPTIONS) -> CommandError:
        with pytest.raises(CommandError) as raised:
            await self.client.translate(texts, options)
        return raised.value


def problem(status: int, detail: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"status": status, "detail": detail}, headers=headers)


def upper(request: httpx2.Request) -> httpx2.Response:
    body = json.loads(request.content)
    texts = [f"{text.upper()}.{target}" for text in body["text"] for target in body["target_lang"]]
    return httpx2.Response(200, json={"translations": [{"text": text} for text in texts]})


def event_stream(*events: tuple[str, dict[str, Any]]) -> httpx2.Response:
    content = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return httpx2.Response(200, content=content, headers={"Content-Type": "text/event-stream"})


async def test_each_text_has_its_translations_by_target() -> None:
    found = await Scripted(upper).client.translate(["a", "b"], OPTIONS)
    assert found == [("A.de", "A.fr"), ("B.de", "B.fr")]


@pytest.mark.parametrize("status", [413, 504])
async def test_texts_that_are_too_much_are_sent_in_parts(status: int) -> None:
    def at_most_two(request: httpx2.Request) -> httpx2.Response:
        return problem(status, "too much") if len(json.loads(request.content)["text"]) > 2 else upper(request)

    found = await Scripted(at_most_two).client.translate(list("abcde"), OPTIONS)
    assert [each[0] for each in found] == ["A.de", "B.de", "C.de", "D.de", "E.de"]


async def test_a_single_text_that_is_too_much_is_quoted() -> None:
    error = await Scripted(lambda _: problem(413, "the limit is 5")).refusal(["abcdef"])
    assert str(error) == "the limit is 5, for 'abcdef'"
    assert error.status == ExitStatus.FAILED


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again_after_its_pause_and_that_is_noted_once(status: int) -> None:
    answers = iter([problem(status, "busy", **{"Retry-After": "0"}) for _ in range(3)])
    scripted = Scripted(lambda request: next(answers, None) or upper(request))
    assert (await scripted.client.translate(["a"], OPTIONS))[0] == ("A.de", "A.fr")
    assert scripted.notes == [f"the server answers {status}, busy or not ready: trying again"]


async def test_a_server_that_stays_busy_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    error = await Scripted(lambda _: problem(429, "the queue is full")).refusal(["a"])
    assert (str(error), error.status) == ("the queue is full", ExitStatus.UNREACHABLE)


async def test_a_server_that_does_not_answer_is_named() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("Connection refused")

    error = await Scripted(refuse).refusal(["a"])
    assert str(error).startswith("http://there cannot be reached: Connection refused. Is a server running there?")
    assert error.status == ExitStatus.UNREACHABLE


async def test_a_wrong_key_leads_to_where_keys_are_given() -> None:
    error = await Scripted(lambda _: problem(401, "the key is missing or wrong")).refusal(["a"])
    assert str(error) == "the key is missing or wrong. Give a key with --api-key or in KAKEHASHI_API_KEY"


async def test_what_is_no_kakehashi_server_is_named() -> None:
    for answer in (httpx2.Response(200, text="<html>"), httpx2.Response(502, json=[]), httpx2.Response(301)):
        error = await Scripted(lambda _, answer=answer: answer).refusal(["a"])  # type: ignore[misc]
        assert f"http://there/v1/translations answered {answer.status_code}, and not as Kakehashi does" in str(error)


async def test_a_route_that_is_not_there_is_named() -> None:
    scripted = Scripted(lambda _: problem(404, "Not Found"))
    with pytest.raises(CommandError, match=r"http://there/v1/detect is not there. Is the URL right"):
        await scripted.client.detect(["a"])


async def test_detections_are_those_of_each_text() -> None:
    def by_case(request: httpx2.Request) -> httpx2.Response:
        texts = json.loads(request.content)["text"]
        found = [{"detected_source_lang": text.lower(), "confidence": float(text.islower())} for text in texts]
        return httpx2.Response(200, json={"detections": found})

    assert await Scripted(by_case).client.detect(["de", "FR"]) == [("de", 1.0), ("fr", 0.0)]


async def test_a_stream_yields_its_deltas() -> None:
    answer = event_stream(("start", {}), ("token", {"text": "Guten"}), ("token", {"text": " Tag"}), ("done", {}))
    stream = Scripted(lambda _: answer).client.stream("hello", OPTIONS)
    assert [delta async for delta in stream] == ["Guten", " Tag"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (problem(400, "no such language"), "no such language"),
        (event_stream(("error", {"detail": "it failed"})), "it failed, in the translation of 'hello'"),
        (event_stream(("token", {"text": "Gu"})), "the server broke off in the translation of 'hello'"),
    ],
)
async def test_a_stream_that_does_not_end_well_is_an_error(answer: httpx2.Response, message: str) -> None:
    with pytest.raises(CommandError) as raised:
        [delta async for delta in Scripted(lambda _: answer).client.stream("hello", OPTIONS)]
    assert str(raised.value) == message
