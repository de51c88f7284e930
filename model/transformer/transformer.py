"""One encoder-decoder transformer for every checkpoint family; `ModelConfig` holds the differences.

Shapes: B rows, S source tokens, T target tokens, P tokens of several rows one after the other, L decoder layers, H
heads, d head size, D model size, N target vocabulary. Symbols: X is the embedded input, K' and V' are `cross_kv`, Z' is
`decoder_hidden_state`, and W is `output_projection`: P(next token) = softmax(Z'W).
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from model.checkpoint.config import ModelConfig
from model.kernels.stacks import DecoderKernel, EncoderKernel, GreedyEnd, GreedyRules, InputEmbedding, write_cross_kv
from model.transformer.attention import CrossWeights, causal_mask, source_mask
from model.transformer.kv_cache import KVView, LayerSelfKV
from model.transformer.layers import DecoderLayer, EncoderLayer, make_norm
from model.transformer.linear import Embedding, Int8Linear, Linear
from model.transformer.positions import RelativeBias, source_and_target_positions
from model.transformer.upload import upload


class Transformer(nn.Module):
    """Weights are on the meta device, without memory, until `load_transformer` fills them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d_model = config.d_model
        self.config = config
        self.source_embed_tokens = Embedding(config.vocab_size, d_model)
        self.target_embed_tokens = (
            self.source_embed_tokens if config.tie_source_target else Embedding(config.decoder_vocab_size, d_model)
        )
        self.source_positions, self.target_positions = source_and_target_positions(config)
        self.source_embed_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.target_embed_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.encoder_bias = self.decoder_bias = None
        if config.relative_positions is not None:
            relative = config.relative_positions
            self.encoder_bias = RelativeBias(relative, num_heads=config.encoder_heads, bidirectional=True)
            self.decoder_bias = RelativeBias(relative, num_heads=config.decoder_heads, bidirectional=False)
        self.encoder_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = make_norm(config) if config.final_norm else nn.Identity()
        # K' and V' of all decoder layers are one product
        num_cross_kv = config.decoder_layers * 2 * config.decoder_heads * config.decoder_head_dim
        self.cross_kv_proj = Linear(d_model, num_cross_kv, bias=config.linear_bias)
        self.decoder_layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = make_norm(config) if config.final_norm else nn.Identity()
        self.output_projection = Linear(d_model, config.decoder_vocab_size, bias=config.output_bias)
        if config.tie_output:
            self.output_projection.weight = self.target_embed_tokens.weight
        self.num_parameters = sum(parameter.numel() for parameter in self.parameters())
        self.encoder_kernel: EncoderKernel | None = None
        self.decoder_kernel: DecoderKernel | None = None
        self._greedy_end: GreedyEnd | None = None

    @property
    def device(self) -> torch.device:
        return self.source_embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.source_embed_tokens.weight.dtype

    def use_kernels(self) -> None:
        """Let our own kernels run both stacks. Needs loaded weights and int8 in all linear layers."""
        encoder_layers = [layer for layer in self.encoder_layers if isinstance(layer, EncoderLayer)]
        decoder_layers = [layer for layer in self.decoder_layers if isinstance(layer, DecoderLayer)]
        source = InputEmbedding(self.source_embed_tokens.weight, self.source_positions.rows, self.source_embed_norm)
        target = InputEmbedding(self.target_embed_tokens.weight, self.target_positions.rows, self.target_embed_norm)
        self.encoder_kernel = EncoderKernel(self.config, source, encoder_layers, self.encoder_norm)
        bias = None
        if self.decoder_bias is not None:
            bias = self.decoder_bias.farthest_first(self.config.max_positions).detach()
        self.decoder_kernel = DecoderKernel(self.config, target, decoder_layers, self.decoder_norm, bias=bias)
        assert isinstance(self.output_projection, Int8Linear), "the kernels project in int8"
        self._greedy_end = GreedyEnd(
            self.output_projection.product,
            scale=self.config.output_scale,
            end_token_id=self.config.eos_token_id,
        )

    @property
    def kv_dtype(self) -> torch.dtype:
        """The type of the caches."""
        return self.dtype if self.decoder_kernel is None else torch.bfloat16

    @property
    def encoder_dtype(self) -> torch.dtype:
        """The type of encoder outputs. For int8, whose activations are float32, it is float16.

        The output of the last norm is within the range of float16, whose rounding errors are far below those of int8.
        """
        return torch.float16 if isinstance(self.cross_kv_proj, Int8Linear) else self.dtype

    def encode(self, input_ids: Tensor, source_lengths: Tensor) -> Tensor:
        """input_ids [B, S] padded at the end, source_lengths [B] >= 1 -> encoder_hidden_states [B, S, D].

        The result is in `encoder_dtype`, the type of the encoder cache, so that cached and fresh outputs are equal.
        Values in the padding are finite and meaningless.
        """
        if self.encoder_kernel is not None:
            sources = [ids[:length] for ids, length in zip(input_ids.tolist(), source_lengths.tolist(), strict=True)]
            padded = torch.zeros(*input_ids.shape, self.config.d_model, dtype=self.encoder_dtype)
            for row, encoded in zip(padded, self.encode_unpadded(sources), strict=True):
                row[: len(encoded)] = encoded
            return padded
        num_tokens = input_ids.shape[1]
        places = torch.arange(num_tokens, device=input_ids.device)
        bias = self._encoder_bias(num_tokens)
        hidden_states = self.source_embed_tokens(input_ids).mul_(self.config.embed_scale)
        hidden_states = self.source_embed_norm(self.source_positions(hidden_states, places))
        mask = self._source_mask(source_lengths, num_tokens, bias=bias)
        for layer in self.encoder_layers:
            hidden_states = layer(hidden_states, mask)
        output: Tensor = self.encoder_norm(hidden_states)
        return output.to(self.encoder_dtype)

    def encode_unpadded(self, sources: Sequence[Sequence[int]]) -> list[Tensor]:
        """Token ids of sources -> encoder_hidden_states [S, D] of each, as `encode`; only our own kernels can do it.

        Each is a copy: a view would keep those of all sources alive.
        """
        assert self.encoder_kernel is not None, "only the kernels encode without padding"
        lengths = list(map(len, sources))
        bias = self._encoder_bias(max(lengths))
        encoded = self.encoder_kernel(
            torch.tensor(list(chain.from_iterable(sources))),
            torch.tensor(lengths),
            None if bias is None else bias[0].contiguous(),
        )
        dtype = self.encoder_dtype
        return [each.to(dtype, copy=True) for each in encoded.split_with_sizes(lengths)]

    def _encoder_bias(self, num_tokens: int) -> Tensor | None:
        """The relative bias [1, H, S, S], if the family has one."""
        if self.encoder_bias is None:
            return None
        bias: Tensor = self.encoder_bias(torch.arange(num_tokens, device=self.device)[None], num_tokens)
        return bias

    def cross_kv(self, encoder_hidden_states: Tensor) -> Tensor:
        """encoder_hidden_states [B, S, D] -> K' and V' of all layers [L, B, S, 2, H, d], a view of one product."""
        config = self.config
        kv: Tensor = self.cross_kv_proj(encoder_hidden_states.to(self.dtype))
        kv = kv.view(*kv.shape[:2], config.decoder_layers, 2, config.decoder_heads, config.decoder_head_dim)
        return kv.permute(2, 0, 1, 3, 4, 5)

    def write_cross_kv(self, sources: Sequence[Tensor], rows: Sequence[int], cross_kv: Tensor) -> None:
        """Write K' and V' of encoder outputs [S, D] to one row each of the cache [L, B, S', 2, H, d], in one call.

        Only our own kernels can do it.
        """
        projection = self.cross_kv_proj
        assert isinstance(projection, Int8Linear), "only the kernels write K' and V'"
        lengths = [source.shape[0] for source in sources]
        row_ids = torch.tensor([row for row, length in zip(rows, lengths, strict=True) for _ in range(length)])
        positions = torch.tensor(list(chain.from_iterable(map(range, lengths))))
        states = torch.cat(list(sources)).to(self.dtype)
        write_cross_kv(projection.product, states, cross_kv, rows=row_ids, positions=positions)

    def decode(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        """input_ids [B, T] -> decoder_hidden_state Z' [B, T, D].

        `positions` [B] is the place of each row's first token in the self cache. K and V of the T tokens are written
        from there on, and a token sees the cache up to itself. The view must include the last token. Fills in
        `cross_weights`.
        """
        token_positions = positions[:, None] + torch.arange(input_ids.shape[1], device=input_ids.device)
        if self.decoder_kernel is not None:
            assert cross_weights is None or input_ids.shape[1] == 1, "the kernel has the weights of one token only"
            rows = torch.arange(input_ids.shape[0]).repeat_interleave(input_ids.shape[1])
            ids, places = input_ids.flatten(), token_positions.flatten()
            states = self.decoder_kernel(ids, places, source_lengths[rows], kv, rows=rows, cross_weights=cross_weights)
            return states.view(*input_ids.shape, -1)
        rows = torch.arange(input_ids.shape[0], device=input_ids.device)[:, None]
        return self._decoder_stack(
            self.embed_target(input_ids, token_positions),
            self._causal_mask(token_positions, kv.self_kv.shape[2]),
            kv.cross_kv,
            self._source_mask(source_lengths, kv.cross_kv.shape[2]),
            (LayerSelfKV(self_kv, rows, token_positions) for self_kv in kv.self_kv.unbind()),
            cross_weights=cross_weights,
        )

    def prefill(self, prompts: Sequence[Sequence[int]], source_lengths: Tensor, kv: KVView) -> None:
        """Write K and V of the rows' prompts, from the first position on, in one pass. A prompt may be empty.

        Our own kernels compute no padding. Without them, shorter prompts are padded at the end; K and V of the padding
        are masked until real tokens overwrite them.
        """
        if not any(prompts):
            return
        if self.decoder_kernel is not None:
            lengths = source_lengths.tolist()
            tokens = [
                (token_id, place, lengths[row], row)
                for row, prompt in enumerate(prompts)
                for place, token_id in enumerate(prompt)
            ]
            token_ids, positions, lengths_of_tokens, rows = map(torch.tensor, zip(*tokens, strict=True))
            self.decoder_kernel(token_ids, positions, lengths_of_tokens, kv, rows=rows)
            return
        padded = pad_sequence(
            [torch.tensor(prompt, dtype=torch.int64) for prompt in prompts], True, self.config.pad_token_id
        )
        device = source_lengths.device
        starts = torch.zeros(len(prompts), dtype=torch.int64, device=device)
        self.decode(upload(padded, device), starts, source_lengths, kv)

    def decode_step(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        """One token a row: input_ids [B], positions [B] -> logits [B, N]. Shapes decide all control flow."""
        if self.decoder_kernel is not None:
            states = self.decoder_kernel(input_ids, positions, source_lengths, kv, cross_weights=cross_weights)
            return self.project(states)
        return self.project(self.decode(input_ids[:, None], positions, source_lengths, kv, cross_weights)[:, 0])

    def decoder_bias_by_distance(self, max_tokens: int) -> list[list[float]] | None:
        """[H][max_tokens]: the bias in M by distance to an earlier token; None without relative positions."""
        if self.decoder_bias is None:
            return None
        bias: list[list[float]] = self.decoder_bias.by_distance(max_tokens).tolist()
        return bias

    def project(self, decoder_hidden_state: Tensor) -> Tensor:
        """Z'W: [..., D] -> logits [..., N]."""
        if self.config.output_scale != 1.0:
            decoder_hidden_state = decoder_hidden_state * self.config.output_scale
        logits: Tensor = self.output_projection(decoder_hidden_state)
        return logits

    @property
    def decodes_ahead(self) -> bool:
        """Whether `decode_ahead` can be called."""
        return self._greedy_end is not None

    def decode_ahead(
        self,
        input_ids: Tensor,
        positions: Tensor,
        source_lengths: Tensor,
        kv: KVView,
        *,
        rules: GreedyRules,
        num_steps: int,
        max_ended: int,
        cross_weights: CrossWeights | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Take several greedy steps in one call, see `DecoderKernel.decode_ahead`.

        The view must include the last token.
        """
        assert self.decoder_kernel is not None, "only the kernels decode ahead"
        assert self._greedy_end is not None, "only the kernels decode ahead"
        return self.decoder_kernel.decode_ahead(
            input_ids,
            positions,
            source_lengths,
            kv,
            end=self._greedy_end,
            rules=rules,
            num_steps=num_steps,
            max_ended=max_ended,
            cross_weights=cross_weights,
        )

    def decode_full(self, input_ids: Tensor, encoder_hidden_states: Tensor, source_lengths: Tensor) -> Tensor:
        """Whole targets [B, T] at once, without a cache -> decoder_hidden_state Z' [B, T, D]."""
        num_tokens = input_ids.shape[1]
        token_positions = torch.arange(num_tokens, device=input_ids.device)[None]
        return self._decoder_stack(
            self.embed_target(input_ids, token_positions[0]),
            self._causal_mask(token_positions, num_tokens),
            self.cross_kv(encoder_hidden_states),
            self._source_mask(source_lengths, encoder_hidden_states.shape[1]),
            [None] * self.config.decoder_layers,
        )

    def forward(self, input_ids: Tensor, source_lengths: Tensor, decoder_input_ids: Tensor) -> Tensor:
        """Teacher-forced: input_ids [B, S], source_lengths [B], decoder_input_ids [B, T] -> logits [B, T, N]."""
        encoder_hidden_states = self.encode(input_ids, source_lengths)
        return self.project(self.decode_full(decoder_input_ids, encoder_hidden_states, source_lengths))

    def embed_target(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """X = E * embed_scale + positions, normed if the family does so: [B, T] and [(B,) T] -> [B, T, D]."""
        hidden_states = self.target_embed_tokens(input_ids).mul_(self.config.embed_scale)
        output: Tensor = self.target_embed_norm(self.target_positions(hidden_states, positions))
        return output

    def _causal_mask(self, token_positions: Tensor, num_tokens: int) -> Tensor:
        bias = None if self.decoder_bias is None else self.decoder_bias(token_positions, num_tokens)
        return causal_mask(token_positions, num_tokens, dtype=self.target_embed_tokens.weight.dtype, bias=bias)

    def _source_mask(self, source_lengths: Tensor, num_tokens: int, *, bias: Tensor | None = None) -> Tensor:
        return source_mask(source_lengths, num_tokens, dtype=self.source_embed_tokens.weight.dtype, bias=bias)

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
