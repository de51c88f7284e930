"""A long text, and its sentences one after another: python -m loadtests.bench.long_text FILE [-- flags of the server].

FILE has a sentence a line, up to a tab if there is one. A round streams the first sentence by itself, then the text;
then it translates all sentences, one request each. The next round starts with another sentence. The server's encoder
cache is off (`--cache-bytes 0`).
"""

import argparse
import asyncio
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop
from tqdm import tqdm

from loadtests.bench.generator import REQUEST_SECONDS
from loadtests.bench.http_requests import TRANSLATE
from loadtests.bench.lean_client import Exchange, LeanClient, http_request
from loadtests.bench.loopback import HOST
from loadtests.bench.machine import Machine
from loadtests.bench.running_server import running_server
from loadtests.bench.source_lines import SourceLine
from model.evaluation.markdown import markdown_table


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds."""

    sentence_first_token: float
    text_first_token: float
    text: float
    sentences: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--languages", nargs=2, default=["en", "de"], metavar=("SOURCE", "TARGET"))
    parser.add_argument("--words", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")
    arguments = parser.parse_args()
    source_lang, target_lang = arguments.languages
    texts = _texts(arguments.file, num_words=arguments.words)
    lines = [SourceLine(source_lang, target_lang, text) for text in texts]
    with (
        running_server(["--cache-bytes", "0", *arguments.serve]) as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        server.let_workers_yield()
        client = LeanClient(HOST, server.port, timeout_seconds=REQUEST_SECONDS)
        rounds = []
        for index in tqdm(range(arguments.rounds + 1), unit="round"):
            rotated = [*lines[index:], *lines[:index]]
            rounds.append(runner.run(_measure(client, rotated)))
        client.close()
    print(f"{Machine.read()}; {arguments.words} words in {len(lines)} lines; {arguments.rounds} rounds\n")
    print(_table(rounds[1:]))  # the first one warms the server up


def _texts(path: Path, *, num_words: int) -> Iterator[str]:
    """Lines of that many words or a few more; fewer if the file has no more."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if num_words <= 0:
            return
        text = line.partition("\t")[0].strip()
        num_words -= len(text.split())
        yield text


async def _measure(client: LeanClient, lines: Sequence[SourceLine]) -> Round:
    async def ask(line: SourceLine, *, stream: bool) -> Exchange:
        exchange = await client.ask(http_request(TRANSLATE, line.body(stream=stream)), stream=stream)
        if not exchange.is_ok:
            raise SystemExit(f"a request failed: status {exchange.status}, {exchange.failure}")
        return exchange

    sentence = await ask(lines[0], stream=True)
    text = await ask(replace(lines[0], text="\n".join(line.text for line in lines)), stream=True)
    sentences = [await ask(line, stream=False) for line in lines]
    return Round(
        sentence.token_times[0] - sentence.sent_at,
        text.token_times[0] - text.sent_at,
        text.ended_at - text.sent_at,
        sentences[-1].ended_at - sentences[0].sent_at,
    )


def _table(rounds: Sequence[Round]) -> str:
    def row(name: str, times: Sequence[float], base: Sequence[float]) -> list[str]:
        ratios = [each / unit for each, unit in zip(times, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        milliseconds = (f"{statistics.median(each) * 1000:,.1f}" for each in (times, base))
        return [name, *milliseconds, f"{middle:.2f} ({low:.2f}–{high:.2f})"]

    body = [
        row("first token", [each.text_first_token for each in rounds], [each.sentence_first_token for each in rounds]),
        row("whole", [each.text for each in rounds], [each.sentences for each in rounds]),
    ]
    return markdown_table(["", "the text, ms", "the sentence, or all sentences, ms", "ratio (quartiles)"], body)


if __name__ == "__main__":
    main()
