"""A decode step can be captured once and replayed: shapes alone decide it, and its allocations do not grow.

On CUDA the transformer is not packed, and its step is captured as it is exported here.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.checkpoint.loading import load_unpacked
from model.decoding.batch import DecodingBatch
from model.transformer.compute_types import ComputeType
from model.transformer.kv_cache import KVCache
from tests.support.exportable import Step
from tests.support.mixed_batch import add
from tests.support.pairs import CPU, Pair, make_spec, padded, prompts_of, random_sources

NUM_ROWS, NUM_TOKENS = 5, 12
EARLY, LATE = 5, 60
HOST_SYNCS = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "is_nonzero",
    "masked_select",
    "unique",
    "equal",
    "_assert_scalar",
)


class Exported:
    """The step of one unpacked transformer, and arguments of which the self cache has random tokens already."""

    def __init__(self, pair: Pair) -> None:
        self.step = Step(load_unpacked(pair.checkpoint, dtype=torch.float32, device=CPU))
        input_ids, self.lengths = padded(random_sources(pair, NUM_ROWS, seed=3), pair)
        cache = KVCache(
            pair.checkpoint.config,
            max_rows=NUM_ROWS,
            max_target_tokens=NUM_TOKENS,
            max_source_tokens=input_ids.shape[1],
            dtype=torch.float32,
            device=CPU,
        )
        with torch.no_grad():
            cache.write_cross(0, self.step.transformer.cross_kv(self.step.transformer.encode(input_ids, self.lengths)))
        self.view = cache.view(0, NUM_ROWS, self_tokens=NUM_TOKENS, source_tokens=input_ids.shape[1])
        self.view.self_kv.copy_(torch.randn(self.view.self_kv.shape, generator=torch.Generator().manual_seed(0)))
        with torch.no_grad():
            self.program: ExportedProgram = torch.export.export(self.step, self.arguments(0))

    def arguments(self, position: int) -> tuple[Tensor, ...]:
        """Rows at different positions, from `position` on."""
        positions = (position + torch.arange(NUM_ROWS) * 3) % NUM_TOKENS
        return torch.arange(30, 30 + NUM_ROWS), positions, self.lengths, self.view.self_kv.clone(), self.view.cross_kv


@pytest.fixture(scope="module")
def programs() -> dict[str, Exported]:
    return {}


@pytest.fixture
def exported(pair: Pair, programs: dict[str, Exported]) -> Exported:
    """Once for each family."""
    name = str(pair.checkpoint.directory)
    if name not in programs:
        programs[name] = Exported(pair)
    return programs[name]


def test_exported_step_equals_the_step_wherever_the_rows_stand(exported: Exported) -> None:
    program = exported.program.module()
    for position in (0, 4, 11):
        ours, expected = exported.arguments(position), exported.arguments(position)
        with torch.no_grad():
            torch.testing.assert_close(program(*ours), exported.step(*expected), rtol=0, atol=1e-5)
        torch.testing.assert_close(ours[3], expected[3], rtol=0, atol=1e-5)


def test_exported_step_has_static_shapes(exported: Exported) -> None:
    assert not exported.program.range_constraints
    values = [node.meta["val"] for node in exported.program.graph.nodes if "val" in node.meta]
    shapes = [tuple(leaf.shape) for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
    assert len(shapes) > 50
    assert all(type(size) is int for shape in shapes for size in shape)
    assert not any(isinstance(leaf, torch.SymInt | torch.SymFloat | torch.SymBool) for leaf in tree_leaves(values))


def test_exported_step_never_waits_for_the_device(exported: Exported) -> None:
    """No value of a tensor is read by the host, and no tensor is made on the host."""
    calls = [node for node in exported.program.graph.nodes if node.op == "call_function"]
    names = {str(node.target).removeprefix("aten.").split(".")[0] for node in calls}
    assert "linear" in names
    assert not [name for name in names if name.startswith(HOST_SYNCS) or name.startswith("lift_fresh")]
    indices = [leaf for node in calls if "index" in str(node.target) for leaf in tree_leaves(node.args[1:])]
    values = [leaf.meta["val"] for leaf in indices if isinstance(leaf, torch.fx.Node)]
    assert not any(value.dtype == torch.bool for value in values), "the number of places in a mask is data"


class Made(TorchDispatchMode):
    """The operations that made a tensor with memory of its own, and its shape. Views have none."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        known = {tensor.untyped_storage()._cdata for tensor in dense_tensors((args, kwargs))}
        results = func(*args, **(kwargs or {}))
        for tensor in dense_tensors(results):
            if tensor.untyped_storage()._cdata not in known:
                self.tensors[str(func), tuple(tensor.shape)] += 1
        return results


def dense_tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


class Steps:
    """Greedy rows that do not end, `step` after step."""

    def __init__(self, pair: Pair) -> None:
        pair = pair.ruled(min_length=LATE + 4)
        sizes: dict[str, Any] = {"max_rows": NUM_ROWS, "max_source_tokens": 40, "max_target_tokens": LATE + 4}
        self._batch = DecodingBatch(pair.ours, pair.checkpoint, **sizes)
        prompts = prompts_of(pair, NUM_ROWS)
        self._num_prompt_tokens = len(prompts[0])
        sources = zip(random_sources(pair, NUM_ROWS, seed=3), prompts, strict=True)
        specs = [make_spec(source, prompt, LATE + 1, repetition_guard=False) for source, prompt in sources]
        add(self._batch, dict(enumerate(specs)))
        self._num_steps = 0

    def num_tokens(self, step: int) -> int:
        """Tokens in the self cache, including the one that the step writes."""
        return self._num_prompt_tokens + step - 1

    def skip_to(self, step: int) -> None:
        """So that `step` is the next one."""
        while self._num_steps < step - 1:
            self.take()

    def take(self) -> None:
        assert self._batch.num_rows == NUM_ROWS
        self._batch.step()
        self._num_steps += 1

    def made(self, step: int) -> Counter[tuple[str, tuple[int, ...]]]:
        self.skip_to(step)
        with Made() as made:
            self.take()
        return made.tensors

    def allocated_bytes(self, step: int) -> Counter[int]:
        """The sizes of all that torch allocates, within its operations too."""
        self.skip_to(step)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            self.take()
        assert profiled.profiler is not None
        events = profiled.profiler.kineto_results.events()
        return Counter(event.nbytes() for event in events if event.name() == "[memory]" and event.nbytes() > 0)


@pytest.mark.needs("kernels")
@pytest.mark.parametrize("family", ["m2m100", "marian", "bart", "pegasus", "t5", "mt5", "bundled"])
def test_int8_step_allocates_the_same_at_any_length(family: str, request: pytest.FixtureRequest) -> None:
    """Except the kernels' own scratch for one row's scores, a few kilobytes per thread, which stays allocated."""
    steps = Steps(request.getfixturevalue(family).computing_in("int8"))
    early = steps.allocated_bytes(EARLY)
    assert early
    assert steps.allocated_bytes(LATE) == early


def grown(pair: Pair, compute_type: ComputeType) -> set[tuple[int, ...]]:
    """The shapes that a late step makes, by the same operations, and an early one does not."""
    steps = Steps(pair.computing_in(compute_type))
    early, late = steps.made(EARLY), steps.made(LATE)
    assert Counter(name for name, _ in early.elements()) == Counter(name for name, _ in late.elements())
    return {shape for _, shape in late - early}


@pytest.mark.parametrize("family", ["m2m100", "marian", "bart", "pegasus"])
def test_only_the_causal_mask_of_a_float32_step_grows(family: str, request: pytest.FixtureRequest) -> None:
    """Its columns, what they hide, and M itself: by one column a step, to the length of the cache at the most.

    Not seen here: within torch's attention, room for a row of scores grows in the same way, by 4 bytes a step.
    """
    pair: Pair = request.getfixturevalue(family)
    num_tokens = len(prompts_of(pair, 1)[0]) + LATE - 1
    assert grown(pair, "float32") == {(num_tokens,), (NUM_ROWS, 1, 1, num_tokens)}
