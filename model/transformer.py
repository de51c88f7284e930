"""One encoder-decoder transformer for every checkpoint family; `ModelConfig` says what differs.

Shapes: B rows, S source tokens, T target tokens, L decoder layers, H heads, d head size, D model size, N target
vocabulary. Symbols: X is the embedded input, K' and V' are `cross_kv`, Z' is `decoder_hidden_state`, and W is
`output_projection`: P(next token) = softmax(Z'W).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from model.attention import CrossWeights, causal_mask, source_mask
from model.config import ModelConfig
from model.kv_cache import KVView, LayerSelfKV
from model.layers import DecoderLayer, EncoderLayer
from model.linear import Embedding, Linear
from model.positions import positions_table


class Transformer(nn.Module):
    """Its weights are uninitialised until `load_transformer` has filled them."""

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d_model = config.d_model
        self.config = config
        self.register_buffer("positions", positions_table(config), persistent=False)
        self.source_embed_tokens = Embedding(config.vocab_size, d_model)
        self.target_embed_tokens = (
            self.source_embed_tokens if config.tie_source_target else Embedding(config.decoder_vocab_size, d_model)
        )
        self.encoder_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(d_model) if config.final_norm else nn.Identity()
        # K' and V' of all decoder layers are one product
        self.cross_kv_proj = Linear(d_model, config.decoder_layers * 2 * d_model)
        self.decoder_layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(d_model) if config.final_norm else nn.Identity()
        self.output_projection = Linear(d_model, config.decoder_vocab_size, bias=config.output_bias)
        if config.tie_output:
            self.output_projection.weight = self.target_embed_tokens.weight

    def encode(self, input_ids: Tensor, source_lengths: Tensor) -> Tensor:
        """input_ids [B, S] padded at the end, source_lengths [B] >= 1 -> encoder_hidden_states [B, S, D].

        What stands in the padding of the result is finite and means nothing.
        """
        num_tokens = input_ids.shape[1]
        hidden_states = self._embed(self.source_embed_tokens, input_ids, self.positions[:num_tokens])
        mask = source_mask(source_lengths, num_tokens, dtype=hidden_states.dtype)
        for layer in self.encoder_layers:
            hidden_states = layer(hidden_states, mask)
        output: Tensor = self.encoder_norm(hidden_states)
        return output

    def cross_kv(self, encoder_hidden_states: Tensor) -> Tensor:
        """encoder_hidden_states [B, S, D] -> K' and V' of all layers [L, B, S, 2, H, d], a view of one product."""
        config = self.config
        kv: Tensor = self.cross_kv_proj(encoder_hidden_states)
        kv = kv.view(*kv.shape[:2], config.decoder_layers, 2, config.decoder_heads, config.decoder_head_dim)
        return kv.permute(2, 0, 1, 3, 4, 5)

    def decode(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        """input_ids [B, T] -> decoder_hidden_state Z' [B, T, D].

        `positions` [B] is the place of each row's first token in the self cache: K and V of the T tokens are written
        there, and each token sees the cache up to itself. The view must reach over the last of them. `cross_weights`
        is filled in.
        """
        token_positions = positions[:, None] + torch.arange(input_ids.shape[1], device=input_ids.device)
        rows = torch.arange(input_ids.shape[0], device=input_ids.device)[:, None]
        hidden_states = self._embed(self.target_embed_tokens, input_ids, self.positions[token_positions])
        return self._decoder_stack(
            hidden_states,
            causal_mask(token_positions, kv.self_kv.shape[2], dtype=hidden_states.dtype),
            kv.cross_kv,
            source_mask(source_lengths, kv.cross_kv.shape[2], dtype=hidden_states.dtype),
            (LayerSelfKV(self_kv, rows, token_positions) for self_kv in kv.self_kv.unbind()),
            cross_weights=cross_weights,
        )

    def decode_step(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        """One token a row: input_ids [B], positions [B] -> logits [B, N]. Shapes decide all control flow."""
        return self.project(self.decode(input_ids[:, None], positions, source_lengths, kv, cross_weights)[:, 0])

    def project(self, decoder_hidden_state: Tensor) -> Tensor:
        """Z'W: [..., D] -> logits [..., N]."""
        logits: Tensor = self.output_projection(decoder_hidden_state)
        return logits

    def decode_full(self, input_ids: Tensor, encoder_hidden_states: Tensor, source_lengths: Tensor) -> Tensor:
        """All of the targets [B, T] at once, without a cache -> decoder_hidden_state Z' [B, T, D]."""
        num_tokens = input_ids.shape[1]
        hidden_states = self._embed(self.target_embed_tokens, input_ids, self.positions[:num_tokens])
        token_positions = torch.arange(num_tokens, device=input_ids.device)[None]
        return self._decoder_stack(
            hidden_states,
            causal_mask(token_positions, num_tokens, dtype=hidden_states.dtype),
            self.cross_kv(encoder_hidden_states),
            source_mask(source_lengths, encoder_hidden_states.shape[1], dtype=hidden_states.dtype),
            [None] * self.config.decoder_layers,
        )

    def forward(self, input_ids: Tensor, source_lengths: Tensor, decoder_input_ids: Tensor) -> Tensor:
        """Teacher-forced: input_ids [B, S], source_lengths [B], decoder_input_ids [B, T] -> logits [B, T, N]."""
        encoder_hidden_states = self.encode(input_ids, source_lengths)
        return self.project(self.decode_full(decoder_input_ids, encoder_hidden_states, source_lengths))

    def _embed(self, embed_tokens: nn.Module, input_ids: Tensor, positions: Tensor) -> Tensor:
        """X = E * embed_scale + positions: [B, T] and [(B,) T, D] -> [B, T, D]."""
        embeddings: Tensor = embed_tokens(input_ids)
        return embeddings.mul_(self.config.embed_scale).add_(positions)

    def _decoder_stack(
        self,
        hidden_states: Tensor,
        causal_mask: Tensor,
        cross_kv: Tensor,
        source_mask: Tensor,
        self_kvs: Iterable[LayerSelfKV | None],
        *,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        asked: list[CrossWeights | None] = [None] * len(self.decoder_layers)
        if cross_weights is not None:
            asked[cross_weights.layer] = cross_weights
        for layer, layer_cross_kv, self_kv, weights in zip(
            self.decoder_layers, cross_kv.unbind(), self_kvs, asked, strict=True
        ):
            hidden_states = layer(
                hidden_states, causal_mask, layer_cross_kv, source_mask, self_kv, cross_weights=weights
            )
        output: Tensor = self.decoder_norm(hidden_states)
        return output
