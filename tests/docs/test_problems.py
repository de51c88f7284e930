"""docs/api.md lists every type of problem, once, as the code has it, with an example."""

import json
import re
from http import HTTPStatus
from typing import Any

import pytest

from service.api.errors import INTERNAL, PROBLEMS, STATUS_SLUGS
from service.errors import RetryableError
from tests.support.markdown import page

API = page("docs/api.md")
ROW = re.compile(r"^\| \[`([a-z-]+)`\]\(#\1\) \| (\d+) \| .* \|(.*)\|$", re.MULTILINE)
PREFIX = "urn:kakehashi:problem:"
EXAMPLES = [json.loads(text) for block in API.blocks if PREFIX in (text := block.text) and block.language == "json"]
TITLES = {
    **{(slug, status): HTTPStatus(status).phrase for status, slug in STATUS_SLUGS.items()},
    **{(problem.slug, problem.status): problem.title for problem in (*PROBLEMS.values(), INTERNAL)},
}
"""Problems by type and status. Refusals of the HTTP layer itself are named by the phrase of their status."""


def test_the_catalogue_has_every_type_with_its_status() -> None:
    assert sorted((slug, int(status)) for slug, status, _ in ROW.findall(API.text)) == sorted(TITLES)


def test_the_catalogue_says_which_problems_can_be_retried() -> None:
    retryable = {problem.slug for error, problem in PROBLEMS.items() if issubclass(error, RetryableError)}
    assert {slug for slug, _, last in ROW.findall(API.text) if "Retry-After" in last} == retryable


def test_every_type_has_an_example() -> None:
    assert sorted(_key(example) for example in EXAMPLES) == sorted(TITLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
def test_an_example_has_the_title_and_the_fields_of_its_type(example: dict[str, Any]) -> None:
    assert example["title"] == TITLES[_key(example)]
    extra = {"errors", "errors_omitted"} if example["status"] == 422 else set()
    assert example.keys() == {"type", "title", "status", "detail", "request_id"} | extra


def _key(example: dict[str, Any]) -> tuple[str, int]:
    return example["type"].removeprefix(PREFIX), example["status"]
