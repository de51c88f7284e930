"""BLEU of clean sentences on two servers: python -m loadtests.bench.clean_text DATA_DIR URL URL.

DATA_DIR has `NAME.en-XX.tsv`, one pair a line: English, tab, other. All lines are translated in both directions by both
servers, such as those of two commits, in requests of many lines. The table has BLEU on the first server, on the second,
and the difference. With --changes, lines that the servers translate differently are printed.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from loadtests.bench.generator import REQUEST_SECONDS
from loadtests.bench.http_requests import JSON, TRANSLATE
from model.evaluation.markdown import markdown_table
from model.evaluation.parallel_text import TestSet, read_test_sets
from model.evaluation.scoring import bleu

LINES_IN_REQUEST = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("urls", nargs=2, metavar="URL")
    parser.add_argument("--beam-size", type=int, default=1)
    parser.add_argument("--changes", action="store_true", help="print what the servers translate differently")
    arguments = parser.parse_args()
    body = []
    for test_set in tqdm(read_test_sets(arguments.data, limit=None), unit="direction"):
        before, after = (
            [text for some in _translations(url, test_set, arguments.beam_size) for text in some]
            for url in arguments.urls
        )
        num_changed = sum(one != other for one, other in zip(before, after, strict=True))
        scores = [bleu(outputs, test_set.references, language=test_set.target_lang) for outputs in (before, after)]
        direction = f"{test_set.source_lang} → {test_set.target_lang}"
        row = [f"{len(before):,}", str(num_changed), *(f"{each:.2f}" for each in scores)]
        body.append([test_set.name, direction, *row, f"{scores[1] - scores[0]:+.3f}"])
        if arguments.changes:
            _print_changes(test_set, before, after)
    print(markdown_table(["test set", "direction", "lines", "changed", "BLEU", "BLEU, second", "difference"], body))


def _translations(url: str, test_set: TestSet, beam_size: int) -> Iterator[list[str]]:
    for start in range(0, len(test_set.sources), LINES_IN_REQUEST):
        body = {
            "text": test_set.sources[start : start + LINES_IN_REQUEST],
            "source_lang": test_set.source_lang,
            "target_lang": test_set.target_lang,
            "beam_size": beam_size,
        }
        request = Request(url + TRANSLATE, json.dumps(body).encode(), {"Content-Type": JSON})
        with urlopen(request, timeout=REQUEST_SECONDS) as answer:
            yield [each["text"] for each in json.load(answer)["translations"]]


def _print_changes(test_set: TestSet, before: list[str], after: list[str]) -> None:
    for source, reference, one, other in zip(test_set.sources, test_set.references, before, after, strict=True):
        if one != other:
            print(f"{test_set.name} {test_set.target_lang}\n  {source}\n  {reference}\n- {one}\n+ {other}")


if __name__ == "__main__":
    main()
