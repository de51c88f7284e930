"""`kakehashi evaluate` on a few sentences with the bundled model: the figures are sacrebleu's scores of its outputs."""

import subprocess
import sys
from pathlib import Path

import pytest
from sacrebleu import corpus_bleu, corpus_chrf
from tqdm import tqdm

from model.checkpoint.config import read_checkpoint
from model.decoding.oracle import decode_alone
from model.evaluation.parallel_text import EvaluationError, read_test_sets
from model.evaluation.scoring import Evaluator
from model.kernels import libraries
from model.kernels.libraries import Kernels
from model.tokenizers.loading import load_tokenizer
from service.cli import main
from tests.support.checkpoints import BUNDLED
from tests.support.pairs import Pair, make_spec

GERMAN = [
    ("The cat is sleeping on the table.", "Die Katze schläft auf dem Tisch."),
    ("We are going to the beach tomorrow.", "Wir gehen morgen an den Strand."),
    ("A man is riding a red bicycle.", "Ein Mann fährt ein rotes Fahrrad."),
    ("I do not know where she lives.", "Ich weiß nicht, wo sie wohnt."),
    ("The train leaves at seven o'clock.", "Der Zug fährt um sieben Uhr ab."),
]
JAPANESE = [
    ("The cat is sleeping on the table.", "猫はテーブルの上で寝ています。"),
    ("I am tired.", "私は疲れている。"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, pairs in (("small.en-de.tsv", GERMAN), ("small.en-ja.tsv", JAPANESE)):
        (tmp_path / name).write_text("".join(f"{english}\t{other}\n" for english, other in pairs), encoding="utf-8")
    (tmp_path / "README.md").write_text("Parallel text")
    return tmp_path


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(read_checkpoint(BUNDLED, name="bundled"), compute_type="float32", against_transformers=True)


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", *map(str, arguments), "--threads", "1"])
    captured = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, captured.out, captured.err


def table_rows(output: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("|")]


def test_evaluate_prints_a_line_for_each_direction_and_a_bar_on_stderr(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = evaluated(capsys, data, "--limit", "2", "--beam-sizes", "1", "2")
    assert status == 0
    rows = table_rows(out)
    directions = ["en → de", "de → en", "en → ja", "ja → en"]
    assert rows[0] == ["set", "direction", "sentences", "greedy", "beam 2"]
    assert [row[:3] for row in rows[2:6]] == [["small", direction, "2"] for direction in directions]
    assert rows[6] == ["set", "direction", "beam 2: first delta at step", "steps before the end"]
    assert [row[1] for row in rows[8:12]] == directions
    assert "100%" in err
    assert "16/16" in err


@pytest.mark.parametrize("beam_size", [1, 4])
def test_scores_are_those_of_sacrebleu_on_the_outputs(data: Path, evaluator: Evaluator, beam_size: int) -> None:
    for test_set in read_test_sets(data, limit=None):
        outcome = evaluator.evaluate(test_set, beam_size, tqdm(disable=True))
        tokenize = "char" if test_set.target_lang == "ja" else "13a"
        references = [test_set.references]
        assert len(set(outcome.outputs)) == len(test_set.sources)
        assert outcome.score.bleu == corpus_bleu(outcome.outputs, references, tokenize=tokenize).score > 5
        assert outcome.score.chrf == corpus_chrf(outcome.outputs, references).score > 5


def test_difference_to_transformers_is_zero(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "small.en-ja.tsv").unlink()
    status, out, _ = evaluated(capsys, data, "--against", "transformers")
    assert status == 0
    rows = table_rows(out)
    assert rows[0][3:7] == ["greedy", "greedy, transformers", "difference", "same tokens"]
    assert rows[0][7:] == ["beam 4", "beam 4, transformers", "difference", "same tokens"]
    for row in rows[2:4]:
        assert row[3] == row[4]
        assert row[7] == row[8]
        assert row[5:7] == row[9:11] == ["0.00 / 0.00", "5"]


def test_first_delta_counts_the_steps_of_each_sequence(data: Path, evaluator: Evaluator, bundled: Pair) -> None:
    (test_set, *_) = read_test_sets(data, limit=None)
    greedy, beams = (evaluator.evaluate(test_set, beam_size, tqdm(disable=True)).first_delta for beam_size in (1, 4))
    assert greedy.steps == 1
    tokenizer = load_tokenizer(bundled.checkpoint)
    prompt = tokenizer.decoder_prompt("de")
    first, last = 0, 0
    for text in test_set.sources:
        source = tokenizer.encode_source(text, source_lang="en", target_lang="de")
        spec = make_spec(source, prompt, 200, beam_size=4, repetition_guard=False)
        steps, _ = decode_alone(bundled.ours, bundled.checkpoint, spec)
        first += next(number for number, tokens in enumerate(steps, 1) if tokens)
        last += len(steps)
    assert last > first + len(GERMAN)
    assert beams.steps == pytest.approx(first / len(GERMAN))
    assert beams.steps_early == pytest.approx((last - first) / len(GERMAN))


def test_a_pair_that_the_checkpoint_lacks_is_reported_and_skipped(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "small.en-de.tsv").rename(data / "small.en-it.tsv")
    status, out, err = evaluated(capsys, data, "--beam-sizes", "1")
    assert status == 0
    assert [row[1] for row in table_rows(out)[2:]] == ["en → ja", "ja → en"]
    assert "small.en-it.tsv: en → it is skipped" in err


def test_missing_extra_is_named(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("model.evaluation.", "sacrebleu"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    status, _, err = evaluated(capsys, data)
    assert status == 2
    assert "sacrebleu is missing: pip install 'kakehashi[evaluate]'" in err


def test_serving_does_not_load_torch() -> None:
    code = "import sys, service.cli, service.server; sys.exit('torch' in sys.modules or 'sacrebleu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_compute_type_that_the_machine_lacks_is_named(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_kernels", lambda: Kernels(None, "there is no compiler"))
    status, out, err = evaluated(capsys, data, "--compute-type", "int8")
    assert (status, out) == (1, "")
    assert err == "kakehashi: compute type int8 needs our own kernels, and there is no compiler; use float32\n"


@pytest.mark.parametrize("line", ["no tab", "one\ttwo\tthree", "\tEmpty", "Empty\t ", ""])
def test_malformed_line_is_named(data: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    path = data / "small.en-de.tsv"
    path.write_text(f"Good.\tGut.\n{line}\nGood.\tGut.\n")
    status, out, err = evaluated(capsys, data)
    assert (status, out) == (2, "")
    assert f"{path}:2" in err


def test_data_that_is_not_utf_8_is_named(data: Path) -> None:
    path = data / "small.en-de.tsv"
    path.write_bytes(b"Good.\tGut.\nStreet.\tStra\xdfe.\n")
    with pytest.raises(EvaluationError, match=r"small\.en-de\.tsv.*utf-8"):
        read_test_sets(data, limit=None)
