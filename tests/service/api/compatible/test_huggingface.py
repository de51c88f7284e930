"""Hugging Face's API: both tasks on one path, text-generation-inference's tokens, languages from everywhere."""

import json
from typing import Any

import pytest

from service.translation.language_pair import LanguagePair
from tests.support.asgi import Exchange, as_json, call, post
from tests.support.scripted_app import ScriptedApp, scripted_app

PAIR = {"src_lang": "en", "tgt_lang": "de"}
END = {"id": 2, "text": "", "logprob": -0.5, "special": True}


def body(inputs: str = "Hello", **parameters: Any) -> dict[str, Any]:
    return {"inputs": inputs, "parameters": PAIR | parameters}


def stream_events(answer: Exchange) -> list[dict[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith(":") and line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_the_root_answers_both_tasks(scripted: ScriptedApp):
    answer = await post(scripted.app, "/", {"inputs": "Hello", "parameters": {}})
    assert answer.json == [{"translation_text": "Hello", "generated_text": "Hello"}]
    assert (await post(scripted.app, "/", {"inputs": "Hello"})).status == 200


async def test_details_have_a_token_for_every_piece_of_the_text(scripted: ScriptedApp):
    answer = (await post(scripted.app, "/generate", body("Hello.\nHello.\n", details=True, seed=5))).json
    details = answer["details"]
    assert "".join(token["text"] for token in details["tokens"]) == answer["generated_text"] == "Hello.\nHello.\n"
    assert details["generated_tokens"] == len(details["tokens"])
    assert details["tokens"][-1] == END
    assert (details["finish_reason"], details["seed"], details["prefill"]) == ("eos_token", 5, [])
    assert all(token["id"] is not None and token["logprob"] is not None for token in details["tokens"])
    (from_root,) = (await post(scripted.app, "/", body("Hello.\nHello.\n", details=True, seed=5))).json
    assert from_root["details"] == details


@pytest.mark.parametrize(("path", "stream"), [("/generate_stream", None), ("/", True), ("/generate", True)])
async def test_a_stream_ends_with_the_whole_text(scripted: ScriptedApp, path: str, stream: bool | None):
    answer = await post(scripted.app, path, body("One, two.\n123\n", details=True) | {"stream": stream})
    *others, last = stream_events(answer)
    assert [event["index"] for event in (*others, last)] == list(range(1, len(others) + 2))
    assert all(event["generated_text"] is event["details"] is None for event in others)
    assert "".join(event["token"]["text"] for event in (*others, last)) == last["generated_text"] == "One, two.\n123\n"
    assert last["token"]["special"]
    assert last["details"]["finish_reason"] == "eos_token"
    assert last["details"]["generated_tokens"] == last["index"]
    assert last["details"]["input_length"] > 0


async def test_a_stream_without_details_has_none(scripted: ScriptedApp):
    answer = await post(scripted.app, "/generate_stream", body())
    assert stream_events(answer)[-1]["details"] is None


@pytest.mark.parametrize("inputs", ["!!!", " \n", "Hallo, wie geht es dir?"])
async def test_text_that_is_not_decoded_is_streamed_too(scripted: ScriptedApp, inputs: str):
    answer = await post(scripted.app, "/generate_stream", {"inputs": inputs, "parameters": {"tgt_lang": "de"}})
    (event,) = stream_events(answer)
    assert event["token"] == {"id": 0, "text": inputs, "logprob": 0.0, "special": False}
    assert event["generated_text"] == inputs


async def test_a_text_cut_short_ends_by_its_length(scripted: ScriptedApp):
    answer = await post(scripted.app, "/generate_stream", body("Hello there", max_new_tokens=2, details=True))
    last = stream_events(answer)[-1]
    assert last["details"]["finish_reason"] == "length"
    assert not last["token"]["special"]


async def test_line_ends_of_unicode_are_escaped(scripted: ScriptedApp):
    answer = await post(scripted.app, "/generate_stream", body("One\u2028two\u2029three\x85four"))
    assert len(answer.body.decode().splitlines()) == answer.body.count(b"\n")
    assert stream_events(answer)[-1]["generated_text"] == "One\u2028two\u2029three\x85four"


async def test_a_failure_in_a_stream_is_its_last_event():
    served = scripted_app(script=lambda _: "it broke")
    answer = await post(served.app, "/generate_stream", body())
    assert stream_events(answer) == [{"error": "it broke", "error_type": "generation"}]
    assert 'endpoint="/generate_stream",outcome="error"' in served.metrics.render().decode()


@pytest.mark.parametrize(
    ("default", "query", "parameters", "pair"),
    [
        (LanguagePair(None, None), b"", {}, ("en", "de")),
        (LanguagePair("en", "fr"), b"", {}, ("en", "fr")),
        (LanguagePair("de", "fr"), b"src_lang=en&tgt_lang=es", {}, ("en", "es")),
        (
            LanguagePair("de", "fr"),
            b"src_lang=de&tgt_lang=es",
            {"src_lang": "en_XX", "tgt_lang": "ja_XX"},
            ("en", "ja"),
        ),
        (LanguagePair("en", "fr"), b"tgt_lang=de", {"generate_parameters": {"num_beams": 1}}, ("en", "de")),
    ],
)
@pytest.mark.parametrize("path", ["/", "/generate", "/generate_stream"])
async def test_languages_come_from_the_parameters_the_query_or_the_server(
    path: str, default: LanguagePair, query: bytes, parameters: dict[str, Any], pair: tuple[str, str]
):
    served = scripted_app(default_pair=default)
    text = "The dog sleeps here."
    content = as_json({"inputs": text, "parameters": parameters})
    assert (await call(served.app, "POST", path, query=query, body=content)).status == 200
    native = {"text": text, "source_lang": pair[0], "target_lang": pair[1]}
    assert (await post(served.app, "/v1/translations", native)).status == 200
    asked, expected = (each.spec for each in served.engine.submitted)
    assert asked == expected


async def test_parameters_of_generation_win_and_are_mapped(scripted: ScriptedApp):
    nested = {"num_beams": 4, "length_penalty": 0.5, "max_new_tokens": 7}
    await post(scripted.app, "/", body(max_new_tokens=99, truncation="only_first", generate_parameters=nested))
    (submitted,) = scripted.engine.submitted
    assert (submitted.spec.beam_size, submitted.spec.length_penalty, submitted.spec.max_new_tokens) == (4, 0.5, 7)


@pytest.mark.parametrize("parameters", [{"do_sample": True}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.9}])
async def test_each_option_of_sampling_turns_it_on(scripted: ScriptedApp, parameters: dict[str, Any]):
    await post(scripted.app, "/", body(seed=7, **parameters))
    (submitted,) = scripted.engine.submitted
    assert submitted.spec.sampling is not None
    assert submitted.spec.sampling.seed == 7


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": 100_000},
        {"temperature": 0},
        {"top_p": 1.0},
        {"top_k": 0},
        {"best_of": 2},
        {"repetition_penalty": 1.2},
        {"frequency_penalty": 0.1},
        {"stop": ["."]},
        {"truncate": 5},
        {"typical_p": 0.5},
        {"watermark": True},
        {"grammar": {"type": "json", "value": {}}},
        {"adapter_id": "x"},
        {"return_full_text": True},
        {"num_beams": 2, "do_sample": True},
        {"tgt_lang": "tlh"},
    ],
    ids=str,
)
async def test_what_is_not_served_is_named(scripted: ScriptedApp, parameters: dict[str, Any]):
    answer = await post(scripted.app, "/generate", body(**parameters))
    assert (answer.status, answer.json["error_type"]) == (422, "validation")
    assert next(iter(parameters)) in answer.json["error"].replace("target_lang", "tgt_lang")


async def test_parameters_that_change_no_text_pass(scripted: ScriptedApp):
    harmless: dict[str, Any] = {"best_of": 1, "repetition_penalty": 1.0, "stop": [], "watermark": False}
    harmless |= {"return_full_text": False, "decoder_input_details": True, "top_n_tokens": 2, "unknown": 1}
    assert (await post(scripted.app, "/", body(**harmless))).status == 200


async def test_info_is_open_and_names_the_model():
    served = scripted_app(api_keys="alice:s3cret")
    info = (await call(served.app, "GET", "/info")).json
    assert (info["model_id"], info["router"], info["max_concurrent_requests"]) == ("kakehashi-bundled", "kakehashi", 8)
