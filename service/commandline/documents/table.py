"""Tab-separated values: each cell is a text. There is no quoting, so every cell stays where it is."""

from collections.abc import Set

from service.commandline.documents.document import Translate
from service.commandline.documents.lines import on_one_line


def rewrite_table(text: str, translate: Translate, *, columns: Set[int]) -> str:
    """Translate `columns`, counted from 1, or all columns if there are none."""

    def rewrite_row(row: str) -> str:
        cells = enumerate(row.split("\t"), start=1)
        return "\t".join(_in_cell(translate(cell)) if not columns or at in columns else cell for at, cell in cells)

    return "\n".join(map(rewrite_row, text.split("\n")))


def _in_cell(text: str) -> str:
    return on_one_line(text).replace("\t", " ")
