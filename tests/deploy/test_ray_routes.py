"""The choice of a request's checkpoint by its languages and its `model`."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from deploy.ray.arguments import Arguments
from deploy.ray.checkpoint_routes import BUNDLED, CheckpointRoutes, ListedCheckpoint
from deploy.ray.exchange import AppRequest
from deploy.ray.fields import Asked, read_asked
from service.errors import UnsupportedLanguageError, UnsupportedOptionError

OPUS = ListedCheckpoint(model="org/opus-{source}-{target}", pairs=(("en", "de"), ("de", "en"), ("en", "zh-Hans")))
MANY = ListedCheckpoint(model="org/many", sources=("en", "fr", "de"), targets=("en", "fr", "de"))
BOTH = CheckpointRoutes([OPUS, MANY])


@pytest.mark.parametrize(
    ("source", "targets", "model"),
    [
        ("en", ("de",), "org/opus-en-de"),
        ("EN-us", ("DE-at",), "org/opus-en-de"),
        ("en", ("zh-CN",), "org/opus-en-zh-Hans"),
        ("en", ("fr",), "org/many"),
        ("en", ("de", "fr"), "org/many"),
    ],
)
def test_a_pair_goes_to_the_first_checkpoint_that_has_all_of_it(
    source: str, targets: tuple[str, ...], model: str
) -> None:
    assert BOTH.find(source, targets, None) == model


@pytest.mark.parametrize("languages", [("zz", ("de",)), ("en", ("zz",)), ("fr", ("zh-Hans",))])
def test_a_pair_that_nothing_has_is_refused(languages: tuple[str, tuple[str, ...]]) -> None:
    with pytest.raises(UnsupportedLanguageError):
        BOTH.find(*languages, None)


def test_targets_of_several_checkpoints_are_refused() -> None:
    with pytest.raises(UnsupportedOptionError, match="one target_lang at a time"):
        BOTH.find("en", ("fr", "zh-Hans"), None)


def test_a_model_is_found_by_its_name_and_any_of_several_by_their_own() -> None:
    pivoting = CheckpointRoutes([OPUS, ListedCheckpoint(model="org/a,org/b", sources=("de",), targets=("fr",))])
    assert pivoting.find(None, ("de",), "org/opus-en-de") == "org/opus-en-de"
    assert pivoting.find("de", ("fr",), "org/b") == "org/a,org/b"
    with pytest.raises(UnsupportedOptionError, match="not served"):
        pivoting.find("de", ("fr",), "org/c")


def test_a_source_language_is_needed_where_it_chooses() -> None:
    assert CheckpointRoutes([BUNDLED]).find(None, ("de",), None) == BUNDLED.model
    with pytest.raises(UnsupportedOptionError, match="source_lang is required"):
        BOTH.find(None, ("de",), None)


@pytest.mark.parametrize("checkpoint", [{"model": "a"}, {"model": "a", "sources": ["en"]}, {"model": ""}])
def test_a_checkpoint_without_pairs_is_refused(checkpoint: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ListedCheckpoint.model_validate(checkpoint)


def test_thousands_of_pairs_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    pairs = [["en", f"q{first}{second}"] for first in "abcdefghijklmnopqrst" for second in "abcdefghij" * 5]
    path.write_text(json.dumps([{"model": "org/opus-{source}-{target}", "pairs": pairs}]))
    routes = CheckpointRoutes(Arguments(checkpoints=str(path)).read_checkpoints())
    assert routes.find("en", ("qaa",), None) == "org/opus-en-qaa"


def post(body: object, path: str = "/v1/translations") -> AppRequest:
    return AppRequest("POST", path, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (post({"source_lang": "en", "target_lang": "de", "text": 7}), Asked("en", ("de",), None)),
        (post({"target_lang": ["de", "fr"], "model": "a"}, "/v1/explain"), Asked(None, ("de", "fr"), "a")),
        (
            AppRequest("GET", "/v1/translations/stream", b"text=a&source_lang=en&target_lang=de&target_lang=fr"),
            Asked("en", ("de", "fr"), None),
        ),
        (post({"source_lang": 1, "target_lang": "de"}), None),
        (post({"source_lang": "en", "target_lang": ["de", 1]}), None),
        (post({"source_lang": "en", "target_lang": []}), None),
        (post(["en"]), None),
        (AppRequest("POST", "/v1/translations", body=b"{"), None),
        (AppRequest("POST", "/v1/translations", body=b"\xff"), None),
        (post({"source_lang": "en", "target_lang": "de"}, "/v1/else"), None),
    ],
)
def test_only_what_chooses_the_checkpoint_is_read(request_: AppRequest, asked: Asked | None) -> None:
    assert read_asked(request_) == asked
