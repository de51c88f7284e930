"""The `kakehashi evaluate` command: tables on stdout, everything else on stderr."""

import sys
from pathlib import Path

import torch

from model.checkpoint.config import CheckpointError, read_checkpoint
from model.checkpoint.hub import resolve_checkpoint
from model.evaluation.parallel_text import EvaluationError, read_test_sets
from model.evaluation.scoring import Evaluator, evaluate
from model.evaluation.tables import first_delta_table, score_table
from model.transformer.compute_types import ComputeType, ComputeTypeError


def run(
    data: Path,
    *,
    reference: str,
    compute_type: ComputeType,
    beam_sizes: list[int],
    limit: int | None,
    against_transformers: bool,
    num_threads: int | None,
) -> int:
    """Return the exit status: 0; 1 for a bad checkpoint or an unsupported compute type; 2 for bad data."""
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        test_sets = read_test_sets(data, limit=limit)
        checkpoint = read_checkpoint(resolve_checkpoint(reference), name=reference)
        evaluator = Evaluator(checkpoint, compute_type=compute_type, against_transformers=against_transformers)
        served = [test_set for test_set in test_sets if evaluator.serves(test_set)]
        for test_set in test_sets:
            if test_set not in served:
                print(
                    f"kakehashi: {test_set.path.name}: {test_set.source_lang} → {test_set.target_lang} is skipped: "
                    f"{reference} does not translate this pair",
                    file=sys.stderr,
                )
        if not served:
            raise EvaluationError(f"{data}: {reference} translates none of its pairs")
        rows = list(evaluate(evaluator, served, beam_sizes))
    except EvaluationError as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 2
    except (CheckpointError, ComputeTypeError) as error:
        print(f"kakehashi: {error}", file=sys.stderr)
        return 1
    print("BLEU / chrF\n")
    print(score_table(rows, beam_sizes))
    if any(beam_size > 1 for beam_size in beam_sizes):
        print("\nDecode steps until the first tokens are certain, and from there to the end; means of the sentences\n")
        print(first_delta_table(rows, beam_sizes))
    return 0
