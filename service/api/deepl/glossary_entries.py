"""The entries of a glossary as DeepL's clients send them: lines of a source term, its separator and a target term."""

import csv
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from service.api.errors import InvalidRequestError
from service.errors import quoted
from service.text.glossary import MAX_TERM_CHARACTERS, MAX_TERMS

EntriesFormat = Literal["tsv", "csv"]
_CONTROL = re.compile(r"[\x00-\x1f\x80-\x9f\u2028\u2029]")


def parse_entries(entries: str, entries_format: EntriesFormat) -> dict[str, str]:
    """Parse the terms. Blank lines are skipped, and language codes that follow the terms in CSV are ignored.

    Raises InvalidRequestError, which names the entry.
    """
    terms: dict[str, str] = {}
    try:
        for number, fields in enumerate(_rows(entries, entries_format), 1):
            source, target = _checked(number, fields, most=2 if entries_format == "tsv" else 4)
            if source in terms:
                raise _invalid(f"entry {number} has the source term {quoted(source)} again")
            terms[source] = target
            if len(terms) > MAX_TERMS:
                raise _invalid(f"there are more than {MAX_TERMS} entries, which is the limit")
    except csv.Error as error:
        raise _invalid(f"not CSV: {error}") from error
    if not terms:
        raise _invalid("there are no entries")
    return terms


def format_entries(terms: Mapping[str, str]) -> str:
    return "\n".join(f"{source}\t{target}" for source, target in terms.items())


def _rows(entries: str, entries_format: EntriesFormat) -> Iterator[list[str]]:
    lines = entries.splitlines()
    rows = csv.reader(lines) if entries_format == "csv" else (line.split("\t") for line in lines)
    return (row for row in rows if any(map(str.strip, row)))


def _checked(number: int, fields: list[str], *, most: int) -> tuple[str, str]:
    if len(fields) < 2:
        raise _invalid(f"entry {number} has no target term")
    if len(fields) > most:
        raise _invalid(f"entry {number} has {len(fields)} fields; the limit is {most}")
    source, target = fields[0].strip(), fields[1].strip()
    for term in (source, target):
        if not term:
            raise _invalid(f"entry {number} has an empty term")
        if len(term) > MAX_TERM_CHARACTERS:
            raise _invalid(f"a term of entry {number} has {len(term)} characters; the limit is {MAX_TERM_CHARACTERS}")
        if _CONTROL.search(term):
            raise _invalid(f"a term of entry {number} has a control character")
    return source, target


def _invalid(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"Invalid glossary entries provided: {reason}")
