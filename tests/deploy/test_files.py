"""Laws of all files under deploy/ and of the compose file."""

from pathlib import Path

import pytest

from tests.deploy.files import ROOT, deployed_files

FILES = {str(path.relative_to(ROOT)): path for path in deployed_files()}


@pytest.mark.parametrize("path", FILES.values(), ids=list(FILES))
def test_nothing_is_whatever_is_newest(path: Path) -> None:
    assert "latest" not in path.read_text(encoding="utf-8").lower()
