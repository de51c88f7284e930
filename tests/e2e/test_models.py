"""Several checkpoints in one server: a request goes to those that have its pair, or that it names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import BUNDLED, random_marian
from tests.support.client import deltas, is_whole, request_body, translate, translate_all
from tests.support.oracle import Oracle, sentences
from tests.support.server import RunningServer, running_server

BUNDLED_NAME = "kakehashi-bundled"
OPTIONS: dict[str, Any] = {"max_new_tokens": 30, "repetition_guard": False}


@dataclass(frozen=True, slots=True)
class Models:
    """A server with checkpoints into and out of English, which come first, and the bundled checkpoint."""

    server: RunningServer
    fr_en: str
    en_de: str

    def of(self, source_lang: str, target_lang: str | list[str], **options: Any) -> str:
        model: str = self.server.translate("OK", source_lang, target_lang, **options)["model"]
        return model


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def server_of_several(directory: Path) -> Iterator[RunningServer]:
    fr_en = random_marian(directory / "fr-en", seed=4, source_lang="fr", target_lang="en")
    en_de = random_marian(directory / "en-de", seed=3)
    with running_server(
        directory, {"MODEL": f"{fr_en}, {en_de},{BUNDLED}", "WORKERS": 1, "MAX_NEW_TOKENS": 40}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def models(server_of_several: RunningServer, directory: Path) -> Models:
    return Models(server_of_several, str(directory / "fr-en"), str(directory / "en-de"))


def test_all_checkpoints_and_the_union_of_their_languages_are_listed(models: Models) -> None:
    assert [each["id"] for each in models.server.models()] == [models.fr_en, models.en_de, BUNDLED_NAME]
    languages = models.server.client.get("/v1/languages").json()["languages"]
    assert {each["code"] for each in languages} == {"en", "de", "fr", "es", "ja"}
    assert all(len(each["targets"]) == 4 for each in languages)


def test_a_pair_goes_to_the_first_checkpoint_that_has_it(models: Models) -> None:
    assert models.of("en", "de") == models.en_de
    assert models.of("fr", "en") == models.fr_en
    assert models.of("en", "fr") == models.of("de", "en") == BUNDLED_NAME
    assert models.of("fr", "de") == f"{models.fr_en}, {models.en_de}"
    assert models.of("fr", "ja") == f"{models.fr_en}, {BUNDLED_NAME}"
    assert models.of("en", ["de", "fr"]) == f"{models.en_de}, {BUNDLED_NAME}"


def test_a_request_goes_to_the_checkpoint_that_it_names(models: Models, server: RunningServer) -> None:
    texts = sentences("en", most=5)
    choices: list[dict[str, Any]] = [{}, {"beam_size": 3}]
    for options in choices:
        named = models.server.translate(texts, "en", "de", model=BUNDLED_NAME, **options)
        assert named["model"] == BUNDLED_NAME
        assert named["translations"] == server.translate(texts, "en", "de", **options)["translations"]
    assert models.of("fr", "de", model=BUNDLED_NAME) == BUNDLED_NAME


def test_each_checkpoint_answers_as_its_oracle(models: Models) -> None:
    oracle = Oracle(Path(models.en_de))
    texts = [text for text in oracle.sentences("en", most=40) if oracle.tokenizer.count_tokens(text) < 30][:8]
    expected = [oracle.translate(text, "en", "de", max_new_tokens=30) for text in texts]
    answer = models.server.translate(texts, "en", "de", **OPTIONS)
    assert [each["text"] for each in answer["translations"]] == expected


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"model": "another"}, "unsupported-option"),
        ({"model": ""}, "unsupported-option"),
        ({"target_lang": "tlh"}, "unsupported-language"),
        ({"model": "en_de", "source_lang": "fr"}, "unsupported-language"),
        ({"model": "fr_en", "source_lang": "fr"}, "unsupported-language"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_model_or_a_pair_that_it_lacks_is_refused(
    models: Models, changes: dict[str, str], slug: str, stream: bool
) -> None:
    names = {"en_de": models.en_de, "fr_en": models.fr_en}
    body = request_body("OK", "en", "de", stream=stream) | changes
    body |= {"model": names.get(body["model"], body["model"])} if "model" in body else {}
    answer = models.server.client.post("/v1/translations", json=body)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"urn:kakehashi:problem:{slug}"


@pytest.mark.parametrize("options", [{}, {"beam_size": 4}, {"seed": 7}], ids=["greedy", "beams", "sampled"])
def test_a_pivot_over_two_checkpoints_is_translating_twice(models: Models, options: dict[str, Any]) -> None:
    for text in sentences("fr", most=3):
        middle = models.server.text(text, "fr", "en", **options)
        (through,) = models.server.translate(text, "fr", "de", **options)["translations"]
        assert through["text"] == models.server.text(middle, "en", "de", **options)
        assert through["pivot_lang"] == "en"


def test_a_streamed_pivot_is_the_plain_answer_and_says_so(models: Models) -> None:
    text = "  " + " ".join(sentences("fr", most=4)) + "\n\n" + sentences("fr", most=5)[-1]
    for target in ("de", "es"):
        events = models.server.stream(text, "fr", target)
        assert is_whole(events)
        (plain,) = models.server.translate(text, "fr", target)["translations"]
        assert events[-2].data == plain
        assert deltas(events) == plain["text"]
        assert plain["pivot_lang"] == "en"


async def test_checkpoints_side_by_side_answer_as_alone_and_free_all_slots(models: Models) -> None:
    pairs = [("en", "de"), ("fr", "en"), ("fr", "de"), ("fr", "ja"), ("en", "es"), ("de", "fr")]
    kinds: list[dict[str, Any]] = [{}, {"beam_size": 3}, {"seed": 5}, {"stream": True}]
    bodies = [
        request_body(text, *pair, **kinds[(place + index) % len(kinds)])
        for index, pair in enumerate(pairs)
        for place, text in enumerate(sentences(pair[0], most=4))
    ]
    async with models.server.async_client() as client:
        alone = [await translate(client, body) for body in bodies]
        assert await translate_all(client, bodies) == alone


def test_the_build_has_a_series_for_each_checkpoint(models: Models) -> None:
    samples = models.server.metric_families()["kakehashi_build_info"].samples
    assert {each.labels["model"] for each in samples} == {models.fr_en, models.en_de, BUNDLED_NAME}
