// Chooses tokens from logits: stored ones, or tiles of them as they come out of the output projection. Both give the
// same bits, because exp(logit) is summed over each span of tokens and then over the spans of a row, in one order.
// Shapes: B rows, K inputs, N tokens, S spans.
#pragma once

#include <algorithm>
#include <vector>

#include "linear.h"

namespace {

constexpr long SPAN_PANELS = 8;  // panels of a span, which one thread takes
constexpr float HEADROOM = 60.0f;  // exp(HEADROOM), summed over a vocabulary, is far from infinite

inline long num_panels_of(long num_outputs) { return (num_outputs + PANEL - 1) / PANEL; }
inline long num_spans_of(long num_outputs) { return (num_panels_of(num_outputs) + SPAN_PANELS - 1) / SPAN_PANELS; }

// The logits of a panel of one row, padded with -inf.
struct PanelOfLogits {
    Floats parts[PANEL_PARTS];

    KAKEHASHI_INLINE PanelOfLogits(const float* logits, long count) {
#pragma GCC unroll 4
        for (long i = 0; i < PANEL_PARTS; ++i) parts[i] = load(logits + i * LANES, count - i * LANES, -INFINITY);
    }
    // The largest logit of each lane; NaN is skipped.
    KAKEHASHI_INLINE Floats largest() const {
        Floats result = splat(-INFINITY);
#pragma GCC unroll 4
        for (const Floats& part : parts) result = larger(part, result);
        return result;
    }
};

// The sum of exp(logit - reference) of a row over a span. The reference is the largest logit of a panel. It is
// raised when another panel's is more than HEADROOM above it. The sum is NaN if a logit is NaN or +inf.
struct SumOfExp {
    float reference;
    Floats sums;

    KAKEHASHI_INLINE void start() {
        reference = -LARGEST;
        sums = splat(0.0f);
    }
    KAKEHASHI_INLINE void add(const PanelOfLogits& panel, Floats largest) {
        if (is_any_above(largest, reference + HEADROOM)) {
            const float raised = largest_lane(largest);
            sums = sums * exp(splat(reference) - splat(raised));
            reference = raised;
        }
#pragma GCC unroll 4
        for (const Floats& part : panel.parts) sums = sums + exp(part - splat(reference));
    }
};

// Sorted ids of tokens that are never chosen. Their logits still count in the normalizer.
struct Forbidden {
    const int64_t *begin, *end;

    Forbidden within(int64_t first, int64_t stop) const {
        const int64_t* from = std::lower_bound(begin, end, first);
        return {from, std::lower_bound(from, end, stop)};
    }
};

struct Chosen {
    int64_t token_id;
    float largest, normalizer;  // its logit, and log(sum(exp(logits)))
};

// The results of the spans of some rows. Every array is [B, S].
struct Spans {
    long num_tokens;
    float *references, *sums;
    float* maxima;       // the largest logit of the tokens that may be chosen, if above all spans before, or else -inf
    int64_t* token_ids;  // the first token with that logit, set only if it is above all spans before

    // Takes the next panel of logits of a row's span. `best` is the largest logit so far that may be chosen.
    KAKEHASHI_INLINE void take(long row, long panel, const float* logits, Forbidden forbidden, SumOfExp& sum,
                               float& best) const {
        const long first = panel * PANEL, count = num_tokens - first < PANEL ? num_tokens - first : PANEL;
        const long at = row * num_spans_of(num_tokens) + panel / SPAN_PANELS;
        const bool is_first = panel % SPAN_PANELS == 0;
        const bool is_last = panel % SPAN_PANELS == SPAN_PANELS - 1 || first + PANEL >= num_tokens;
        const PanelOfLogits values(logits, count);
        const Floats largest = values.largest();
        if (is_first) {
            sum.start();
            maxima[at] = -INFINITY;
        }
        sum.add(values, largest);
        if (is_any_above(largest, best)) find(first, count, logits, forbidden, at, best);
        if (is_last) {
            references[at] = sum.reference;
            sums[at] = ::sum(sum.sums);
        }
    }

    // Chooses the token of a row, once all of its panels were taken.
    Chosen choose(long row) const {
        const long num_spans = num_spans_of(num_tokens), start = row * num_spans;
        Floats references_of_lanes = splat(-INFINITY), total = splat(0.0f);
        for (long i = 0; i < num_spans; i += LANES)
            references_of_lanes = larger(load(references + start + i, num_spans - i, -INFINITY), references_of_lanes);
        const float reference = largest_lane(references_of_lanes);
        for (long i = 0; i < num_spans; i += LANES) {
            const Floats scales = exp(load(references + start + i, num_spans - i, -INFINITY) - splat(reference));
            total = fma(scales, load(sums + start + i, num_spans - i), total);
        }
        const float normalizer = reference + log_of(::sum(total));
        const long best = std::max_element(maxima + start, maxima + start + num_spans) - maxima;
        return {maxima[best] > -INFINITY ? token_ids[best] : 0, maxima[best], normalizer};
    }

  private:
    // Rarely called: few panels have a logit above all those before.
    __attribute__((noinline)) void find(long first, long count, const float* logits, Forbidden forbidden, long at,
                                        float& best) const {
        const Forbidden own = forbidden.within(first, first + count);
        float allowed[PANEL];
        std::copy_n(logits, count, allowed);
        for (const int64_t* each = own.begin; each < own.end; ++each) allowed[*each - first] = -INFINITY;
        for (long i = 0; i < count; ++i)
            if (allowed[i] > best) {
                best = maxima[at] = allowed[i];
                token_ids[at] = first + i;
            }
    }
};

// Computes the logits of inputs [B, K] tile by tile, and adds them to `spans`. Every thread has its own copy.
struct TileChoice {
    const Ahead& ahead;
    const int64_t* rows;  // of the ahead's B rows, those to choose for
    const long step;
    const Spans& spans;
    const Forbidden forbidden, forbidden_if_short;
    float best[BLOCK_ROWS];
    SumOfExp sums[BLOCK_ROWS];

    TileChoice(const Ahead& ahead, const int64_t* rows, long step, const Spans& spans)
        : ahead(ahead), rows(rows), step(step), spans(spans), forbidden{ahead.forbidden, ahead.forbidden + ahead.num_forbidden},
          forbidden_if_short{ahead.forbidden_if_short, ahead.forbidden_if_short + ahead.num_forbidden_if_short} {
        std::fill_n(best, BLOCK_ROWS, -INFINITY);
    }
    void operator()(const Tile& tile) {
        float logits[TILE_ROWS * PANEL];
        multiply_tile(*ahead.projection, tile, {NONE, nullptr, logits, PANEL});
        for (long i = 0; i < tile.num_rows; ++i) {
            const long row = tile.row + i;
            const bool is_short = step < ahead.num_short_steps[rows[tile.block + row]];
            const Forbidden& own = is_short ? forbidden_if_short : forbidden;
            spans.take(tile.block + row, tile.panel, logits + i * PANEL, own, sums[row], best[row]);
        }
    }
};

}  // namespace
