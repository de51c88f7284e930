"""Language codes: the codes of checkpoints, the public codes that clients see, and how the two match.

Checkpoints write `de`, `deu`, `deu_Latn`, `cmn_Hans` or `de_DE`; public codes are BCP 47.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from langcodes import Language, LanguageTagError, standardize_tag

_TAG = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?(?:[-_][a-z0-9]{1,8})*", re.IGNORECASE | re.ASCII
)
_LONGEST_TAG = 35  # characters; RFC 5646, section 4.4.1

# Codes that mean the same language to a client but are separate in the registry, or unknown to it.
_SYNONYMS = {"nb": "no", "pbt": "ps", "quy": "qu", "fuv": "ff", "ns": "nso", "jap": "ja"}


@dataclass(frozen=True, slots=True)
class _Tag:
    language: str
    script: str | None
    region: str | None


def public_code(code: str, *, macrolanguage: bool = True) -> str:
    """A checkpoint's code in BCP 47, without the language's usual script: `deu_Latn` becomes `de`.

    The script is kept if the language is commonly written in several (`zh-Hans`). A code that is not a language tag,
    such as the group `ROMANCE`, is returned unchanged. `macrolanguage`: `arb`, Standard Arabic, becomes `ar`.
    """
    try:
        tag = Language.get(standardize_tag(code, macro=macrolanguage))
    except LanguageTagError:
        return code
    short = Language.make(language=tag.language, territory=tag.territory)
    implied = {"zh": (), "ko": ("Hang", "Kore")}.get(tag.language or "", (short.maximize().script,))
    return str((short if tag.script in implied else tag).to_tag())


def public_codes(codes: Iterable[str]) -> dict[str, str]:
    """Map public codes to the checkpoint's codes, in order.

    If several codes have the same public code, the first one gets it and the others keep a more specific one.
    """
    named: dict[str, str] = {}
    for code in codes:
        names = (public_code(code), public_code(code, macrolanguage=False), code)
        named[next((name for name in names if name not in named), code)] = code
    return named


def english_names(codes: Iterable[str]) -> dict[str, str]:
    """Map codes to names like `German`, with script or region in parentheses only if names would collide."""
    short = {code: str(Language.get(code).language_name("en")) for code in codes}
    shared = [name for name, count in Counter(short.values()).items() if count > 1]
    return {
        code: str(Language.get(code).display_name("en")) if name in shared else name for code, name in short.items()
    }


def match_code(code: str, *, among: Iterable[str]) -> str | None:
    """The language of `among` that `code` means, or None.

    The language must be the same. The script and region of `code` are preferred. A different region still matches
    (`en-US` is `en`), but a different script does not: `zh-Hant`, or `zh-TW`, is not `zh-Hans`.
    """
    wanted = _parse(code)
    candidates = []
    for candidate in among:
        if candidate.casefold() == code.casefold():
            return candidate
        tag = _parse(candidate)
        if tag and wanted and tag.language == wanted.language:
            candidates.append((tag, candidate))
    if wanted is None or not candidates:
        return None
    script = wanted.script or _likely_script(wanted.language, wanted.region)
    asked_for_script = wanted.script is not None or script != _likely_script(wanted.language, None)

    def rank(item: tuple[_Tag, str]) -> tuple[bool, bool, bool]:
        tag, _ = item
        own_script = tag.script or _likely_script(tag.language, tag.region)
        return (own_script != script, tag.region != wanted.region, tag.region is not None)

    fitting = [item for item in candidates if not asked_for_script or item[0].script in (None, script)]
    return min(fitting, key=rank)[1] if fitting else None


def script_of(code: str) -> str | None:
    """The script that `code` names, or the one that its language is usually written in; None if that is unknown."""
    tag = _parse(code)
    return (tag.script or _likely_script(tag.language, tag.region)) if tag else None


@lru_cache(maxsize=4096)
def _parse(code: str) -> _Tag | None:
    """Only the language goes to `langcodes`, which caches every tag that it is called with, for ever."""
    found = _TAG.fullmatch(code) if len(code) <= _LONGEST_TAG else None
    if not found:
        return None
    language, script, region = found.groups()
    standard = Language.get(standardize_tag(language.lower(), macro=True))
    language = standard.language or language.lower()
    return _Tag(
        language=_SYNONYMS.get(language, language),
        script=script.title() if script else standard.script,
        region=region.upper() if region else standard.territory,
    )


@lru_cache(maxsize=1024)
def _likely_script(language: str, region: str | None) -> str | None:
    script = Language.make(language=language, territory=region).maximize().script
    return str(script) if script else None
