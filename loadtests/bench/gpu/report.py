"""The results of a run, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from model.evaluation.markdown import markdown_table


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    head: list[str]
    body: list[list[str]]


@dataclass(frozen=True, slots=True)
class Check:
    law: str
    holds: bool
    detail: str = ""


@dataclass(slots=True)
class Part:
    """One part of the run. `problem` is the reason why it, or the rest of it, was not run."""

    name: str
    tables: list[Table] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    def check(self, law: str, *, holds: bool, detail: str = "") -> None:
        self.checks.append(Check(law, holds, detail))


def as_markdown(heading: str, parts: Sequence[Part]) -> str:
    sections = [f"# {heading}"]
    for part in parts:
        sections.append(f"## {part.name}\n\nTook {part.seconds:.0f} s.")
        sections += [f"### {table.title}\n\n{markdown_table(table.head, table.body)}" for table in part.tables]
        if part.checks:
            body = [[each.law, "holds" if each.holds else "**missed**", each.detail] for each in part.checks]
            sections.append(markdown_table(["what must hold", "", "measured"], body))
        if part.problem:
            sections.append(f"**Not run to its end:** {part.problem}")
    return "\n\n".join(sections) + "\n"


def as_json(heading: str, parts: Sequence[Part]) -> str:
    return json.dumps({"heading": heading, "parts": [asdict(part) for part in parts]}, indent=2, ensure_ascii=False)
