"""gettext catalogues: messages without a translation are texts.

Everything else stays: translated, obsolete and fuzzy messages, comments and headers. Fuzzy ones wait for a person.
"""

import polib

from service.commandline.documents.document import DocumentError, Translate


def rewrite_catalogue(text: str, translate: Translate) -> str:
    try:
        catalogue = polib.pofile(text)
    except OSError as error:  # polib's syntax errors
        raise DocumentError(f"not a gettext catalogue: {error}") from error
    for entry in catalogue:
        if entry.obsolete or entry.fuzzy:
            continue
        if not entry.msgid_plural:
            entry.msgstr = entry.msgstr or translate(entry.msgid)
        elif not any(entry.msgstr_plural.values()):
            entry.msgstr_plural = {
                form: translate(entry.msgid if form == 0 and len(entry.msgstr_plural) > 1 else entry.msgid_plural)
                for form in sorted(entry.msgstr_plural)
            }
    return str(catalogue)
