"""Laws of `POST /v1/explain` that need no model: its refusals, before any work, and the shape of its answer."""

from dataclasses import replace

import pytest

from service.api.explain import ExplanationSize
from tests.support.asgi import post
from tests.support.scripted_app import LIMITS, ScriptedApp, scripted_app

EXPLAIN = "/v1/explain"
BODY = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
BIAS = [[0.25] * 64, [1.0] * 64]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"text": "One.\nTwo."}, 400, "text has 2 sentences"),
        ({"source_lang": "fr"}, 400, "there is no direct pair: it goes through 'en'"),
        ({"target_lang": "zz"}, 400, "target_lang 'zz'"),
        ({"max_new_tokens": 257}, 400, "max_new_tokens is 257"),
        ({"k": 0}, 422, "body.k"),
        ({"beam_size": 2}, 422, "body.beam_size"),
        ({"text": "x" * 2_001}, 413, "the texts have 2001 characters"),
    ],
)
async def test_an_explanation_is_refused_before_anything_is_submitted(
    scripted: ScriptedApp, change: dict[str, object], status: int, named: str
):
    answer = await post(scripted.app, EXPLAIN, BODY | change)
    assert (answer.status, answer.json["detail"].startswith(named)) == (status, True)
    assert not scripted.engine.submitted


async def test_an_explanation_has_a_row_of_everything_for_each_token(scripted: ScriptedApp):
    explanation = (await post(scripted.app, EXPLAIN, BODY | {"k": 3})).json
    assert explanation["source_tokens"] == ["__en__", *explanation["target_tokens"]]
    num_tokens = len(explanation["target_tokens"])
    assert [len(step["top_tokens"]) for step in explanation["steps"]] == [3] * num_tokens
    weights = explanation["cross_attention"]["weights"]
    assert (len(weights), {len(row) for row in weights}) == (num_tokens, {num_tokens + 1})
    assert len(explanation["causal_mask"]) == num_tokens + 1, "two tokens of prompt, all target tokens but the last"


async def test_an_explanation_over_the_limit_is_refused_before_the_work():
    scripted = scripted_app(limits=replace(LIMITS, max_answer_bytes=10_000))
    answer = await post(scripted.app, EXPLAIN, BODY | {"k": 50})
    assert (answer.status, answer.json["type"]) == (413, "urn:kakehashi:problem:too-large")
    assert "10000 bytes" in answer.json["detail"]
    assert not scripted.engine.submitted
    assert (await post(scripted.app, EXPLAIN, BODY | {"k": 5, "max_new_tokens": 4})).status == 200


@pytest.mark.parametrize("bias", [None, BIAS])
async def test_an_explanation_is_no_larger_than_its_size_says(bias: list[list[float]] | None):
    scripted = scripted_app(bias_by_distance=bias)
    answer = await post(scripted.app, EXPLAIN, BODY | {"k": 7})
    num_tokens = len(answer.json["target_tokens"])
    size = ExplanationSize(
        num_source_tokens=num_tokens + 1, num_prompt_tokens=2, num_top_tokens=7, num_masks=len(bias or [()])
    )
    assert len(answer.body) <= size.num_bytes(num_tokens)
    assert len(answer.json["causal_mask"]) == (len(bias) if bias else num_tokens + 1)
