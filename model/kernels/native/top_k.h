// Finds the largest scores over several rows together. Panels whose maximum is too small are skipped.
// Shapes: G groups, n rows a group, N columns, C panels.
#pragma once

#include <vector>

#include "choice.h"

namespace {

struct Candidate {
    float value;
    int64_t member, column;
};

// The k largest candidates so far, in descending order. Among equal values the first to come stay first.
struct Best {
    std::vector<Candidate> all;
    long k;

    explicit Best(long k) : k(k) { all.reserve(k + 1); }
    bool is_full() const { return static_cast<long>(all.size()) == k; }
    bool takes(float value) const { return !is_full() || value > all.back().value; }
    void add(const Candidate& candidate) {
        const auto is_above = [](float value, const Candidate& other) { return value > other.value; };
        all.insert(std::upper_bound(all.begin(), all.end(), candidate.value, is_above), candidate);
        if (static_cast<long>(all.size()) > k) all.pop_back();
    }
};

// The rows of scores of a group. `normalizers` and `added` have a value for each member.
struct Group {
    const TopK& task;
    const int64_t* rows;
    const float *normalizers, *added;

    // Rounding preserves order, so the maximum of a panel decides whether it is searched. Returns false if a number is
    // NaN.
    bool search(Best& best) const {
        const long num_panels = num_panels_of(task.num_columns);
        Bits magnitude = {};
        for (long member = 0; member < task.num_members; ++member) {
            const float* scores = task.scores + rows[member] * task.num_columns;
            const float* maxima = task.maxima + rows[member] * num_panels;
            each_that_counts(maxima, num_panels, member, best, magnitude, [&](long panel, float) {
                const long first = panel * PANEL, left = task.num_columns - first;
                each_that_counts(scores + first, left < PANEL ? left : PANEL, member, best, magnitude,
                                 [&](long column, float value) { best.add({value, member, first + column}); });
            });
        }
        return largest_lane(magnitude) <= INFINITY;
    }

  private:
    // Calls `take` with the index and the value of every score above the last of the best. `magnitude` becomes NaN if a
    // value is NaN.
    template <typename Take>
    void each_that_counts(const float* scores, long count, long member, const Best& best, Bits& magnitude,
                          const Take& take) const {
        for (long i = 0; i < count; i += LANES) {
            const Floats x = load(scores + i, count - i, -INFINITY);
            const Floats values = (x - splat(normalizers[member])) + splat(added[member]);
            magnitude = larger(absolute(values), magnitude);
            if (best.is_full() && !is_any_above(values, best.all.back().value)) continue;
            float lanes[LANES];
            store(lanes, values, LANES);
            for (long lane = 0; lane < LANES && i + lane < count; ++lane)
                if (best.takes(lanes[lane])) take(i + lane, lanes[lane]);
        }
    }
};

}  // namespace
