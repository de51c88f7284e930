// Attention of some queries over the tokens of a row, in the encoder and over the caches.
// Shapes: B rows, Q queries, H heads, d head size, C tokens, S source tokens.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "structs.h"
#include "vectors.h"

namespace {

constexpr long AHEAD_TOKENS = 4;  // prefetch distance: with caches in main memory, attention is 3.5 times as fast

// softmax of scores [C] (+ bias [C] or none), in place. NaN if a score is not finite, -inf included.
void softmax(float* scores, long num_tokens, const float* bias) {
    Floats largest = splat(-LARGEST), total = splat(0.0f);
    Bits magnitude = {};
    for (long i = 0; i < num_tokens; i += LANES) {
        Floats x = load(scores + i, num_tokens - i, -LARGEST);
        if (bias) x = x + load(bias + i, num_tokens - i);
        store(scores + i, x, num_tokens - i);
        largest = larger(x, largest);
        magnitude = larger(absolute(x), magnitude);
    }
    const Floats max = splat(largest_lane(largest));
    for (long i = 0; i < num_tokens; i += LANES) {
        const Floats e = exp(load(scores + i, num_tokens - i, -INFINITY) - max);
        store(scores + i, e, num_tokens - i);
        total = total + e;
    }
    const Floats inverse = splat(largest_lane(magnitude) <= LARGEST ? 1.0f / sum(total) : __builtin_nanf(""));
    for (long i = 0; i < num_tokens; i += LANES)
        store(scores + i, load(scores + i, num_tokens - i) * inverse, num_tokens - i);
}

// K and V of a row's tokens, each [2, H, d].
template <typename T>
struct Tokens {
    const T* values;
    int64_t token_stride, row_stride;
    const int32_t* indirection;

    const T* at(long token) const {
        return values + token * token_stride + (indirection ? indirection[token] * row_stride : 0);
    }

    // Inline, because GCC drops calls of a function that only prefetches.
    __attribute__((always_inline)) void prefetch(long token, long size) const {
        if (sizeof(T) != sizeof(uint16_t)) return;  // float32 was computed just now
        const char* start = reinterpret_cast<const char*>(at(token));
        for (long i = 0; i < size * static_cast<long>(sizeof(T)); i += 64) __builtin_prefetch(start + i, 0, 2);
    }
};

constexpr long GROUP = 4;  // tokens (for scores) or vectors of a head (for weighted sums) computed side by side

inline long scores_stride(long num_tokens) { return (num_tokens + LANES - 1) / LANES * LANES; }

// Attention of several queries over the same tokens, side by side, so that K and V are loaded once for all. A query's
// result does not depend on the others. scores [Q, H, C] end up as attention weights.
template <typename T, int QUERIES>
struct Attention {
    const Stack& stack;
    const float* q;  // [Q, H, d]
    long q_stride;
    const Tokens<T>& tokens;
    long num_tokens;
    float* scores;
    float* outputs;  // [Q, H, d], dense

    long width() const { return stack.num_heads * stack.head_dim; }
    float* row(long query, long head) const {
        return scores + (query * stack.num_heads + head) * scores_stride(num_tokens);
    }

    // QK^T, scaled.
    void score() const {
        for (long token = 0; token < num_tokens; token += GROUP) {
            const T* k[GROUP];
            for (long i = 0; i < GROUP; ++i) {
                k[i] = tokens.at(token + i < num_tokens ? token + i : num_tokens - 1);
                if (token + i + AHEAD_TOKENS < num_tokens) tokens.prefetch(token + i + AHEAD_TOKENS, 2 * width());
            }
            for (long head = 0; head < stack.num_heads; ++head) {
                Floats sums[QUERIES][GROUP];
#pragma GCC unroll 4
                for (int query = 0; query < QUERIES; ++query)
#pragma GCC unroll 4
                    for (long j = 0; j < GROUP; ++j) sums[query][j] = splat(0.0f);
                for (long i = 0; i < stack.head_dim; i += LANES) {
                    const long at = head * stack.head_dim + i;
                    const Lanes left(stack.head_dim - i);
                    Floats keys[GROUP];
#pragma GCC unroll 4
                    for (long j = 0; j < GROUP; ++j) keys[j] = load(k[j] + at, left);
#pragma GCC unroll 4
                    for (int query = 0; query < QUERIES; ++query) {
                        const Floats x = load(q + query * q_stride + at, left);
#pragma GCC unroll 4
                        for (long j = 0; j < GROUP; ++j) sums[query][j] = fma(x, keys[j], sums[query][j]);
                    }
                }
#pragma GCC unroll 4
                for (int query = 0; query < QUERIES; ++query) {
                    const Floats* s = sums[query];
                    store_sums(row(query, head) + token, s[0], s[1], s[2], s[3], stack.scale);
                }
            }
        }
    }

    // The attention weights times V.
    void weigh() const {
        for (long head = 0; head < stack.num_heads; ++head)
            for (long start = 0; start < stack.head_dim; start += GROUP * LANES) {
                const long at = head * stack.head_dim + start;
                Lanes left[GROUP];
                Floats sums[QUERIES][GROUP];
#pragma GCC unroll 4
                for (long i = 0; i < GROUP; ++i) {
                    left[i] = Lanes(stack.head_dim - start - i * LANES);
#pragma GCC unroll 4
                    for (int query = 0; query < QUERIES; ++query) sums[query][i] = splat(0.0f);
                }
                for (long token = 0; token < num_tokens; ++token) {
                    const T* v = tokens.at(token) + width() + at;
                    Floats values[GROUP];
#pragma GCC unroll 4
                    for (long i = 0; i < GROUP; ++i) values[i] = load(v + i * LANES, left[i]);
#pragma GCC unroll 4
                    for (int query = 0; query < QUERIES; ++query) {
                        const Floats weight = splat(row(query, head)[token]);
#pragma GCC unroll 4
                        for (long i = 0; i < GROUP; ++i)
                            sums[query][i] = fma(weight, values[i], sums[query][i]);
                    }
                }
#pragma GCC unroll 4
                for (int query = 0; query < QUERIES; ++query)
#pragma GCC unroll 4
                    for (long i = 0; i < GROUP; ++i)
                        store(outputs + query * width() + at + i * LANES, sums[query][i], left[i]);
            }
    }

    // `bias` [Q, H, C] or none is added to the scores.
    void run(const float* bias, long bias_query_stride, long bias_head_stride) const {
        score();
        for (int query = 0; query < QUERIES; ++query)
            for (long head = 0; head < stack.num_heads; ++head) {
                const float* added = bias ? bias + query * bias_query_stride + head * bias_head_stride : nullptr;
                softmax(row(query, head), num_tokens, added);
            }
        weigh();
    }
};

// The intermediate results of a stack; they stay allocated.
struct Scratch {
    std::vector<float> normed, projected, heads, hidden, gated, scores, references, sums, maxima;
    std::vector<int64_t> positions, token_ids;

    static Scratch& of_thread() {
        static thread_local Scratch scratch;
        return scratch;
    }
};

float* at_least(std::vector<float>& values, long size) {
    if (static_cast<long>(values.size()) < size) values.resize(size);
    return values.data();
}

// Cached attention of P queries. The p-th is at q + p * q_stride and attends over the first lengths[p] + added tokens
// of row rows[p], or of row p without `rows`. `weights` [P, S], or none, receives the mean over the heads, and zeros
// past those tokens.
struct CachedAttention {
    const float* q;
    int64_t q_stride;
    const int64_t* rows;
    const Cache& cache;
    long layer;
    Bias bias;
    float* weights;
    int64_t weights_stride;

    Tokens<uint16_t> tokens_of(long query, long width) const {
        const long row = rows ? rows[query] : query;
        const int32_t* indirection = cache.indirection ? cache.indirection + row * cache.indirection_stride : nullptr;
        const long first = indirection ? 0 : cache.shared ? cache.shared[row] : row;
        return {cache.kv + layer * cache.layer_stride + first * cache.row_stride, 2 * width, cache.row_stride, indirection};
    }

    void run(const Stack& stack, long num_queries, const int64_t* lengths, long added, float* outputs) const {
        const long num_heads = stack.num_heads, width = num_heads * stack.head_dim;
#pragma omp parallel for if (num_queries > 1)
        for (long query = 0; query < num_queries; ++query) {
            const long num_tokens = lengths[query] + added;
            const Tokens<uint16_t> tokens = tokens_of(query, width);
            float* scores = at_least(Scratch::of_thread().scores, num_heads * scores_stride(num_tokens));
            const float* nearest = bias.values ? bias.values + bias.num_positions - num_tokens : nullptr;
            if (query + 1 < num_queries)
                for (long token = 0; token < AHEAD_TOKENS && token < lengths[query + 1] + added; ++token)
                    tokens_of(query + 1, width).prefetch(token, 2 * width);
            float* target = outputs + query * width;
            Attention<uint16_t, 1>{stack, q + query * q_stride, 0, tokens, num_tokens, scores, target}.run(
                nearest, 0, bias.num_positions);
            if (weights) average(scores, num_heads, num_tokens, weights + query * weights_stride);
        }
    }

    void average(const float* scores, long num_heads, long num_tokens, float* mean) const {
        std::memset(mean, 0, weights_stride * sizeof(float));
        for (long head = 0; head < num_heads; ++head)
            for (long token = 0; token < num_tokens; ++token)
                mean[token] += scores[head * scores_stride(num_tokens) + token] / static_cast<float>(num_heads);
    }
};

// Attention of all queries of a source over all its tokens: qkv [S, 3, H, d] -> outputs [S, H, d].
void attend_source(const Stack& stack, const float* qkv, long num_tokens, const float* bias, long bias_row_stride,
                   long bias_head_stride, float* outputs) {
    const long width = stack.num_heads * stack.head_dim, num_whole = num_tokens / GROUP;
    const Tokens<float> tokens{qkv + width, 3 * width, 0, nullptr};
#pragma omp parallel for if (num_whole > 1)
    for (long group = 0; group < num_whole + num_tokens % GROUP; ++group) {
        const long query = group < num_whole ? group * GROUP : num_whole * GROUP + group - num_whole;
        const float* q = qkv + query * 3 * width;
        const float* added = bias ? bias + query * bias_row_stride : nullptr;
        float* scores = at_least(Scratch::of_thread().scores, GROUP * stack.num_heads * scores_stride(num_tokens));
        float* target = outputs + query * width;
        if (group < num_whole)
            Attention<float, GROUP>{stack, q, 3 * width, tokens, num_tokens, scores, target}.run(added, bias_row_stride,
                                                                                                 bias_head_stride);
        else
            Attention<float, 1>{stack, q, 0, tokens, num_tokens, scores, target}.run(added, 0, bias_head_stride);
    }
}

// Writes K and V of P new tokens, values [P, 2 H d], to their rows and positions in the cache.
void write_kv(const float* values, long stride, long width, const Cache& cache, long layer, const int64_t* rows,
              const int64_t* positions, long num_tokens) {
    for (long token = 0; token < num_tokens; ++token) {
        const long row = rows ? rows[token] : token, position = positions[token];
        if (cache.indirection) cache.indirection[row * cache.indirection_stride + position] = static_cast<int32_t>(row);
        uint16_t* target = cache.kv + layer * cache.layer_stride + row * cache.row_stride + position * width;
        for (long i = 0; i < width; i += LANES)
            store(target + i, load(values + token * stride + i, width - i), width - i);
    }
}

}  // namespace
