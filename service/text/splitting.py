"""Cut a sentence that is longer than the model allows into pieces that fit.

Cuts are made, best first, after a clause mark (`,` `;` `:` `—` `、` …), at whitespace, or between grapheme clusters in
a run of characters without either. Pieces are about even: among the possible cuts of the best kind, the one nearest to
an even share of the rest is taken. A clause mark counts as one only if it leaves a piece of at least a quarter of
the limit. Nothing is dropped: the pieces, joined, are the sentence.

Text is measured in atoms, the stretches between possible cuts. An atom is tokenized once, and a finished piece once
more as a whole, so the work is linear in the length of any text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import regex

_MOST_ATOM_CHARACTERS = 32

# Marks that also appear inside numbers and addresses (3,50; 12:30; a.b?c) end a clause only before whitespace.
_CLAUSE = r"""
    [,;:!?…–—،؛؟] [\p{Pe}\p{Pf}"']{0,8} (?=\s)
  | [、，；：。！？—…｡､] [\p{Pe}\p{Pf}、，；：。！？—…｡､]{0,8}
"""
_ATOMS = regex.compile(rf"(?P<text>(?:(?!{_CLAUSE})\S)*+) (?P<mark>{_CLAUSE})? (?P<space>\s*+)", regex.VERBOSE)
_GRAPHEME = regex.compile(r"\X")


class _Cut(IntEnum):
    """The kind of place at the end of an atom; larger values are better places to cut."""

    LIMIT = 0
    WHITESPACE = 1
    CLAUSE = 2


@dataclass(frozen=True, slots=True)
class _Atom:
    text: str
    cut: _Cut
    num_tokens: int


def split_long(sentence: str, *, max_tokens: int, count_tokens: Callable[[str], int]) -> list[str]:
    """Pieces with their trailing whitespace; joined, they are `sentence`. Every piece fits without that whitespace.

    Only a single character of more than `max_tokens` tokens (an emoji in bytes, with a tiny limit) remains too long.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}: no text fits")
    if count_tokens(sentence) <= max_tokens:
        return [sentence]
    atoms = [
        _Atom(text, cut, count_tokens(text.rstrip()))
        for text, cut in _atom_texts(sentence, most_characters=_MOST_ATOM_CHARACTERS)
    ]
    return list(_fitting(atoms, max_tokens=max_tokens, count_tokens=count_tokens))


def _fitting(atoms: list[_Atom], *, max_tokens: int, count_tokens: Callable[[str], int]) -> Iterator[str]:
    """Pieces that fit: the tokens of atoms may not add up to those of a piece, so a piece that is too long is cut."""
    for group in _groups(atoms, max_tokens=max_tokens):
        text = "".join(atom.text for atom in group)
        if count_tokens(text.rstrip()) <= max_tokens:
            yield text
        elif len(group) > 1:
            middle = len(group) // 2
            yield from _fitting(group[:middle], max_tokens=max_tokens, count_tokens=count_tokens)
            yield from _fitting(group[middle:], max_tokens=max_tokens, count_tokens=count_tokens)
        else:
            yield from _halved(text, max_tokens=max_tokens, count_tokens=count_tokens)


def _halved(text: str, *, max_tokens: int, count_tokens: Callable[[str], int]) -> Iterator[str]:
    """Halve an atom, which has no better place to cut, until its parts fit."""
    end = len(text.rstrip())
    if end < 2 or count_tokens(text[:end]) <= max_tokens:
        yield text
        return
    *front, last = _chunks(text[:end], most_characters=(end + 1) // 2)
    for chunk in (*front, last + text[end:]):
        yield from _halved(chunk, max_tokens=max_tokens, count_tokens=count_tokens)


def _groups(atoms: list[_Atom], *, max_tokens: int) -> Iterator[list[_Atom]]:
    """Group consecutive atoms up to `max_tokens` tokens; a larger atom is a group of its own."""
    left = sum(atom.num_tokens for atom in atoms)
    start = 0
    while start < len(atoms):
        even_share = left / -(-left // max_tokens) if left else 0.0
        stop, num_tokens = _best_stop(atoms, start, max_tokens=max_tokens, even_share=even_share)
        yield atoms[start:stop]
        start = stop
        left -= num_tokens


def _best_stop(atoms: list[_Atom], start: int, *, max_tokens: int, even_share: float) -> tuple[int, int]:
    """The end of the piece that starts at `start`, and its number of tokens."""
    best = (start + 1, atoms[start].num_tokens)
    best_rank: tuple[int, float] | None = None
    num_tokens = 0
    for position in range(start, len(atoms)):
        atom = atoms[position]
        num_tokens += atom.num_tokens
        if num_tokens > max_tokens:
            break
        if position + 1 == len(atoms):
            return len(atoms), num_tokens
        cut = atom.cut if atom.cut != _Cut.CLAUSE or num_tokens * 4 >= max_tokens else _Cut.WHITESPACE
        rank = (int(cut), -abs(num_tokens - even_share))
        if best_rank is None or rank >= best_rank:
            best, best_rank = (position + 1, num_tokens), rank
    return best


def _atom_texts(sentence: str, *, most_characters: int) -> Iterator[tuple[str, _Cut]]:
    for found in _ATOMS.finditer(sentence):
        if not found[0]:
            continue
        cut = _Cut.CLAUSE if found["mark"] else _Cut.WHITESPACE if found["space"] else _Cut.LIMIT
        *front, last = _chunks(found["text"], most_characters=most_characters) or [""]
        for chunk in front:
            yield chunk, _Cut.LIMIT
        yield last + (found["mark"] or "") + found["space"], cut


def _chunks(text: str, *, most_characters: int) -> list[str]:
    """Cut `text` between grapheme clusters; a cluster that is longer than the limit is cut too."""
    if len(text) <= most_characters:
        return [text] if text else []
    chunks: list[str] = []
    chunk = ""
    for found in _GRAPHEME.finditer(text):
        cluster = found[0]
        if len(chunk) + len(cluster) > most_characters:
            if chunk:
                chunks.append(chunk)
            while len(cluster) > most_characters:
                chunks.append(cluster[:most_characters])
                cluster = cluster[most_characters:]
            chunk = ""
        chunk += cluster
    if chunk:
        chunks.append(chunk)
    return chunks
