"""The event loop never stands: work is done in slices, and grows with the text only."""

import asyncio

import msgspec
import pytest

from service.translation.active import SLICE_BYTES, ActiveTranslation
from service.translation.results import TokenEvent, Translation
from tests.support.fake_engine import FakeEngine
from tests.support.translator_bench import Bench

NUM_LINES = 25_000
TARGETS = {"en": ("de",), "de": ("fr",)}


class Turns:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._task.cancel()


async def batches(active: ActiveTranslation) -> list[list[TokenEvent | Translation]]:
    found = []
    while not active.is_over:
        found.append(await active.next())
    return found


@pytest.mark.parametrize("source", TARGETS)
async def test_equal_lines_are_streamed_in_bounded_batches_with_a_turn_for_the_loop_between_them(source: str) -> None:
    bench = Bench()
    active = await bench.start("A\n" * NUM_LINES, source=source, targets=TARGETS[source], is_streamed=True)
    turns = Turns()
    found = await batches(active)
    turns.stop()
    tokens = [event for batch in found for event in batch if isinstance(event, TokenEvent)]
    assert "".join(token.text for token in tokens) == "A\n" * NUM_LINES
    assert len(bench.engine.specs) == len(TARGETS[source]) + (source == "de")
    assert turns.count >= len(found) - 5
    for batch in found:
        assert len(batch) <= 300
        assert len(msgspec.json.encode([each for each in batch if isinstance(each, TokenEvent)])) <= 2 * SLICE_BYTES


async def test_a_plain_answer_of_equal_lines_leaves_the_loop_its_turns() -> None:
    active = await Bench().start("A\n" * NUM_LINES)
    turns = Turns()
    (translation,) = await active.drain()
    turns.stop()
    assert translation.text == "A\n" * NUM_LINES
    assert turns.count >= 100


@pytest.mark.parametrize("source", TARGETS)
@pytest.mark.parametrize("line", ["A", "A {}"], ids=["equal", "distinct"])
async def test_work_grows_with_the_text_only(source: str, line: str) -> None:
    async def count_turns(num_lines: int) -> int:
        text = "\n".join(line.format(number) for number in range(num_lines))
        active = await Bench(FakeEngine(max_queue_tokens=10**6)).start(text, source=source, targets=TARGETS[source])
        turns = Turns()
        await active.drain()
        turns.stop()
        return turns.count

    small, large = await count_turns(1000), await count_turns(4000)
    assert large <= 4 * small + 20


async def test_a_slice_of_alignments_has_fewer_tokens() -> None:
    text = "\n".join(" ".join(f"word{number}" for _ in range(100)) for number in range(10))
    active = await Bench().start(text, is_streamed=True, with_tokens=True, with_alignment=True)
    for batch in await batches(active):
        tokens = [event for event in batch if isinstance(event, TokenEvent)]
        assert len(msgspec.json.encode(tokens)) <= 2 * SLICE_BYTES


async def test_sentences_full_of_insets_leave_the_loop_its_turns() -> None:
    sentences = "\n".join(f"{number} word " + "a {x} " * 100 for number in range(10))
    active = await Bench().start(sentences)
    turns = Turns()
    await active.drain()
    turns.stop()
    assert turns.count >= 10
