"""A whole stack of layers as one call of our own kernels, in int8 on CPU: the encoder, and the decoder.

They compute the same as the layers' `forward`, on the same weights. Both take the tokens of several rows one after the
other, without padding. In the decoder, a token attends over its row of the caches up to its own position, and nothing
is allocated.
Shapes: L layers, B rows, S source tokens, P tokens of all rows, T positions, H heads, D model size.
"""

from collections.abc import Sequence
from ctypes import addressof, byref, c_void_p, cast
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.checkpoint.config import ModelConfig
from model.kernels.bindings import (
    AheadStruct,
    BiasStruct,
    CacheStruct,
    DecoderLayerStruct,
    EmbeddingStruct,
    EncoderLayerStruct,
    LinearKernel,
    LinearStruct,
    NormStruct,
    SourcesStruct,
    StackStruct,
    StepStruct,
)
from model.kernels.libraries import library
from model.transformer.attention import CrossWeights
from model.transformer.kv_cache import KVView
from model.transformer.layers import DecoderLayer, EncoderLayer
from model.transformer.linear import Int8Linear

_ACTIVATIONS = (None, "relu", "silu", "gelu", "gelu_tanh")
"""The numbers of the activations in `native/vectors.h`."""


@dataclass(frozen=True, slots=True)
class InputEmbedding:
    """The tables that X is computed from, in float32."""

    tokens: Tensor
    """[N, D]"""
    positions: Tensor | None
    """[T, D], without the rows before the offset"""
    norm: nn.Module


@dataclass(frozen=True, slots=True)
class GreedyEnd:
    """The part of a greedy step after the decoder stack."""

    projection: LinearKernel
    """W"""
    scale: float
    """The factor of Z' before the projection."""
    end_token_id: int


@dataclass(frozen=True, slots=True)
class GreedyRules:
    """The tokens that greedy steps of B rows must not choose. Token ids are int64, in order."""

    forbidden: Tensor
    """[F]"""
    forbidden_if_short: Tensor
    """[F']: those of a row that is too short to end, the end token among them."""
    num_short_steps: Tensor
    """[B] int64: the steps from now on in which a row is too short to end."""


class EncoderKernel:
    def __init__(
        self, config: ModelConfig, embedding: InputEmbedding, layers: Sequence[EncoderLayer], final_norm: nn.Module
    ) -> None:
        """The linear layers must be int8 and the kernels available."""
        self._function = library().encode_stack
        self._alive = (embedding, layers, final_norm)
        self._d_model = config.d_model
        self._layers = (EncoderLayerStruct * len(layers))(*map(_encoder_layer, layers))
        heads = (config.encoder_heads, config.encoder_head_dim)
        self._stack = _stack(config, self._layers, final_norm, heads=heads)
        self._embedding = _embedding(config, embedding)
        self._sources = SourcesStruct()
        self._arguments = (byref(self._stack), byref(self._embedding), byref(self._sources))

    def __call__(self, input_ids: Tensor, source_lengths: Tensor, bias: Tensor | None) -> Tensor:
        """input_ids [P], source after source, and source_lengths [B], both dense -> [P, D].

        `bias` [H, S, S] is added to the scores; S is at least the longest source.
        """
        sources = self._sources
        hidden_states = torch.empty(len(input_ids), self._d_model)
        sources.token_ids, sources.hidden_states = input_ids.data_ptr(), hidden_states.data_ptr()
        sources.num_tokens = len(hidden_states)
        sources.lengths, sources.num_sources = source_lengths.data_ptr(), len(source_lengths)
        sources.bias = None if bias is None else bias.data_ptr()
        sources.bias_row_stride, sources.bias_head_stride = (0, 0) if bias is None else (bias.stride(1), bias.stride(0))
        self._function(*self._arguments)
        return hidden_states


class DecoderKernel:
    def __init__(
        self,
        config: ModelConfig,
        embedding: InputEmbedding,
        layers: Sequence[DecoderLayer],
        final_norm: nn.Module,
        *,
        bias: Tensor | None,
    ) -> None:
        """See `EncoderKernel`. `bias` [H, T], farthest token first, is added to the scores of self-attention."""
        self._function, self._ahead_function = library().decode_stack, library().decode_ahead
        self._alive = (embedding, layers, final_norm, bias)
        self._d_model = config.d_model
        self._layers = (DecoderLayerStruct * len(layers))(*map(_decoder_layer, layers))
        heads = (config.decoder_heads, config.decoder_head_dim)
        self._stack = _stack(config, self._layers, final_norm, heads=heads)
        self._embedding = _embedding(config, embedding)
        self._step = StepStruct()
        if bias is not None:
            self._step.self_bias = BiasStruct(bias.data_ptr(), bias.shape[1])
        self._arguments = (byref(self._stack), byref(self._embedding), byref(self._step))

    def __call__(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        *,
        rows: Tensor | None = None,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        """input_ids, positions and source_lengths [P], all dense -> Z' [P, D].

        `rows` [P] int64 holds each token's row of the caches; None: one token a row, in order. In every layer all K
        and V are written before any token attends, so a row may have several tokens, in any order. Fills in
        `cross_weights`.
        """
        input_ids = input_ids.contiguous()
        hidden_states = self._prepare(input_ids, positions, source_lengths, kv, rows)
        if cross_weights is None:
            self._function(*self._arguments)
            return hidden_states
        weights = self._prepare_weights(cross_weights.layer, kv, num_steps=1)
        self._function(*self._arguments)
        cross_weights.weights = weights[0, cross_weights.rows, None]
        return hidden_states

    def decode_ahead(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        *,
        end: GreedyEnd,
        rules: GreedyRules,
        num_steps: int,
        max_ended: int,
        cross_weights: CrossWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Take `num_steps` greedy steps of one token a row; a chosen token is the input of the next step.

        input_ids, positions and source_lengths [B] -> token ids [T, B] int64 and their log-probabilities [T, B]. T is
        less than `num_steps` if `max_ended` rows chose the end token earlier. An ended row repeats the end token. Fills
        in `cross_weights`, arbitrarily after the end of a row.
        """
        input_ids = input_ids.contiguous()
        hidden_states = self._prepare(input_ids, positions, source_lengths, kv, None)
        token_ids = torch.empty(num_steps, len(hidden_states), dtype=torch.int64)
        log_probabilities = torch.empty(num_steps, len(hidden_states))
        ahead = AheadStruct(
            projection=addressof(end.projection.struct),
            scale=end.scale,
            num_steps=num_steps,
            max_ended=max_ended,
            end_token_id=end.end_token_id,
            forbidden=rules.forbidden.data_ptr(),
            num_forbidden=len(rules.forbidden),
            forbidden_if_short=rules.forbidden_if_short.data_ptr(),
            num_forbidden_if_short=len(rules.forbidden_if_short),
            num_short_steps=rules.num_short_steps.data_ptr(),
            token_ids=token_ids.data_ptr(),
            log_probabilities=log_probabilities.data_ptr(),
        )
        weights = None if cross_weights is None else self._prepare_weights(cross_weights.layer, kv, num_steps=num_steps)
        num_taken = self._ahead_function(*self._arguments, byref(ahead))
        if cross_weights is not None and weights is not None:
            cross_weights.weights = weights[:num_taken, cross_weights.rows].transpose(0, 1)
        return token_ids[:num_taken], log_probabilities[:num_taken]

    def _prepare(
        self, input_ids: Tensor, positions: Tensor, source_lengths: Tensor, kv: KVView, rows: Tensor | None
    ) -> Tensor:
        """Fill in the step. Returns the tensor for its output, [P, D]."""
        step = self._step
        hidden_states = torch.empty(len(input_ids), self._d_model)
        step.token_ids, step.hidden_states = input_ids.data_ptr(), hidden_states.data_ptr()
        step.num_tokens = len(hidden_states)
        step.self_kv = _cache(kv.self_kv, indirection=kv.indirection)
        step.cross_kv = _cache(kv.cross_kv, shared=kv.cross_slots)
        step.rows = None if rows is None else rows.data_ptr()
        step.positions, step.source_lengths = positions.data_ptr(), source_lengths.data_ptr()
        step.cross_weights = None
        return hidden_states

    def _prepare_weights(self, layer: int, kv: KVView, *, num_steps: int) -> Tensor:
        """Let the step fill in its cross-attention weights in a layer. Returns the tensor for them, [T, P, S]."""
        step = self._step
        weights = torch.empty(num_steps, step.num_tokens, kv.cross_kv.shape[2])
        step.cross_weights = weights.data_ptr()
        step.cross_weights_stride = weights.stride(1)
        step.cross_weights_layer = layer % len(self._layers)
        return weights


def write_cross_kv(
    projection: LinearKernel, hidden_states: Tensor, cache: Tensor, *, rows: Tensor, positions: Tensor
) -> None:
    """Write K' and V' of hidden_states [P, D], float32, to the places `rows` and `positions` [P] of the cache.

    The cache is [L, B, S, 2, H, d]. All else is dense.
    """
    arguments = (hidden_states.data_ptr(), len(hidden_states), rows.data_ptr(), positions.data_ptr())
    library().write_cross_kv(byref(projection.struct), *arguments, byref(_cache(cache)), len(cache))


def _stack(config: ModelConfig, layers: object, final_norm: nn.Module, *, heads: tuple[int, int]) -> StackStruct:
    num_heads, head_dim = heads
    return StackStruct(
        layers=cast(layers, c_void_p),  # type: ignore[arg-type]  # an array
        final_norm=_norm(final_norm),
        num_layers=len(layers),  # type: ignore[arg-type]
        num_heads=num_heads,
        head_dim=head_dim,
        d_model=config.d_model,
        activation=_ACTIVATIONS.index(config.activation),
        is_pre_norm=config.norm_position == "pre",
        is_gated=config.gated_ffn,
        scale=head_dim**-0.5 if config.attention_scale is None else config.attention_scale,
    )


def _embedding(config: ModelConfig, embedding: InputEmbedding) -> EmbeddingStruct:
    return EmbeddingStruct(
        embedding.tokens.data_ptr(),
        None if embedding.positions is None else embedding.positions.data_ptr(),
        config.embed_scale,
        _norm(embedding.norm),
    )


def _cache(cache: Tensor, *, indirection: Tensor | None = None, shared: Tensor | None = None) -> CacheStruct:
    assert cache.dtype == torch.bfloat16, "the kernels need bfloat16 caches"
    return CacheStruct(
        cache.data_ptr(),
        cache.stride(0),
        cache.stride(1),
        None if indirection is None else indirection.data_ptr(),
        0 if indirection is None else indirection.stride(0),
        None if shared is None else shared.data_ptr(),
    )


def _encoder_layer(layer: EncoderLayer) -> EncoderLayerStruct:
    attn, ffn = layer.self_attn, layer.ffn
    linears = map(_linear, (attn.qkv_proj, attn.out_proj, ffn.fc1, ffn.fc2))
    return EncoderLayerStruct(*linears, *map(_norm, (layer.self_attn_norm.norm, layer.ffn_norm.norm)))


def _decoder_layer(layer: DecoderLayer) -> DecoderLayerStruct:
    self_attn, cross_attn, ffn = layer.self_attn, layer.cross_attn, layer.ffn
    linears = (self_attn.qkv_proj, self_attn.out_proj, cross_attn.q_proj, cross_attn.out_proj, ffn.fc1, ffn.fc2)
    norms = (layer.self_attn_norm.norm, layer.cross_attn_norm.norm, layer.ffn_norm.norm)
    return DecoderLayerStruct(*map(_linear, linears), *map(_norm, norms))


def _linear(linear: nn.Module) -> LinearStruct:
    product = linear.product if isinstance(linear, Int8Linear) else None
    assert isinstance(product, LinearKernel), "a layer is not int8"
    return product.struct


def _norm(norm: nn.Module) -> NormStruct:
    match norm:
        case nn.LayerNorm():
            return NormStruct(norm.weight.data_ptr(), norm.bias.data_ptr(), norm.eps)
        case nn.RMSNorm():
            return NormStruct(norm.weight.data_ptr(), None, norm.eps or 0.0)
    return NormStruct()
