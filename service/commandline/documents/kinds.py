"""Which format a file has, by the end of its name."""

from collections.abc import Mapping, Set
from functools import partial

from service.commandline.documents.catalogue import rewrite_catalogue
from service.commandline.documents.document import Rewrite
from service.commandline.documents.json_values import rewrite_json
from service.commandline.documents.lines import rewrite_lines
from service.commandline.documents.subtitles import rewrite_srt, rewrite_vtt
from service.commandline.documents.table import rewrite_table
from service.commandline.documents.web_page import rewrite_html


def document_kinds(*, columns: Set[int] = frozenset(), keys: Set[str] = frozenset()) -> Mapping[str, Rewrite]:
    """By suffix, in lower case. `columns` of tables and `keys` of JSON are what is translated; none: all is."""
    return {
        ".txt": rewrite_lines,
        ".tsv": partial(rewrite_table, columns=columns),
        ".srt": rewrite_srt,
        ".vtt": rewrite_vtt,
        ".html": rewrite_html,
        ".po": rewrite_catalogue,
        ".json": partial(rewrite_json, keys=keys),
    }
