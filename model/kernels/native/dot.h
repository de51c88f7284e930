// The part that differs by instruction set: four bytes of inputs times four bytes of weights for each of sixteen
// outputs, added up in int32. The sums are exact and therefore equal everywhere. All bytes are within -127 and 127.
#pragma once

#include "vectors.h"

namespace {

#if defined(__AVX512VNNI__) && !defined(KAKEHASHI_SCALAR)
#define KAKEHASHI_DPBUSD _mm512_dpbusd_epi32
typedef __m512i Register;
#elif defined(__AVXVNNI__) && !defined(KAKEHASHI_SCALAR)
#define KAKEHASHI_DPBUSD _mm256_dpbusd_avx_epi32
typedef __m256i Register;
#endif

#if defined(KAKEHASHI_DPBUSD)

// Unsigned by signed bytes: inputs are stored with an offset, whose products with the weights are subtracted later.
constexpr int ZERO_POINT = 128;
constexpr bool FLIPS_WEIGHTS = false;

struct Inputs {
    IntPart quads;

    KAKEHASHI_INLINE explicit Inputs(const uint8_t* bytes) {
        int32_t quad;
        std::memcpy(&quad, bytes, sizeof(quad));
        quads = quad - IntPart{};
    }
    KAKEHASHI_INLINE void add_products(IntPart& sums, IntPart weights) const {
        sums = (IntPart)KAKEHASHI_DPBUSD((Register)sums, (Register)quads, (Register)weights);
    }
};

#elif defined(__AVX2__) && !defined(KAKEHASHI_SCALAR)

constexpr int ZERO_POINT = 0;
constexpr bool FLIPS_WEIGHTS = true;

// Unsigned by signed bytes in pairs, which stay within int16: |x| times w with the sign of x. A negative x flips all
// bits of w, to -w - 1, so the sums lack |x|, which is added later.
struct Inputs {
    __m256i magnitudes, flips;

    KAKEHASHI_INLINE explicit Inputs(const uint8_t* bytes) {
        int32_t quad;
        std::memcpy(&quad, bytes, sizeof(quad));
        const __m256i quads = _mm256_set1_epi32(quad);
        magnitudes = _mm256_abs_epi8(quads);
        flips = _mm256_cmpgt_epi8(magnitudes, quads);
    }
    KAKEHASHI_INLINE void add_products(IntPart& sums, IntPart weights) const {
        const __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_xor_si256((__m256i)weights, flips));
        sums += (IntPart)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
};

#elif defined(__ARM_FEATURE_DOTPROD) && !defined(KAKEHASHI_SCALAR)

constexpr int ZERO_POINT = 0;
constexpr bool FLIPS_WEIGHTS = false;

struct Inputs {
    int8x16_t quads;

    KAKEHASHI_INLINE explicit Inputs(const uint8_t* bytes) {
        int32_t quad;
        std::memcpy(&quad, bytes, sizeof(quad));
        quads = vreinterpretq_s8_s32(vdupq_n_s32(quad));
    }
    KAKEHASHI_INLINE void add_products(IntPart& sums, IntPart weights) const {
        sums = vdotq_s32(sums, vreinterpretq_s8_s32(weights), quads);
    }
};

#else

constexpr int ZERO_POINT = 0;
constexpr bool FLIPS_WEIGHTS = false;

// One output in plain arithmetic: the oracle of the tests.
struct Inputs {
    int8_t quad[4];

    explicit Inputs(const uint8_t* bytes) { std::memcpy(quad, bytes, sizeof(quad)); }
    void add_products(IntPart& sums, IntPart weights) const {
        int8_t bytes[4];
        std::memcpy(bytes, &weights, sizeof(bytes));
        for (int i = 0; i < 4; ++i) sums[0] += quad[i] * bytes[i];
    }
};

#endif

}  // namespace
