"""Sixteen threads through each official client at once: no failure, and every answer is that to a request alone."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import deepl
from huggingface_hub import InferenceClient
from libretranslatepy import LibreTranslateAPI

from tests.support.oracle import sentences
from tests.support.server import RunningServer

NUM_THREADS = 16
SECONDS = 2.0

Translate = Callable[[str], str]


def with_deepl(url: str) -> Translate:
    client = deepl.DeepLClient("any", server_url=url)
    return lambda text: str(client.translate_text(text, source_lang="EN", target_lang="DE"))


def with_libretranslate(url: str) -> Translate:
    client = LibreTranslateAPI(url)
    return lambda text: str(client.translate(text, "en", "de"))


def with_huggingface(url: str) -> Translate:
    client = InferenceClient(f"{url}?src_lang=en&tgt_lang=de")
    return lambda text: "".join(client.text_generation(text, stream=True))


def test_every_answer_is_that_to_a_request_alone(server: RunningServer) -> None:
    texts = sentences("en", most=24)
    expected = {text: server.text(text, "en", "de") for text in texts}
    end = time.monotonic() + SECONDS

    def run(client: Callable[[str], Translate], first: int) -> None:
        translate = client(server.url)
        for text in cycle(texts[first:] + texts[:first]):
            assert translate(text) == expected[text]
            if time.monotonic() > end:
                break

    clients = (with_deepl, with_libretranslate, with_huggingface)
    with ThreadPoolExecutor(NUM_THREADS * len(clients)) as pool:
        runs = [pool.submit(run, client, first) for client in clients for first in range(NUM_THREADS)]
    for each in runs:
        each.result()
