"""The client of a server's native API that the commands use."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from service.commandline.errors import CommandError, ExitStatus
from service.errors import quoted

PATIENCE_SECONDS = 300.0
"""How long a request is repeated while the server is busy."""
BUSY = (429, 503)
TOO_MUCH = (413, 504)
"""Statuses of a request that may succeed with half as many texts."""


@dataclass(frozen=True, slots=True)
class TranslationOptions:
    """Without `source_lang` the language is detected; without `model` the server chooses one."""

    target_langs: tuple[str, ...]
    source_lang: str | None = None
    beam_size: int = 1
    model: str | None = None
    priority: str = "interactive"
    text_format: str = "text"

    def body(self, texts: Sequence[str], *, stream: bool = False) -> dict[str, object]:
        body: dict[str, object] = {
            "text": list(texts),
            "target_lang": list(self.target_langs),
            "beam_size": self.beam_size,
            "priority": self.priority,
            "format": self.text_format,
            "stream": stream,
        }
        given = {"source_lang": self.source_lang, "model": self.model}
        return body | {name: value for name, value in given.items() if value is not None}


class Client:
    """Sends requests to a server.

    Every method raises CommandError if no server answers, or if the server refuses, then with the server's own words.
    """

    def __init__(self, http: httpx2.AsyncClient, *, note: Callable[[str], None]) -> None:
        """`note` is called with messages for the person who waits."""
        self._http = http
        self._note = note
        self._has_noted_waiting = False

    async def translate(self, texts: Sequence[str], options: TranslationOptions) -> list[tuple[str, ...]]:
        """The translations of each text, one for each target."""
        answers = await self._post(texts, "/v1/translations", options.body, "translations")
        found = [each["text"] for each in answers]
        num_targets = len(options.target_langs)
        return [tuple(found[start : start + num_targets]) for start in range(0, len(found), num_targets)]

    async def detect(self, texts: Sequence[str], *, model: str | None = None) -> list[tuple[str, float]]:
        """The language of each text, and the confidence from 0 to 1."""

        def body(texts: Sequence[str]) -> dict[str, object]:
            return {"text": list(texts)} | ({"model": model} if model else {})

        answers = await self._post(texts, "/v1/detect", body, "detections")
        return [(each["detected_source_lang"], each["confidence"]) for each in answers]

    async def stream(self, text: str, options: TranslationOptions) -> AsyncIterator[str]:
        """The deltas of the translation into the single target language."""
        async with self._answer("POST", "/v1/translations", options.body([text], stream=True)) as answer:
            if answer.status_code != 200:
                await _read(answer, [text])
            async for event in httpx2.EventSource(answer):
                match event.event:
                    case "token":
                        yield _data(event)["text"]
                    case "error":
                        raise CommandError(f"{_data(event)['detail']}, in the translation of {quoted(text)}")
                    case "done":
                        return
        raise CommandError(f"the server broke off in the translation of {quoted(text)}")

    async def languages(self) -> list[dict[str, Any]]:
        """Objects of `code`, `name` and `targets`."""
        async with self._answer("GET", "/v1/languages") as answer:
            return list((await _read(answer))["languages"])

    async def _post(
        self, texts: Sequence[str], path: str, body: Callable[[Sequence[str]], object], field: str
    ) -> list[dict[str, Any]]:
        """The list in `field` of the answer. Texts that are too much for one request are sent in two."""
        async with self._answer("POST", path, body(texts)) as answer:
            if answer.status_code not in TOO_MUCH or len(texts) == 1:
                return list((await _read(answer, texts))[field])
        middle = len(texts) // 2
        return [
            *await self._post(texts[:middle], path, body, field),
            *await self._post(texts[middle:], path, body, field),
        ]

    @asynccontextmanager
    async def _answer(self, method: str, path: str, body: object = None) -> AsyncIterator[httpx2.Response]:
        """The response, with its body unread. While the server is busy, the request is repeated."""
        time = asyncio.get_running_loop().time
        give_up_at = time() + PATIENCE_SECONDS
        try:
            while True:
                request = self._http.build_request(method, path, json=body)
                answer = await self._http.send(request, stream=True)
                try:
                    if answer.status_code not in BUSY or time() >= give_up_at:
                        yield answer
                        return
                finally:
                    await answer.aclose()
                await self._wait(answer)
        except httpx2.TransportError as error:
            raise CommandError(
                f"{self._http.base_url} cannot be reached: {error or type(error).__name__}. "
                "Is a server running there? `kakehashi serve` starts one",
                status=ExitStatus.UNREACHABLE,
            ) from error

    async def _wait(self, answer: httpx2.Response) -> None:
        retry_after = answer.headers.get("Retry-After", "")
        if not self._has_noted_waiting:
            self._has_noted_waiting = True
            self._note(f"the server answers {answer.status_code}, busy or not ready: trying again")
        await asyncio.sleep(int(retry_after) if retry_after.isdecimal() else 1)


def _data(event: httpx2.ServerSentEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data)
    return data


async def _read(answer: httpx2.Response, texts: Sequence[str] = ()) -> Any:
    """The JSON of a 200. Raises CommandError for any other answer."""
    await answer.aread()
    try:
        content = answer.json()
        if answer.status_code == 200:
            return content
        detail = str(content["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"{answer.url} answered {answer.status_code}, and not as Kakehashi does. Is the URL right?"
    if answer.status_code == 404:
        detail = f"{answer.url} is not there. Is the URL right, and the server as new as this command?"
    if answer.status_code == 401:
        detail += ". Give a key with --api-key or in KAKEHASHI_API_KEY"
    if answer.status_code in TOO_MUCH and texts:
        detail += f", for {quoted(texts[0])}"
    status = ExitStatus.UNREACHABLE if answer.status_code in BUSY else ExitStatus.FAILED
    raise CommandError(detail, status=status)
