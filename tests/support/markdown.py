"""The Markdown files of the repository, and the parts of them that tests check."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (.*?) -->\n\Z")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `mark` is the comment on the line before it, `example` the block that follows directly."""

    page: str
    line: int
    language: str
    text: str
    mark: str
    example: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Page:
    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return [link for link in _LINK.findall(self.prose) if not link.startswith(("http:", "https:", "mailto:"))]

    @property
    def anchors(self) -> set[str]:
        """The anchors that forges derive from headings."""
        titles = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose))
        return {title.strip().replace(" ", "-") for title in titles}

    @property
    def blocks(self) -> list[Block]:
        found = []
        for match in _FENCE.finditer(self.text):
            before, after = self.text[: match.start()], self.text[match.end() + 1 :]
            mark, example = _MARK.search(before), _FENCE.match(after)
            found.append(
                Block(
                    page=str(self),
                    line=before.count("\n") + 1,
                    language=match[1],
                    text=match[2],
                    mark=mark[1] if mark else "",
                    example=example[2] if example else "",
                )
            )
        return found

    def table_after(self, mark: str) -> str:
        """The lines of the table that follows a comment."""
        _, found, after = self.text.partition(f"<!-- {mark} -->\n")
        assert found, f"{self} has no {mark!r}"
        return after.partition("\n\n")[0]


README = Page(ROOT / "README.md")
PAGES = [
    README,
    *(Page(ROOT / name) for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(
        Page(path)
        for folder in ("docs", "loadtests", "model", "tests")
        for path in sorted(ROOT.glob(f"{folder}/**/*.md"))
    ),
]


def page(name: str) -> Page:
    return Page(ROOT / name)
