"""JSON: string values are texts; keys, values of other types, spacing and notation stay."""

import json
import re
from collections.abc import Set

from service.commandline.documents.document import DocumentError, Translate

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")(\s*:)?|[{}\[\],]')
_HALF_PAIR = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: JSON can escape it, but it is not a character."""


def rewrite_json(text: str, translate: Translate, *, keys: Set[str]) -> str:
    """Translate the values at any depth below one of `keys`, or all values if there are no keys."""
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DocumentError(f"not JSON: {error}") from error
    escapes_all = text.isascii() and "\\u" in text
    containers = [not keys]  # for each container around the next token, whether its values are chosen
    is_chosen = containers[-1]

    def rewrite_token(token: re.Match[str]) -> str:
        nonlocal is_chosen
        literal, is_key = token[1], token[2] is not None
        if is_key:
            is_chosen = containers[-1] or json.loads(literal) in keys
        elif literal is not None:
            return _rewrite_string(literal, translate, escapes_all=escapes_all) if is_chosen else literal
        elif token[0] in "{[":
            containers.append(is_chosen)
        else:
            if token[0] != ",":
                containers.pop()
            is_chosen = containers[-1]
        return token[0]

    return _TOKEN.sub(rewrite_token, text)


def _rewrite_string(literal: str, translate: Translate, *, escapes_all: bool) -> str:
    value = json.loads(literal)
    if _HALF_PAIR.search(value):
        return literal
    translated = translate(value)
    return literal if translated == value else json.dumps(translated, ensure_ascii=escapes_all)
