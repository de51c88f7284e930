// Sixteen virtual lanes of 32-bit numbers on registers of any size: the same operations in the same order, and so the
// same bits, on every processor. Compile with -ffp-contract=off, so that the compiler fuses nothing by itself.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

constexpr long LANES = 16;
#if defined(KAKEHASHI_SCALAR)
constexpr long PART_LANES = 1;  // of a register
#elif defined(__AVX512F__)
constexpr long PART_LANES = 16;
#elif defined(__AVX2__)
constexpr long PART_LANES = 8;
#else
constexpr long PART_LANES = 4;
#endif
constexpr long PARTS = LANES / PART_LANES;

typedef float Part __attribute__((vector_size(PART_LANES * 4)));
typedef int32_t IntPart __attribute__((vector_size(PART_LANES * 4)));
typedef uint32_t BitPart __attribute__((vector_size(PART_LANES * 4)));
typedef uint16_t ShortPart __attribute__((vector_size(PART_LANES * 2)));
typedef uint8_t BytePart __attribute__((vector_size(PART_LANES)));

// The same at any address.
typedef float LoosePart __attribute__((vector_size(PART_LANES * 4), aligned(4), may_alias));
typedef int32_t LooseIntPart __attribute__((vector_size(PART_LANES * 4), aligned(1), may_alias));
typedef uint16_t LooseShortPart __attribute__((vector_size(PART_LANES * 2), aligned(2), may_alias));
typedef uint8_t LooseBytePart __attribute__((vector_size(PART_LANES), aligned(1), may_alias));

struct Floats {
    Part parts[PARTS];
};

struct Ints {
    IntPart parts[PARTS];
};

struct Bits {
    BitPart parts[PARTS];
};

#if defined(KAKEHASHI_SCALAR)  // unrolling this one would take a minute to compile
#define KAKEHASHI_INLINE inline
#define KAKEHASHI_EACH_PART for (long part = 0; part < PARTS; ++part)
#else
#define KAKEHASHI_INLINE inline __attribute__((always_inline))
#define KAKEHASHI_EACH_PART _Pragma("GCC unroll 4") for (long part = 0; part < PARTS; ++part)
#endif

KAKEHASHI_INLINE Floats splat(float value) {
    Floats result;
    KAKEHASHI_EACH_PART result.parts[part] = value - Part{};
    return result;
}

KAKEHASHI_INLINE Floats operator+(Floats a, Floats b) {
    KAKEHASHI_EACH_PART a.parts[part] += b.parts[part];
    return a;
}

KAKEHASHI_INLINE Floats operator-(Floats a, Floats b) {
    KAKEHASHI_EACH_PART a.parts[part] -= b.parts[part];
    return a;
}

KAKEHASHI_INLINE Floats operator*(Floats a, Floats b) {
    KAKEHASHI_EACH_PART a.parts[part] *= b.parts[part];
    return a;
}

KAKEHASHI_INLINE Floats operator/(Floats a, Floats b) {
    KAKEHASHI_EACH_PART a.parts[part] /= b.parts[part];
    return a;
}

// a * b + c, rounded once.
KAKEHASHI_INLINE Floats fma(Floats a, Floats b, Floats c) {
    KAKEHASHI_EACH_PART {
#if defined(KAKEHASHI_SCALAR)
        c.parts[part] = Part{__builtin_fmaf(a.parts[part][0], b.parts[part][0], c.parts[part][0])};
#elif defined(__AVX512F__)
        c.parts[part] = _mm512_fmadd_ps(a.parts[part], b.parts[part], c.parts[part]);
#elif defined(__AVX2__)
        c.parts[part] = _mm256_fmadd_ps(a.parts[part], b.parts[part], c.parts[part]);
#else
        c.parts[part] = vfmaq_f32(c.parts[part], a.parts[part], b.parts[part]);
#endif
    }
    return c;
}

// a where a > b, else b, which keeps a NaN in b.
KAKEHASHI_INLINE Part larger(Part a, Part b) {
#if defined(KAKEHASHI_SCALAR)
    return a > b ? a : b;
#elif defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#else
    return a > b ? a : b;
#endif
}

KAKEHASHI_INLINE Floats larger(Floats a, Floats b) {
    KAKEHASHI_EACH_PART b.parts[part] = larger(a.parts[part], b.parts[part]);
    return b;
}

// `yes` where a < b, else `no`.
KAKEHASHI_INLINE Floats where_less(Floats a, Floats b, Floats yes, Floats no) {
    KAKEHASHI_EACH_PART no.parts[part] = a.parts[part] < b.parts[part] ? yes.parts[part] : no.parts[part];
    return no;
}

KAKEHASHI_INLINE Bits bits_of(Floats values) {
    Bits result;
    KAKEHASHI_EACH_PART result.parts[part] = (BitPart)values.parts[part];
    return result;
}

KAKEHASHI_INLINE Floats floats_of(Bits bits) {
    Floats result;
    KAKEHASHI_EACH_PART result.parts[part] = (Part)bits.parts[part];
    return result;
}

KAKEHASHI_INLINE Bits absolute(Floats values) {
    Bits bits = bits_of(values);
    KAKEHASHI_EACH_PART bits.parts[part] &= 0x7fffffff;
    return bits;
}

constexpr float LARGEST = 3.4028234663852886e38f;  // finite number

// 1.5 * 2^23: added to a number below 2^22 it leaves the nearest integer, the even one half-way, in the lowest bits.
constexpr float ROUNDING = 12582912.0f;

// Lanes are summed in one fixed tree: first the second half is added to the first, then in each group of four lanes the
// upper two to the lower two and the second to the first, and finally the two groups.
#if defined(__AVX2__) && !defined(KAKEHASHI_SCALAR)
KAKEHASHI_INLINE __m256 half_sum(Floats x) {
#if defined(__AVX512F__)
    return _mm256_add_ps(_mm512_castps512_ps256(x.parts[0]), _mm512_extractf32x8_ps(x.parts[0], 1));
#else
    return _mm256_add_ps(x.parts[0], x.parts[1]);
#endif
}

// The sums of four vectors.
KAKEHASHI_INLINE void store_sums(float* sums, Floats a, Floats b, Floats c, Floats d, float scale) {
    const __m256 ha = half_sum(a), hb = half_sum(b), hc = half_sum(c), hd = half_sum(d);
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(ha, hb), _mm256_unpackhi_ps(ha, hb));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(hc, hd), _mm256_unpackhi_ps(hc, hd));
    const __m256 fours = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    const __m128 all = _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
    _mm_storeu_ps(sums, _mm_mul_ps(all, _mm_set1_ps(scale)));
}
#else
typedef float Quad __attribute__((vector_size(16)));
typedef int32_t QuadIndex __attribute__((vector_size(16)));

// The sums of four lanes of each of four vectors.
KAKEHASHI_INLINE Quad quad_sums(Quad a, Quad b, Quad c, Quad d) {
    const QuadIndex low{0, 4, 1, 5}, high{2, 6, 3, 7}, first{0, 1, 4, 5}, second{2, 3, 6, 7};
    const Quad ab = __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
    const Quad cd = __builtin_shuffle(c, d, low) + __builtin_shuffle(c, d, high);
    return __builtin_shuffle(ab, cd, first) + __builtin_shuffle(ab, cd, second);
}

KAKEHASHI_INLINE void store_sums(float* sums, Floats a, Floats b, Floats c, Floats d, float scale) {
    Quad quads[4][4];
    std::memcpy(quads[0], a.parts, sizeof(a));
    std::memcpy(quads[1], b.parts, sizeof(b));
    std::memcpy(quads[2], c.parts, sizeof(c));
    std::memcpy(quads[3], d.parts, sizeof(d));
    for (auto& each : quads) each[0] += each[2], each[1] += each[3];
    const Quad all = quad_sums(quads[0][0], quads[1][0], quads[2][0], quads[3][0]) +
                     quad_sums(quads[0][1], quads[1][1], quads[2][1], quads[3][1]);
    const Quad scaled = all * scale;
    std::memcpy(sums, &scaled, sizeof(scaled));
}
#endif

KAKEHASHI_INLINE float sum(Floats x) {
    float sums[4];
    store_sums(sums, x, x, x, x, 1.0f);
    return sums[0];
}

// The largest of the bits of numbers without their sign; NaN has the largest bits.
KAKEHASHI_INLINE Bits larger(Bits a, Bits b) {
    KAKEHASHI_EACH_PART b.parts[part] = a.parts[part] > b.parts[part] ? a.parts[part] : b.parts[part];
    return b;
}

// Like `sum`, with `larger` in place of the addition.
#if defined(__AVX2__) && !defined(KAKEHASHI_SCALAR)
KAKEHASHI_INLINE float largest_lane(Floats x) {
#if defined(__AVX512F__)
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x.parts[0]), _mm512_extractf32x8_ps(x.parts[0], 1));
#else
    const __m256 half = _mm256_max_ps(x.parts[0], x.parts[1]);
#endif
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

KAKEHASHI_INLINE float largest_lane(Bits x) {
#if defined(__AVX512F__)
    const __m512i all = (__m512i)x.parts[0];
    const __m256i half = _mm256_max_epu32(_mm512_castsi512_si256(all), _mm512_extracti32x8_epi32(all, 1));
#else
    const __m256i half = _mm256_max_epu32((__m256i)x.parts[0], (__m256i)x.parts[1]);
#endif
    const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xee));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epu32(two, _mm_shuffle_epi32(two, 0x55))));
}
#else
template <typename Lane, typename Vector>
KAKEHASHI_INLINE Lane largest_of(const Vector& x) {
    Lane lanes[LANES];
    std::memcpy(lanes, x.parts, sizeof(lanes));
    for (long half = LANES / 2; half; half /= 2)
        for (long i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

KAKEHASHI_INLINE float largest_lane(Floats x) { return largest_of<float>(x); }

KAKEHASHI_INLINE float largest_lane(Bits x) {
    const uint32_t bits = largest_of<uint32_t>(x);
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}
#endif

// Whether any lane is above the value. NaN is not.
KAKEHASHI_INLINE bool is_any_above(Floats x, float value) {
#if defined(__AVX512F__) && !defined(KAKEHASHI_SCALAR)
    return _mm512_cmp_ps_mask(x.parts[0], _mm512_set1_ps(value), _CMP_GT_OQ) != 0;
#elif defined(__AVX2__) && !defined(KAKEHASHI_SCALAR)
    return _mm256_movemask_ps((__m256)((x.parts[0] > value) | (x.parts[1] > value))) != 0;
#else
    return largest_lane(x) > value;
#endif
}

// exp of numbers up to 88 to about 2 units in the last place, and exp(-80) below -80: 2^n * e^r with |r| <= ln(2)/2, and
// e^r as the polynomial 1 + r + ... of degree 5 with the smallest relative error.
KAKEHASHI_INLINE Floats exp(Floats x) {
    const Floats clamped = larger(splat(-80.0f), x);
    const Floats shifted = fma(clamped, splat(1.44269504088896341f), splat(ROUNDING));
    const Floats r = fma(shifted - splat(ROUNDING), splat(-0.693147180559945309f), clamped);
    Floats p = splat(8.3125205215e-3f);
    p = fma(p, r, splat(4.1890157962e-2f));
    p = fma(p, r, splat(1.6667114650e-1f));
    p = fma(p, r, splat(4.9999231487e-1f));
    p = fma(p, r, splat(1.0f));
    p = fma(p, r, splat(1.0f));
    Bits scale = bits_of(shifted);
    KAKEHASHI_EACH_PART scale.parts[part] = (scale.parts[part] << 23) + 0x3f800000;
    return p * floats_of(scale);
}

// log of a positive number to about 1 unit in the last place, NaN for a number that is not finite (Cephes, logf).
inline float log_of(float x) {
    if (!(x <= LARGEST)) return x - x;
    int32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    int32_t exponent = (bits >> 23) - 126;
    bits = (bits & 0x7fffff) | 0x3f000000;
    std::memcpy(&x, &bits, sizeof(x));  // in [0.5, 1)
    if (x < 0.707106781186547524f) {
        exponent -= 1;
        x += x;
    }
    x -= 1.0f;
    const float n = static_cast<float>(exponent), square = x * x;
    float p = 7.0376836292e-2f;
    p = __builtin_fmaf(p, x, -1.1514610310e-1f);
    p = __builtin_fmaf(p, x, 1.1676998740e-1f);
    p = __builtin_fmaf(p, x, -1.2420140846e-1f);
    p = __builtin_fmaf(p, x, 1.4249322787e-1f);
    p = __builtin_fmaf(p, x, -1.6668057665e-1f);
    p = __builtin_fmaf(p, x, 2.0000714765e-1f);
    p = __builtin_fmaf(p, x, -2.4999993993e-1f);
    p = __builtin_fmaf(p, x, 3.3333331174e-1f);
    float y = p * x * square;
    y = __builtin_fmaf(n, -2.12194440e-4f, y);
    y = __builtin_fmaf(square, -0.5f, y);
    return __builtin_fmaf(n, 0.693359375f, x + y);
}

KAKEHASHI_INLINE Floats sigmoid(Floats x) {
    const Floats lowest = splat(-88.0f);
    return splat(1.0f) / (splat(1.0f) + exp(splat(0.0f) - larger(lowest, x)));
}

// erf to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
KAKEHASHI_INLINE Floats erf(Floats x) {
    const Floats a = floats_of(absolute(x));
    const Floats t = splat(1.0f) / fma(a, splat(0.3275911f), splat(1.0f));
    Floats p = splat(1.061405429f);
    p = fma(p, t, splat(-1.453152027f));
    p = fma(p, t, splat(1.421413741f));
    p = fma(p, t, splat(-0.284496736f));
    p = fma(p, t, splat(0.254829592f));
    const Floats result = fma(splat(0.0f) - p * t, exp(splat(0.0f) - a * a), splat(1.0f));
    return where_less(x, splat(0.0f), splat(0.0f) - result, result);
}

enum Activation { NONE, RELU, SILU, GELU, GELU_TANH };

KAKEHASHI_INLINE Floats activated(Floats x, int activation) {
    switch (activation) {
        case RELU: return larger(splat(0.0f), x) + (x - x);  // x - x makes -inf NaN
        case SILU: return x * sigmoid(x);
        case GELU: {
            const Floats half = x * splat(0.5f);
            return fma(half, erf(x * splat(0.70710678118654752f)), half);
        }
        case GELU_TANH: {  // 0.5 x (1 + tanh(u)) is x sigmoid(2u)
            const Floats u = fma(x * x * x, splat(0.044715f), x) * splat(2 * 0.79788456080286536f);
            return x * sigmoid(u);
        }
        default: return x;
    }
}

// The first `count` of sixteen lanes, none if it is below 1.
struct Lanes {
#if defined(__AVX512F__) && !defined(KAKEHASHI_SCALAR)
    __mmask16 mask;

    Lanes() = default;
    KAKEHASHI_INLINE Lanes(long count)
        : mask(count >= LANES ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1)) {}
#else
    long count;

    Lanes() = default;
    KAKEHASHI_INLINE Lanes(long count) : count(count) {}
    KAKEHASHI_INLINE bool are_all() const { return __builtin_expect(count >= LANES, 1); }
#endif
};

// The other lanes are `fill`.
KAKEHASHI_INLINE Floats load(const float* values, Lanes lanes, float fill = 0.0f) {
#if defined(__AVX512F__) && !defined(KAKEHASHI_SCALAR)
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), lanes.mask, values)};
#else
    float padded[LANES];
    if (!lanes.are_all()) {
        for (long i = 0; i < LANES; ++i) padded[i] = i < lanes.count ? values[i] : fill;
        values = padded;
    }
    Floats result;
    KAKEHASHI_EACH_PART result.parts[part] = *(const LoosePart*)(values + part * PART_LANES);
    return result;
#endif
}

// `sums` plus the distance of `bits` below `limit`, where they are below.
KAKEHASHI_INLINE Ints add_below(Ints sums, Bits bits, Bits limit) {
    KAKEHASHI_EACH_PART {
        const IntPart distance = (IntPart)(limit.parts[part] - bits.parts[part]);
        sums.parts[part] += distance > 0 ? distance : IntPart{};
    }
    return sums;
}

KAKEHASHI_INLINE int32_t sum(Ints x) {
    int32_t total = 0;
    for (long lane = 0; lane < LANES; ++lane) total += x.parts[lane / PART_LANES][lane % PART_LANES];
    return total;
}

KAKEHASHI_INLINE Ints load_ints(const void* values) {
    Ints result;
    KAKEHASHI_EACH_PART result.parts[part] = *((const LooseIntPart*)values + part);
    return result;
}

KAKEHASHI_INLINE Floats load(const uint16_t* values, Lanes lanes) {  // bfloat16 is the upper half of a float32
    Bits bits;
#if defined(__AVX512F__) && !defined(KAKEHASHI_SCALAR)
    bits.parts[0] = (BitPart)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes.mask, values));
#else
    uint16_t padded[LANES];
    if (!lanes.are_all()) {
        for (long i = 0; i < LANES; ++i) padded[i] = i < lanes.count ? values[i] : 0;
        values = padded;
    }
    KAKEHASHI_EACH_PART {
        const ShortPart shorts = *(const LooseShortPart*)(values + part * PART_LANES);
        bits.parts[part] = __builtin_convertvector(shorts, BitPart);
    }
#endif
    KAKEHASHI_EACH_PART bits.parts[part] <<= 16;
    return floats_of(bits);
}

KAKEHASHI_INLINE void store(float* target, Floats values, Lanes lanes) {
#if defined(__AVX512F__) && !defined(KAKEHASHI_SCALAR)
    _mm512_mask_storeu_ps(target, lanes.mask, values.parts[0]);
#else
    float padded[LANES];
    float* whole = lanes.are_all() ? target : padded;
    KAKEHASHI_EACH_PART *(LoosePart*)(whole + part * PART_LANES) = values.parts[part];
    if (!lanes.are_all())
        for (long i = 0; i < lanes.count; ++i) target[i] = padded[i];
#endif
}

// Rounds to nearest even. Numbers that are not finite become NaN.
KAKEHASHI_INLINE void store(uint16_t* target, Floats values, long count) {
    const Bits bits = bits_of(values);
    ShortPart shorts[PARTS];
    KAKEHASHI_EACH_PART {
        const BitPart odd = (bits.parts[part] >> 16) & 1;
        const BitPart rounded = (bits.parts[part] + (odd + 0x7fff)) >> 16;
        const IntPart is_finite = (IntPart)(bits.parts[part] & 0x7fffffff) < 0x7f7f8000;
        shorts[part] = __builtin_convertvector(is_finite ? rounded : BitPart{} + 0x7fc0, ShortPart);
    }
    std::memcpy(target, shorts, (count < LANES ? count : LANES) * sizeof(uint16_t));
}

// The lowest byte of each of sixteen lanes, plus `offset`.
KAKEHASHI_INLINE void store_low_bytes(uint8_t* target, Bits bits, uint8_t offset) {
    KAKEHASHI_EACH_PART bits.parts[part] = (bits.parts[part] + offset) & 0xff;
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(KAKEHASHI_SCALAR)
    __m256i shorts = _mm256_packus_epi32((__m256i)bits.parts[0], (__m256i)bits.parts[1]);
    shorts = _mm256_permute4x64_epi64(shorts, 0xd8);  // packing works in each half by itself
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
    _mm_storeu_si128((__m128i*)target, bytes);
#else
    KAKEHASHI_EACH_PART *(LooseBytePart*)(target + part * PART_LANES) =
        __builtin_convertvector(bits.parts[part], BytePart);
#endif
}

}  // namespace
