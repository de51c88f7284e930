"""The size of an answer is bounded before the work, and while it is done."""

from random import Random
from typing import Any

import msgspec
import pytest

from service.errors import TooLargeError
from tests.support.fake_engine import EOS, FakeEngine
from tests.support.translator_bench import MAX_ANSWER_BYTES, Bench

EXTRAS: dict[str, Any] = {"with_tokens": True, "num_top_tokens": 5, "with_alignment": True}
LETTERS = "".join(Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=25_000))


async def test_an_alignment_that_would_be_too_large_is_refused_before_the_work() -> None:
    bench = Bench()
    with pytest.raises(TooLargeError, match=f"the answer would have more than {MAX_ANSWER_BYTES} bytes"):
        await bench.start(LETTERS, **EXTRAS)
    assert bench.engine.num_prepared == 0


@pytest.mark.parametrize(
    ("texts", "targets", "options"),
    [
        (("\n" * 50_000,), ("de",) * 200, {}),
        (("…",), ("de",) * 100_000, {}),
        (("A\n" * 25_000,), ("de",), {"beam_size": 8, "num_hypotheses": 8}),
        (("A\n" * 25_000,), ("de",), {"with_tokens": True}),
    ],
    ids=["kept text", "targets", "hypotheses", "tokens"],
)
async def test_whatever_makes_an_answer_too_large_is_refused(
    texts: tuple[str, ...], targets: tuple[str, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(TooLargeError, match="the answer would have more than"):
        await Bench().start(*texts, targets=targets, **options)


async def test_an_answer_that_outgrows_its_limit_is_ended() -> None:
    """Sentences of three tokens are not expected to become 250."""
    engine = FakeEngine(lambda spec: [[*spec.source_ids[1:-1] * 250, EOS]])
    active = await Bench(engine).start("A\n" * 500, with_tokens=True)
    await active.drain()
    active = await Bench(engine).start("A\n" * 1500, with_tokens=True)
    with pytest.raises(TooLargeError):
        await active.drain()


@pytest.mark.parametrize("extras", [{}, {"with_tokens": True}, EXTRAS], ids=["plain", "tokens", "all"])
async def test_the_estimate_is_of_the_answer_and_not_below_it(extras: dict[str, Any]) -> None:
    text = "\n".join(f"The old man {number} went to the market, and bought some bread." for number in range(50))
    num_bytes = len(msgspec.json.encode(await Bench().plain(text, **extras)))
    with pytest.raises(TooLargeError):
        await Bench(max_answer_bytes=num_bytes).start(text, **extras)
    await Bench(max_answer_bytes=6 * num_bytes).start(text, **extras)


async def test_absent_fields_are_omitted_and_numbers_rounded() -> None:
    (translation,) = msgspec.json.decode(msgspec.json.encode(await Bench().plain("One.")))
    assert list(translation) == ["text_index", "target_lang", "text", "score", "finish_reason", "hypotheses"]
    (translation,) = await Bench().plain("One two three.", **EXTRAS)
    assert translation.tokens is not None
    assert translation.source_tokens is not None
    for entry in translation.tokens:
        assert entry.logprob == -0.1235
        assert entry.alignment == [round(1 / len(translation.source_tokens[0]), 6)] * len(translation.source_tokens[0])
        assert [each.probability for each in entry.top_tokens or []] == [1.0, 0.5, 0.25, 0.125, 0.0625]
