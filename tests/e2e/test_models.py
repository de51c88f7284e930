"""Several checkpoints at once: a pair finds its checkpoint, or its way through two."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints import Shape, random_marian
from tests.e2e.client import deltas, is_whole, request_body
from tests.e2e.oracle import Oracle
from tests.e2e.server import RunningServer, running_server, starting_server

TEXT = "Where is my book?  I saw a dog.\nIt was late"
SHAPE = Shape(d_model=48)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pairs")
    return {
        "fr-en": random_marian(root / "fr-en", seed=3, shape=SHAPE, source_lang="fr", target_lang="en"),
        "en-de": random_marian(root / "en-de", seed=4, shape=SHAPE, source_lang="en", target_lang="de"),
    }


@pytest.fixture(scope="module")
def pairs(directories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = ",".join(map(str, directories.values()))
    with running_server(tmp_path_factory.mktemp("server"), {"MODEL": models, "WORKERS": 2}) as server:
        yield server


def test_languages_are_those_of_all_checkpoints_and_what_they_reach(pairs: RunningServer) -> None:
    languages = {each["code"]: each["targets"] for each in pairs.client.get("/v1/languages").json()["languages"]}
    assert languages == {"fr": ["en", "de"], "en": ["de"]}


def test_a_pair_goes_to_its_checkpoint(pairs: RunningServer, directories: dict[str, Path]) -> None:
    for name, directory in directories.items():
        source, target = name.split("-")
        answer = pairs.translate("Hallo Paris", source, target, max_new_tokens=20, repetition_guard=False)
        assert answer["model"] == str(directory)
        expected = Oracle(directory).translate("Hallo Paris", source, target, max_new_tokens=20)
        assert answer["translations"][0]["text"] == expected
        assert "pivot_lang" not in answer["translations"][0]


def test_a_pair_of_none_goes_through_english_and_says_so(pairs: RunningServer, directories: dict[str, Path]) -> None:
    answer = pairs.translate("Bonjour Paris", "fr", "de")
    assert answer["translations"][0]["pivot_lang"] == "en"
    assert answer["model"] == ", ".join(map(str, directories.values()))
    english = pairs.text("Bonjour Paris", "fr", "en")
    assert answer["translations"][0]["text"] == pairs.text(english, "en", "de")
    pairs.wait_idle()


def test_a_stream_through_a_third_language_is_the_plain_answer(pairs: RunningServer) -> None:
    for options in ({}, {"beam_size": 3}):
        events = pairs.stream(TEXT, "fr", "de", **options)
        assert is_whole(events)
        assert deltas(events) == pairs.text(TEXT, "fr", "de", **options)
        assert [event.data["pivot_lang"] for event in events if event.name == "translation"] == ["en"]


def test_a_named_checkpoint_is_the_only_one_asked(pairs: RunningServer, directories: dict[str, Path]) -> None:
    body = request_body("Hallo", "fr", "de", model=str(directories["fr-en"]))
    answer = pairs.client.post("/v1/translations", json=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:kakehashi:problem:unsupported-language")
    answer = pairs.client.post("/v1/translations", json=body | {"target_lang": "en"})
    assert answer.json()["model"] == str(directories["fr-en"])


def test_a_pair_without_a_way_is_refused(pairs: RunningServer) -> None:
    answer = pairs.client.post("/v1/translations", json=request_body("Hallo", "de", "fr"))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:kakehashi:problem:unsupported-language")


def test_each_checkpoint_has_caches_of_its_own(pairs: RunningServer, directories: dict[str, Path]) -> None:
    models = pairs.client.get("/v1/models").json()["models"]
    assert [model["id"] for model in models] == [str(directory) for directory in directories.values()]
    assert all(model["kv_bytes"] > 0 for model in models)
    pairs.text("Hallo", "fr", "de")
    pairs.wait_idle()


def test_a_checkpoint_that_fails_to_load_stops_the_start(directories: dict[str, Path], tmp_path: Path) -> None:
    broken = random_marian(tmp_path / "broken", seed=5, shape=SHAPE)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    models = f"{directories['fr-en']},{broken}"
    with starting_server(tmp_path, {"MODEL": models, "WORKERS": 1}) as server:
        assert server.wait_exit() == 1
        assert f"cannot serve {broken}" in server.log
