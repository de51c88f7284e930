"""Hugging Face's official client, unchanged, against a real server."""

from collections.abc import Iterator

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import ValidationError

from tests.support.server import RunningServer

TEXT = "The cat is sleeping on the table. We are going to the beach tomorrow."


@pytest.fixture
def client(server: RunningServer) -> Iterator[InferenceClient]:
    with InferenceClient(server.url) as client:
        yield client


@pytest.fixture
def german(server: RunningServer) -> str:
    return server.text(TEXT, "en", "de")


def test_a_translation_takes_the_pair_or_the_default(
    client: InferenceClient, server: RunningServer, german: str
) -> None:
    french = client.translation(TEXT, src_lang="en", tgt_lang="fr")
    assert french.translation_text == server.text(TEXT, "en", "fr")
    assert client.translation(TEXT).translation_text == german
    beams = client.translation(TEXT, src_lang="en", tgt_lang="de", generate_parameters={"num_beams": 4})
    assert beams.translation_text == server.text(TEXT, "en", "de", beam_size=4)


def test_a_generation_is_the_same_translation(client: InferenceClient, german: str) -> None:
    assert client.text_generation(TEXT) == german
    detailed = client.text_generation(TEXT, details=True)
    assert detailed.generated_text == german
    assert detailed.details is not None
    assert "".join(token.text for token in detailed.details.tokens) == german
    assert detailed.details.finish_reason == "eos_token"


def test_a_stream_joins_to_the_translation(client: InferenceClient, german: str) -> None:
    assert "".join(client.text_generation(TEXT, stream=True)) == german
    *others, last = client.text_generation(TEXT, stream=True, details=True)
    assert "".join(event.token.text for event in (*others, last)) == last.generated_text == german
    assert [event.index for event in (*others, last)] == list(range(1, len(others) + 2))
    assert last.details is not None
    assert last.details.generated_tokens == last.index


def test_a_url_may_name_the_pair(server: RunningServer) -> None:
    with InferenceClient(f"{server.url}/generate_stream?src_lang=en&tgt_lang=ja") as client:
        assert "".join(client.text_generation(TEXT, stream=True)) == server.text(TEXT, "en", "ja")


def test_a_wrong_parameter_is_a_validation_error(client: InferenceClient) -> None:
    with pytest.raises(ValidationError, match="max_new_tokens"):
        client.text_generation(TEXT, max_new_tokens=0)
    with pytest.raises(ValidationError, match="stop is not supported"):
        client.text_generation(TEXT, stop=["."])


def test_the_endpoint_tells_what_it_is(server: RunningServer) -> None:
    with InferenceClient(server.url, provider="hf-inference") as client:
        assert client.health_check()
        assert client.get_endpoint_info()["model_id"] == "kakehashi-bundled"
