"""What is in the journal is not translated again, whenever the process was killed."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from service.commandline.journal import Journal

OPTIONS = ["en", "de"]


class Upper:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        self.sent += texts
        return [(text.upper(),) for text in texts]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output" / "journal"


async def resumed(path: Path, texts: list[str], *, options: object = OPTIONS, resume: bool = True) -> list[str]:
    """The texts that were sent when the journal at `path` was used for `texts`."""
    upper = Upper()
    journal = Journal(path, options=options, resume=resume)
    assert await journal.translate(texts, upper) == [(text.upper(),) for text in texts]
    journal.close()
    return upper.sent


def cut(path: Path, num_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:-num_bytes])


async def test_only_what_is_new_is_translated(path: Path) -> None:
    assert await resumed(path, ["a", "b"]) == ["a", "b"]
    assert await resumed(path, ["c", "b", "a", "d"]) == ["c", "d"]
    assert await resumed(path, ["a", "b", "c", "d"]) == []


async def test_equal_texts_are_translated_once(path: Path) -> None:
    assert await resumed(path, ["a", "b", "a", "a"]) == ["a", "b"]


async def test_a_text_in_another_format_is_another_text(path: Path) -> None:
    journal, upper = Journal(path, options=OPTIONS, resume=False), Upper()
    await journal.translate(["a"], upper)
    await journal.translate(["a"], upper, text_format="html")
    journal.close()
    assert upper.sent == ["a", "a"]


async def test_other_options_know_nothing(path: Path) -> None:
    await resumed(path, ["a"])
    assert await resumed(path, ["a"], options=["en", "fr"]) == ["a"]


async def test_a_run_that_does_not_resume_begins_anew(path: Path) -> None:
    await resumed(path, ["a", "b"])
    assert await resumed(path, ["a"], resume=False) == ["a"]
    assert await resumed(path, ["b"]) == ["b"]


@pytest.mark.parametrize("num_bytes", [1, 5, 50])
async def test_a_line_that_a_kill_cut_short_is_dropped(path: Path, num_bytes: int) -> None:
    await resumed(path, ["a", "b\nü\u2028"])
    cut(path, num_bytes)
    assert await resumed(path, ["a", "b\nü\u2028"]) == ["b\nü\u2028"]
    assert await resumed(path, ["a", "b\nü\u2028"]) == []
