"""The formats of files, by suffix."""

from collections.abc import Mapping, Set
from functools import partial

from service.commandline.documents.catalogue import rewrite_catalogue
from service.commandline.documents.document import DocumentKind
from service.commandline.documents.json_values import rewrite_json
from service.commandline.documents.lines import rewrite_lines
from service.commandline.documents.subtitles import rewrite_srt, rewrite_vtt
from service.commandline.documents.table import rewrite_table
from service.commandline.documents.web_page import rewrite_html


def document_kinds(*, columns: Set[int] = frozenset(), keys: Set[str] = frozenset()) -> Mapping[str, DocumentKind]:
    """The formats by suffix, in lower case.

    Only `columns` of tables and values below `keys` of JSON are translated; if empty, all are.
    """
    return {
        ".txt": DocumentKind(rewrite_lines),
        ".tsv": DocumentKind(partial(rewrite_table, columns=columns)),
        ".srt": DocumentKind(rewrite_srt),
        ".vtt": DocumentKind(rewrite_vtt),
        ".html": DocumentKind(rewrite_html, "html"),
        ".po": DocumentKind(rewrite_catalogue),
        ".json": DocumentKind(partial(rewrite_json, keys=keys)),
    }
