"""`/v1/explain` shows the numbers that the model computed."""

from typing import Any

import pytest
import torch

from model.transformer.attention import causal_mask
from model.transformer.compute_types import ComputeType
from model.transformer.linear import DTYPES
from service.api.explain import LOWEST
from tests.support.checkpoints import BUNDLED
from tests.support.oracle import Oracle
from tests.support.server import RunningServer
from tests.support.server_starter import ServerStarter

BODY = {"text": "I saw a dog.", "source_lang": "en", "target_lang": "ja", "k": 3}


def explain(server: RunningServer, **change: object) -> dict[str, Any]:
    answer = server.client.post("/v1/explain", json={**BODY, **change})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_explanation_is_of_the_translation_itself(server: RunningServer) -> None:
    explanation = explain(server)
    assert explanation["text"] == server.text("I saw a dog.", "en", "ja")
    assert explanation["source_tokens"] == ["__en__", "▁I", "▁saw", "▁a", "▁dog", ".", "</s>"]
    assert explanation["decoder_prompt"] == ["</s>", "__ja__"]
    assert explanation["target_tokens"] == [step["token"] for step in explanation["steps"]]
    assert explanation["target_tokens"][-1] == "</s>"


def test_probabilities_are_the_softmax_of_a_full_forward_pass(start_server: ServerStarter) -> None:
    steps = explain(start_server({"COMPUTE_TYPE": "float32"}))["steps"]
    logits = Oracle(BUNDLED, "float32").logits("I saw a dog.", "en", "ja", [step["token_id"] for step in steps])
    expected = logits.softmax(dim=-1).topk(3)
    for step, ids, probabilities in zip(steps, expected.indices.tolist(), expected.values.tolist(), strict=True):
        assert [each["token_id"] for each in step["top_tokens"]] == ids
        assert [each["probability"] for each in step["top_tokens"]] == pytest.approx(probabilities, abs=1e-4)


def test_cross_attention_has_a_distribution_over_the_source_for_each_token(server: RunningServer) -> None:
    explanation = explain(server)
    weights = torch.tensor(explanation["cross_attention"]["weights"])
    assert weights.shape == (len(explanation["target_tokens"]), len(explanation["source_tokens"]))
    assert weights.sum(dim=1).tolist() == pytest.approx([1.0] * len(weights), abs=1e-3)
    assert explanation["cross_attention"]["layer"] == "decoder.layers.1"


@pytest.mark.parametrize("compute_type", LOWEST)
def test_the_mask_shown_is_the_mask_used(server: RunningServer, compute_type: ComputeType) -> None:
    mask = explain(server)["causal_mask"]
    used = causal_mask(torch.arange(len(mask))[None], len(mask), dtype=DTYPES[compute_type])[0, 0]
    assert [[value < 0 for value in row] for row in mask] == (used < 0).tolist()
    assert used.min().item() == LOWEST[compute_type]
    assert min(map(min, mask)) == LOWEST["float32"]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"text": "One. Two."}, 400, "text has 2 sentences"),
        ({"source_lang": "de"}, 400, "there is no direct pair"),
        ({"k": 0}, 422, "body.k"),
        ({"beam_size": 2}, 422, "body.beam_size"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    server: RunningServer, change: dict[str, object], status: int, named: str
) -> None:
    answer = server.client.post("/v1/explain", json={**BODY, **change})
    assert (answer.status_code, answer.json()["detail"].startswith(named)) == (status, True)
    server.wait_idle()
