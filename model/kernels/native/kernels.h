// The bulk of decoding: int8 linear layers, the encoder and the decoder as whole stacks, and the choice of a token.
// Every .cpp file beside this one compiles it for one instruction set; `bindings.py` loads one of these libraries and
// mirrors the structs.
//
// The numbers are the same on every instruction set, bit for bit: products of bytes add up exactly, and everything
// else happens in one fixed order. A change of these numbers must raise ARITHMETIC in `structs.h`, and a change of the
// interface to Python must raise LAYOUT there.
//
// Every row is computed on its own, so its result never depends on the batch. A row that is not finite ends in NaN
// logits. Arrays are dense in their last axis; strides count elements. OpenMP threads, whose number torch sets, share
// rows and panels.
// Shapes: B rows, P tokens of several rows, K inputs, N outputs, H heads, d head size, C tokens in a cache.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "attention.h"
#include "choice.h"
#include "linear.h"
#include "top_k.h"

namespace {

// The gate of a gated feed-forward layer: hidden [B, 2 F] -> outputs [B, F] = act(first half) * second half.
void gate(const float* hidden, long num_rows, long width, int activation, float* outputs) {
    for (long row = 0; row < num_rows; ++row, hidden += 2 * width, outputs += width)
        for (long i = 0; i < width; i += LANES) {
            const Floats x = activated(load(hidden + i, width - i), activation);
            store(outputs + i, x * load(hidden + width + i, width - i), width - i);
        }
}

// x + sublayer(norm(x)) or norm(x + sublayer(x)), in two halves around the sublayer, as in `layers.py`.
struct Residual {
    const Stack& stack;
    const Norm& norm;
    float* hidden_states;
    long num_rows;

    const float* enter() const {
        if (!stack.is_pre_norm) return hidden_states;
        float* normed = at_least(Scratch::of_thread().normed, num_rows * stack.d_model);
        normalize(norm, hidden_states, num_rows, stack.d_model, normed);
        return normed;
    }
    void leave(const Linear& linear, const float* inputs) const {
        multiply(linear, inputs, num_rows, NONE, hidden_states, hidden_states);
        if (!stack.is_pre_norm) normalize(norm, hidden_states, num_rows, stack.d_model, hidden_states);
    }
};

// Works on a block of rows at a time, so that the hidden layer stays in the processor's caches.
void feed_forward(const Stack& stack, const Linear& fc1, const Linear& fc2, const Norm& norm, float* hidden_states,
                  long num_rows) {
    Scratch& scratch = Scratch::of_thread();
    for (long block = 0; block < num_rows; block += BLOCK_ROWS) {
        const long rows = num_rows - block < BLOCK_ROWS ? num_rows - block : BLOCK_ROWS;
        const Residual residual{stack, norm, hidden_states + block * stack.d_model, rows};
        float* hidden = at_least(scratch.hidden, rows * fc1.num_outputs);
        const int activation = static_cast<int>(stack.activation);
        multiply(fc1, residual.enter(), rows, stack.is_gated ? NONE : activation, nullptr, hidden);
        if (stack.is_gated) {
            float* gated = at_least(scratch.gated, rows * fc2.num_inputs);
            gate(hidden, rows, fc2.num_inputs, activation, gated);
            hidden = gated;
        }
        residual.leave(fc2, hidden);
    }
}

// Embeds tokens: X = E * scale + positions [P, D], then the norm if there is one.
void embed(const Embedding& embedding, const int64_t* token_ids, const int64_t* positions, long num_rows, long width,
           float* outputs) {
    for (long row = 0; row < num_rows; ++row)
        for (long i = 0; i < width; i += LANES) {
            Floats x = load(embedding.tokens + token_ids[row] * width + i, width - i) * splat(embedding.scale);
            if (embedding.positions) x = x + load(embedding.positions + positions[row] * width + i, width - i);
            store(outputs + row * width + i, x, width - i);
        }
    if (embedding.norm.weight) normalize(embedding.norm, outputs, num_rows, width, outputs);
}

void finish(const Stack& stack, float* hidden_states, long num_rows) {
    if (stack.final_norm.weight) normalize(stack.final_norm, hidden_states, num_rows, stack.d_model, hidden_states);
}

// All sources at once. The intermediate results take memory for all their tokens.
void encode(const Stack& stack, const Embedding& embedding, const Sources& sources) {
    Scratch& scratch = Scratch::of_thread();
    const long width = stack.num_heads * stack.head_dim, num_rows = sources.num_tokens;
    float* hidden_states = sources.hidden_states;
    scratch.positions.resize(num_rows);
    for (long source = 0, start = 0; source < sources.num_sources; start += sources.lengths[source++])
        std::iota(scratch.positions.data() + start, scratch.positions.data() + start + sources.lengths[source], 0);
    embed(embedding, sources.token_ids, scratch.positions.data(), num_rows, stack.d_model, hidden_states);
    for (long index = 0; index < stack.num_layers; ++index) {
        const EncoderLayer& layer = static_cast<const EncoderLayer*>(stack.layers)[index];
        const Residual self{stack, layer.self_norm, hidden_states, num_rows};
        float* qkv = at_least(scratch.projected, num_rows * 3 * width);
        float* heads = at_least(scratch.heads, num_rows * width);
        multiply(layer.qkv, self.enter(), num_rows, NONE, nullptr, qkv);
        for (long source = 0, start = 0; source < sources.num_sources; start += sources.lengths[source++])
            attend_source(stack, qkv + start * 3 * width, sources.lengths[source], sources.bias,
                          sources.bias_row_stride, sources.bias_head_stride, heads + start * width);
        self.leave(layer.out, heads);
        feed_forward(stack, layer.fc1, layer.fc2, layer.ffn_norm, hidden_states, num_rows);
    }
    finish(stack, hidden_states, num_rows);
}

Spans spans_of(long num_rows, long num_tokens) {
    Scratch& scratch = Scratch::of_thread();
    const long size = num_rows * num_spans_of(num_tokens);
    if (static_cast<long>(scratch.token_ids.size()) < size) scratch.token_ids.resize(size);
    return {num_tokens, at_least(scratch.references, size), at_least(scratch.sums, size), at_least(scratch.maxima, size),
            scratch.token_ids.data()};
}

// The rows of a batch that have not ended, side by side, and the input of their next step.
struct LiveRows {
    std::vector<int64_t> rows, token_ids, positions, source_lengths;

    explicit LiveRows(const Step& first)
        : rows(first.num_tokens), token_ids(first.token_ids, first.token_ids + first.num_tokens),
          positions(first.positions, first.positions + first.num_tokens),
          source_lengths(first.source_lengths, first.source_lengths + first.num_tokens) {
        std::iota(rows.begin(), rows.end(), 0);
    }
    // The step that continues `step` after `index` others. Its cross weights are those of the live rows, side by side.
    Step step(Step step, long index) const {
        if (step.cross_weights) step.cross_weights += index * step.num_tokens * step.cross_weights_stride;
        step.num_tokens = static_cast<int64_t>(rows.size());
        step.rows = rows.data();
        step.token_ids = token_ids.data();
        step.positions = positions.data();
        step.source_lengths = source_lengths.data();
        return step;
    }
    // The row at `from` goes on with `token_id`, in place `to`.
    void keep(long from, long to, int64_t token_id) {
        rows[to] = rows[from];
        token_ids[to] = token_id;
        positions[to] = positions[from] + 1;
        source_lengths[to] = source_lengths[from];
    }
};

}  // namespace

extern "C" {

int64_t kakehashi_layout() { return LAYOUT; }
int64_t kakehashi_arithmetic() { return ARITHMETIC; }

void linear_int8(const Linear* linear, const float* inputs, long num_rows, float* outputs) {
    multiply(*linear, inputs, num_rows, NONE, nullptr, outputs);
}

// A block of sources at a time, so that what is in between neither outgrows the processor's caches nor takes more
// memory the more sources there are.
void encode_stack(const Stack* stack, const Embedding* embedding, const Sources* sources) {
    for (long first = 0, start = 0; first < sources->num_sources;) {
        Sources part = *sources;
        part.token_ids += start;
        part.hidden_states += start * stack->d_model;
        part.lengths += first;
        part.num_tokens = part.num_sources = 0;
        do part.num_tokens += part.lengths[part.num_sources++];
        while (first + part.num_sources < sources->num_sources &&
               part.num_tokens + part.lengths[part.num_sources] <= BLOCK_ROWS);
        encode(*stack, *embedding, part);
        first += part.num_sources;
        start += part.num_tokens;
    }
}

// K' and V' of P source tokens, in every layer: hidden states [P, D] -> token p is written to row rows[p] of the cache.
void write_cross_kv(const Linear* projection, const float* hidden_states, long num_tokens, const int64_t* rows,
                    const int64_t* positions, const Cache* cache, long num_layers) {
    const long stride = projection->num_outputs, width = stride / num_layers;
    for (long block = 0; block < num_tokens; block += BLOCK_ROWS) {
        const long size = num_tokens - block < BLOCK_ROWS ? num_tokens - block : BLOCK_ROWS;
        float* projected = at_least(Scratch::of_thread().projected, size * stride);
        multiply(*projection, hidden_states + block * projection->num_inputs, size, NONE, nullptr, projected);
        for (long layer = 0; layer < num_layers; ++layer)
            write_kv(projected + layer * width, stride, width, *cache, layer, rows + block, positions + block, size);
    }
}

// In every layer, K and V of all tokens are written before any token attends.
void decode_stack(const Stack* stack_pointer, const Embedding* embedding, const Step* step_pointer) {
    const Stack& stack = *stack_pointer;
    const Step& step = *step_pointer;
    Scratch& scratch = Scratch::of_thread();
    const long num_tokens = step.num_tokens, width = stack.num_heads * stack.head_dim;
    float* projected = at_least(scratch.projected, num_tokens * 3 * width);
    float* heads = at_least(scratch.heads, num_tokens * width);
    embed(*embedding, step.token_ids, step.positions, num_tokens, stack.d_model, step.hidden_states);
    for (long index = 0; index < stack.num_layers; ++index) {
        const DecoderLayer& layer = static_cast<const DecoderLayer*>(stack.layers)[index];

        const Residual self{stack, layer.self_norm, step.hidden_states, num_tokens};
        multiply(layer.qkv, self.enter(), num_tokens, NONE, nullptr, projected);
        write_kv(projected + width, 3 * width, 2 * width, step.self_kv, index, step.rows, step.positions, num_tokens);
        const CachedAttention self_attention{projected, 3 * width, step.rows, step.self_kv, index,
                                             step.self_bias, nullptr, 0};
        self_attention.run(stack, num_tokens, step.positions, 1, heads);
        self.leave(layer.self_out, heads);

        const Residual cross{stack, layer.cross_norm, step.hidden_states, num_tokens};
        multiply(layer.q, cross.enter(), num_tokens, NONE, nullptr, projected);
        float* weights = index == step.cross_weights_layer ? step.cross_weights : nullptr;
        const CachedAttention cross_attention{projected, width, step.rows, step.cross_kv, index, {},
                                              weights, step.cross_weights_stride};
        cross_attention.run(stack, num_tokens, step.source_lengths, 0, heads);
        cross.leave(layer.cross_out, heads);

        feed_forward(stack, layer.fc1, layer.fc2, layer.ffn_norm, step.hidden_states, num_tokens);
    }
    finish(stack, step.hidden_states, num_tokens);
}

// logits [B, N] -> token ids, their logits and the normalizers [B], and the maximum of each panel [B, C]
void choose(const float* all_logits, long num_rows, long num_tokens, int64_t* token_ids, float* largest,
            float* normalizers, float* maxima) {
    const Spans spans = spans_of(num_rows, num_tokens);
    const long num_panels = num_panels_of(num_tokens);
#pragma omp parallel for if (num_rows > 1)
    for (long row = 0; row < num_rows; ++row) {
        const float* logits = all_logits + row * num_tokens;
        float best = -INFINITY;
        SumOfExp sum;
        for (long panel = 0; panel < num_panels; ++panel) {
            const float* values = logits + panel * PANEL;
            spans.take(row, panel, values, {}, sum, best);
            maxima[row * num_panels + panel] = largest_lane(PanelOfLogits(values, num_tokens - panel * PANEL).largest());
        }
        const Chosen chosen = spans.choose(row);
        token_ids[row] = chosen.token_id;
        largest[row] = chosen.largest;
        normalizers[row] = chosen.normalizer;
    }
}

// If a number of a group is NaN, all of the group's values are NaN.
void top_k_of_groups(const TopK* task_pointer) {
    const TopK& task = *task_pointer;
    for (long group = 0; group < task.num_groups; ++group) {
        const long first = group * task.num_members;
        Best best(task.k);
        if (!Group{task, task.rows + first, task.normalizers + first, task.added + first}.search(best))
            best.all.assign(task.k, {__builtin_nanf(""), 0, 0});
        for (long i = 0; i < task.k; ++i) {
            task.values[group * task.k + i] = best.all[i].value;
            task.members[group * task.k + i] = best.all[i].member;
            task.columns[group * task.k + i] = best.all[i].column;
        }
    }
}

// Cross weights side by side -> each at the place of its row, from the last on, since no row lies before its place.
void spread(const Step& step) {
    const long stride = step.cross_weights_stride;
    for (long i = step.num_tokens - 1; i >= 0; --i)
        std::memmove(step.cross_weights + step.rows[i] * stride, step.cross_weights + i * stride, stride * sizeof(float));
}

// The token chosen in a step is the input of the next. Rows that have ended are not computed any further; their tokens
// are the end token. Returns the number of steps taken.
int64_t decode_ahead(const Stack* stack, const Embedding* embedding, const Step* first, const Ahead* ahead_pointer) {
    const Ahead& ahead = *ahead_pointer;
    const long num_rows = first->num_tokens;
    const Spans spans = spans_of(num_rows, ahead.projection->num_outputs);
    LiveRows live(*first);
    for (long index = 0; index < ahead.num_steps; ++index) {
        const Step step = live.step(*first, index);
        decode_stack(stack, embedding, &step);
        if (step.cross_weights) spread(step);
        if (ahead.scale != 1.0f)
            for (long i = 0; i < step.num_tokens * stack->d_model; ++i) step.hidden_states[i] *= ahead.scale;
        for_each_tile(*ahead.projection, step.hidden_states, step.num_tokens, SPAN_PANELS,
                      TileChoice(ahead, step.rows, index, spans));
        int64_t* token_ids = ahead.token_ids + index * num_rows;
        float* log_probabilities = ahead.log_probabilities + index * num_rows;
        std::fill_n(token_ids, num_rows, ahead.end_token_id);
        std::fill_n(log_probabilities, num_rows, 0.0f);
        long num_live = 0;
        for (long i = 0; i < step.num_tokens; ++i) {
            const Chosen chosen = spans.choose(i);
            const long row = step.rows[i];
            token_ids[row] = chosen.token_id;
            log_probabilities[row] = chosen.largest - chosen.normalizer;
            if (chosen.token_id != ahead.end_token_id) live.keep(i, num_live++, chosen.token_id);
        }
        live.rows.resize(num_live);
        if (num_rows - num_live >= ahead.max_ended) return index + 1;
    }
    return ahead.num_steps;
}

}  // extern "C"
