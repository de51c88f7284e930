"""Bindings of our own kernels (`native/`), which take a fraction of the time of torch and oneDNN.

At one row oneDNN spends 17 to 30 microseconds on a product that takes 3 to 10, and a decode step is a hundred calls.
Here a linear layer quantizes, multiplies, scales, activates and adds in one pass, and a whole stack of layers is one
call (`stacks.py`). Every row is computed on its own, in a fixed order, so its result does not depend on its batch.
The structs mirror those of `native/structs.h`; the owner of a struct keeps the tensors alive that it points to. When a
struct changes, change `LAYOUT` in both places.
Shapes: B rows, K inputs, N outputs.
"""

from ctypes import Structure, byref, c_float, c_int64, c_void_p

import torch
from torch import Tensor
from torch.nn.functional import pad

from model.kernels.libraries import library

PANEL = 64
"""The outputs of a panel of weights, and the tokens of a block of logits."""
_QUAD = 4
_ZERO_POINT = 128
"""Added to inputs on instruction sets that multiply unsigned by signed bytes."""


class LinearStruct(Structure):
    _fields_ = (
        ("panels", c_void_p),
        ("scales", c_void_p),
        ("offsets", c_void_p),
        ("bias", c_void_p),
        ("num_inputs", c_int64),
        ("num_outputs", c_int64),
    )


class NormStruct(Structure):
    _fields_ = (("weight", c_void_p), ("bias", c_void_p), ("eps", c_float))


class EncoderLayerStruct(Structure):
    _fields_ = (
        *((name, LinearStruct) for name in ("qkv", "out", "fc1", "fc2")),
        *((name, NormStruct) for name in ("self_norm", "ffn_norm")),
    )


class DecoderLayerStruct(Structure):
    _fields_ = (
        *((name, LinearStruct) for name in ("qkv", "self_out", "q", "cross_out", "fc1", "fc2")),
        *((name, NormStruct) for name in ("self_norm", "cross_norm", "ffn_norm")),
    )


class StackStruct(Structure):
    _fields_ = (
        ("layers", c_void_p),
        ("final_norm", NormStruct),
        *((name, c_int64) for name in ("num_layers", "num_heads", "head_dim", "d_model")),
        *((name, c_int64) for name in ("activation", "is_pre_norm", "is_gated")),
        ("scale", c_float),
    )


class CacheStruct(Structure):
    _fields_ = (
        ("kv", c_void_p),
        ("layer_stride", c_int64),
        ("row_stride", c_int64),
        ("indirection", c_void_p),
        ("indirection_stride", c_int64),
        ("shared", c_void_p),
    )


class BiasStruct(Structure):
    _fields_ = (("values", c_void_p), ("num_positions", c_int64))


class EmbeddingStruct(Structure):
    _fields_ = (("tokens", c_void_p), ("positions", c_void_p), ("scale", c_float), ("norm", NormStruct))


class SourcesStruct(Structure):
    _fields_ = (
        ("token_ids", c_void_p),
        ("hidden_states", c_void_p),
        ("num_tokens", c_int64),
        ("lengths", c_void_p),
        ("num_sources", c_int64),
        ("bias", c_void_p),
        ("bias_row_stride", c_int64),
        ("bias_head_stride", c_int64),
    )


class StepStruct(Structure):
    _fields_ = (
        ("token_ids", c_void_p),
        ("hidden_states", c_void_p),
        ("num_tokens", c_int64),
        ("self_kv", CacheStruct),
        ("cross_kv", CacheStruct),
        ("rows", c_void_p),
        ("positions", c_void_p),
        ("source_lengths", c_void_p),
        ("self_bias", BiasStruct),
        ("cross_weights", c_void_p),
        ("cross_weights_stride", c_int64),
        ("cross_weights_layer", c_int64),
    )


class AheadStruct(Structure):
    _fields_ = (
        ("projection", c_void_p),
        ("scale", c_float),
        *((name, c_int64) for name in ("num_steps", "max_ended", "end_token_id")),
        ("forbidden", c_void_p),
        ("num_forbidden", c_int64),
        ("forbidden_if_short", c_void_p),
        ("num_forbidden_if_short", c_int64),
        ("num_short_steps", c_void_p),
        ("token_ids", c_void_p),
        ("log_probabilities", c_void_p),
    )


class TopKStruct(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("scores", "maxima", "rows", "normalizers", "added")),
        *((name, c_int64) for name in ("num_groups", "num_members", "num_columns", "k")),
        *((name, c_void_p) for name in ("values", "members", "columns")),
    )


class LinearKernel:
    """int8 weights [N, K], scales [N] and biases [N], in the order in which the kernels read them."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        num_outputs, num_inputs = weight.shape
        rows, columns = -num_outputs % PANEL, -num_inputs % _QUAD
        panels = pad(weight, (0, columns, 0, rows)).view(-1, PANEL, (num_inputs + columns) // _QUAD, _QUAD)
        offsets = weight.sum(dim=1, dtype=torch.int32) * _ZERO_POINT
        bias = torch.zeros(num_outputs) if bias is None else bias.float()
        self._tensors = [
            panels.transpose(1, 2).contiguous(),
            *(pad(each, (0, rows)) for each in (scales, offsets, bias)),
        ]
        self._function = library().linear_int8
        self._num_outputs = num_outputs
        self.struct = LinearStruct(*(tensor.data_ptr() for tensor in self._tensors), num_inputs, num_outputs)
        self._pointer = byref(self.struct)

    def __call__(self, inputs: Tensor) -> Tensor:
        """[..., K] float32 -> [..., N] float32."""
        inputs = inputs.contiguous()
        outputs = torch.empty(*inputs.shape[:-1], self._num_outputs)
        num_rows = outputs.numel() // self._num_outputs
        self._function(self._pointer, inputs.data_ptr(), num_rows, outputs.data_ptr())
        return outputs


def choose(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reduce logits [B, N] float32 to argmax [B] int64, max [B], logsumexp [B] and the max of each panel [B, C].

    A panel has `PANEL` columns. The argmax is the first of equal logits. A logit of NaN or +inf makes the logsumexp
    NaN. Greedy steps (`decode_ahead`) choose the same from the same logits, bit for bit.
    """
    logits = logits.contiguous()
    num_rows, num_columns = logits.shape
    columns, largest = torch.empty(num_rows, dtype=torch.int64), torch.empty(num_rows)
    normalizers, maxima = torch.empty(num_rows), torch.empty(num_rows, -(-num_columns // PANEL))
    outputs = (columns.data_ptr(), largest.data_ptr(), normalizers.data_ptr(), maxima.data_ptr())
    library().choose(logits.data_ptr(), num_rows, num_columns, *outputs)
    return columns, largest, normalizers, maxima


def top_k_of_groups(
    scores: Tensor, maxima: Tensor, rows: Tensor, normalizers: Tensor, added: Tensor, *, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the k largest of (`scores` - `normalizers`) + `added` over the rows [G, n] of each group.

    `scores` is [B, N], `maxima` [B, C] holds the largest of each panel, `normalizers` and `added` are [G, n]. Returns
    values, members of the group and columns, each [G, k], largest first. Of equal values the first member's first
    column comes first. If a number of a group is NaN, all of its values are. There must be at least k scores.
    """
    num_groups, num_members = rows.shape
    assert k <= num_members * scores.shape[1], "there are fewer scores"
    inputs = [each.contiguous() for each in (scores, maxima, rows, normalizers, added)]
    values = torch.empty(num_groups, k)
    members, columns = torch.empty(2, num_groups, k, dtype=torch.int64)
    task = TopKStruct(
        *(each.data_ptr() for each in inputs),
        *(num_groups, num_members, scores.shape[1], k),
        *(each.data_ptr() for each in (values, members, columns)),
    )
    library().top_k_of_groups(byref(task))
    return values, members, columns
