// Sixteen 32-bit numbers at a time: loads and stores of float32 and bfloat16, and the functions of activations.
#pragma once

#include <cstdint>
#include <immintrin.h>

namespace {

constexpr long LANES = 16;  // 32-bit numbers in a vector

enum Activation { NONE, RELU, SILU, GELU, GELU_TANH };

inline __mmask16 first_lanes(long count) { return count >= LANES ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

inline __m512 splat(float value) { return _mm512_set1_ps(value); }

// exp to about 2 units in the last place: 2^n * e^r with |r| <= ln(2)/2, e^r as a polynomial (Cephes, expf).
inline __m512 exp_ps(__m512 x) {
    x = _mm512_max_ps(_mm512_min_ps(x, splat(88.0f)), splat(-104.0f));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, splat(1.44269504088896341f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, splat(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, splat(-2.12194440e-4f), r);
    __m512 p = splat(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, splat(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, splat(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, splat(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, splat(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, splat(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, splat(1.0f)));
    return _mm512_scalef_ps(p, n);
}

inline __m512 sigmoid(__m512 x) {
    return _mm512_div_ps(splat(1.0f), _mm512_add_ps(splat(1.0f), exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// erf to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
inline __m512 erf_ps(__m512 x) {
    const __m512 a = _mm512_abs_ps(x);
    const __m512 t = _mm512_div_ps(splat(1.0f), _mm512_fmadd_ps(a, splat(0.3275911f), splat(1.0f)));
    __m512 p = splat(1.061405429f);
    p = _mm512_fmadd_ps(p, t, splat(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, splat(1.421413741f));
    p = _mm512_fmadd_ps(p, t, splat(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, splat(0.254829592f));
    const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(a, a)));
    const __m512 erf = _mm512_fnmadd_ps(_mm512_mul_ps(p, t), e, splat(1.0f));
    return _mm512_mask_sub_ps(erf, _mm512_cmplt_ps_mask(x, _mm512_setzero_ps()), _mm512_setzero_ps(), erf);
}

inline __m512 activated(__m512 x, int activation) {
    switch (activation) {
        case RELU: return _mm512_max_ps(x, _mm512_setzero_ps());
        case SILU: return _mm512_mul_ps(x, sigmoid(x));
        case GELU: {
            const __m512 half = _mm512_mul_ps(x, splat(0.5f));
            return _mm512_fmadd_ps(half, erf_ps(_mm512_mul_ps(x, splat(0.70710678118654752f))), half);
        }
        case GELU_TANH: {  // 0.5 x (1 + tanh(u)) is x sigmoid(2u)
            const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
            const __m512 u = _mm512_mul_ps(_mm512_fmadd_ps(cube, splat(0.044715f), x), splat(2 * 0.79788456080286536f));
            return _mm512_mul_ps(x, sigmoid(u));
        }
        default: return x;
    }
}

inline __m512 load(const float* values, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, values); }

inline __m512 load(const uint16_t* values, __mmask16 mask) {  // bfloat16 is the upper half of a float32
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, values)), 16));
}

inline void store(float* target, __m512 values, __mmask16 mask) { _mm512_mask_storeu_ps(target, mask, values); }

inline void store(uint16_t* target, __m512 values, __mmask16 mask) {  // to the nearest, and to even half-way
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_mask_storeu_epi16(target, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

}  // namespace
