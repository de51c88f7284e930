"""The app in this process answers as a server does: streams stream, and a client that leaves is noticed."""

import asyncio

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from service.commandline.asgi_transport import AsgiTransport
from service.commandline.client import Client, TranslationOptions
from service.commandline.errors import CommandError
from tests.support.scripted_app import ScriptedApp, scripted_app

OPTIONS = TranslationOptions(("de",), source_lang="en")


def connected(app: ScriptedApp) -> Client:
    http = httpx2.AsyncClient(transport=AsgiTransport(app.app), base_url="http://in-process")
    return Client(http, note=lambda _: None)


async def test_texts_and_streams_are_answered_and_refusals_refused() -> None:
    app = scripted_app()
    client = connected(app)
    assert await client.translate(["A dog.", "A cat."], OPTIONS) == [("A dog.",), ("A cat.",)]
    assert "".join([delta async for delta in client.stream("A dog.", OPTIONS)]) == "A dog."
    assert [each["code"] for each in await client.languages()] == ["en", "de", "fr", "es", "ja"]
    with pytest.raises(CommandError, match="source_lang 'xx' is not one of"):
        await client.translate(["A dog."], TranslationOptions(("de",), source_lang="xx"))
    assert app.is_idle()


async def test_a_delta_comes_before_the_stream_ends_and_leaving_it_is_a_hang_up() -> None:
    app = scripted_app()
    stream = connected(app).stream("one two three four five six seven", OPTIONS)
    assert await anext(stream)
    assert not app.is_idle()
    await stream.aclose()  # type: ignore[attr-defined]
    assert app.is_idle()


async def test_a_request_that_is_cancelled_is_a_hang_up() -> None:
    app = scripted_app()
    app.translator.hold()
    request = asyncio.create_task(connected(app).translate(["A dog."], OPTIONS))
    while not app.translator.num_preparing:
        await asyncio.sleep(0)
    request.cancel()
    await asyncio.wait([request])
    assert app.is_idle()


async def test_an_app_that_fails_without_an_answer_cannot_be_reached() -> None:
    async def fail(_: Scope, __: Receive, ___: Send) -> None:
        raise ZeroDivisionError

    http = httpx2.AsyncClient(transport=AsgiTransport(fail), base_url="http://in-process")
    with pytest.raises(CommandError, match="http://in-process cannot be reached"):
        await Client(http, note=lambda _: None).languages()
