"""Parallel text: the files `NAME.en-XX.tsv` of a directory, with lines of English, a tab and the other language."""

import re
from dataclasses import dataclass
from pathlib import Path

_FILE_NAME = re.compile(r"(?P<name>.+)\.en-(?P<other>[A-Za-z]{2,3}(?:[-_]\w+)*)\.tsv")


class EvaluationError(Exception):
    """Unusable data; the message names file and line."""


@dataclass(frozen=True, slots=True)
class TestSet:
    """One direction of one file."""

    __test__ = False  # pytest would take the class for tests
    path: Path
    name: str
    source_lang: str
    target_lang: str
    sources: list[str]
    references: list[str]


def read_test_sets(directory: Path, *, limit: int | None) -> list[TestSet]:
    """Read both directions of each file, up to `limit` lines. Raises EvaluationError."""
    if not directory.is_dir():
        raise EvaluationError(f"{directory}: not a directory")
    test_sets: list[TestSet] = []
    for path in sorted(directory.iterdir()):
        named = _FILE_NAME.fullmatch(path.name)
        if named is None:
            continue
        english, other = _read_pairs(path, limit=limit)
        test_sets += [
            TestSet(path, named["name"], "en", named["other"], english, other),
            TestSet(path, named["name"], named["other"], "en", other, english),
        ]
    if not test_sets:
        raise EvaluationError(f"{directory}: contains no file NAME.en-XX.tsv")
    return test_sets


def _read_pairs(path: Path, *, limit: int | None) -> tuple[list[str], list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: {error}") from error
    english, other = [], []
    for number, line in enumerate(lines[:limit], 1):
        sides = [side.strip() for side in line.split("\t")]
        if len(sides) != 2 or not all(sides):
            raise EvaluationError(f"{path}:{number}: expected English, a tab and the other language, got {line[:80]!r}")
        english.append(sides[0])
        other.append(sides[1])
    return english, other
