"""Each guarantee is held by tests that exist."""

import re
from collections.abc import Iterator

from tests.support.markdown import ROOT, page

ROW = re.compile(r"^\| \*\*(.+?)\*\* \| .+? \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def _tests() -> Iterator[tuple[str, str]]:
    for name, tests in ROW.findall(page("docs/guarantees.md").text):
        found = TEST.findall(tests)
        assert found, f"{name} is held by no test"
        yield from found


def test_every_named_test_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in _tests()
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []
