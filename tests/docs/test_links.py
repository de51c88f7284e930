"""Everything that a page names exists: pages, headings, files, targets of make."""

import re
import subprocess

import pytest

from tests.support.markdown import PAGES, ROOT, Page

PATH = re.compile(r"`((?:deploy|docs|loadtests|model|scripts|service|tests)/[\w./-]*\w/?)`")
TARGET = re.compile(r"\bmake ([a-z]+)\b")
RULE = re.compile(r"^([a-z]+):", re.MULTILINE)
BENCH = re.compile(r"python -m loadtests\.bench ([a-z]+)")
NO_TARGETS = {"a", "the", "them", "sure", "it"}
"""Words after the verb."""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors, link


@pytest.mark.parametrize("page", [page for page in PAGES if page.path.name != "CHANGELOG.md"], ids=str)
def test_named_files_exist(page: Page) -> None:
    for path in PATH.findall(page.prose):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_named_targets_of_make_exist(page: Page) -> None:
    rules = set(RULE.findall((ROOT / "Makefile").read_text()))
    assert set(TARGET.findall(page.text)) - NO_TARGETS <= rules


def test_named_benchmarks_exist() -> None:
    from loadtests.bench.__main__ import BENCHES  # takes a second

    named = {name for page in PAGES for name in BENCH.findall(page.text)}
    assert named - {"child"} == BENCHES.keys()


def test_help_lists_every_target_of_make() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make (\w+) +\S", listed, re.MULTILINE)) == set(
        RULE.findall((ROOT / "Makefile").read_text())
    )
