// AVX2 without a four-way dot product: VPMADDUBSW adds two products in 16 bits, VPMADDWD pairs of those in 32.
#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "lanes.h"

#define TILE_ROWS 6
#define TILE_PANELS(ROWS) ((ROWS) > 2 ? 1 : 4 / (ROWS))
#define QUANTIZED_ROWS 4
#define ZERO_POINT_8 0
#define ZERO_POINT_WIDE 1

/// Half a panel. `magnitudes` times `signed_bytes` must not exceed 2^15 in pairs: 128 * 127 * 2 does not.
INLINE __m256i dot_half(__m256i sums, __m256i magnitudes, __m256i signed_bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(magnitudes, signed_bytes);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE int_lanes dot(int_lanes sums, bytes64 weights, const int8_t *four) {
    int32_t packed;
    memcpy(&packed, four, sizeof packed);
    const __m256i activations = _mm256_set1_epi32(packed);
    sums.lo = dot_half((__m256i)sums.lo, (__m256i)weights.lo, activations);
    sums.hi = dot_half((__m256i)sums.hi, (__m256i)weights.hi, activations);
    return sums;
}

#define NIBBLE_SUMS
/// In 16 bits, and widened once a block: 8 pairs of 15 * 127 are 30,480.
typedef int16_t nibble_sums __attribute__((ext_vector_type(32)));

INLINE nibble_sums dot_nibbles(nibble_sums sums, bytes64 weights, const int8_t *four) {
    int32_t packed;
    memcpy(&packed, four, sizeof packed);
    const __m256i activations = _mm256_set1_epi32(packed);
    const __m256i low = _mm256_maddubs_epi16((__m256i)weights.lo, activations);
    const __m256i high = _mm256_maddubs_epi16((__m256i)weights.hi, activations);
    sums.lo = (__typeof(sums.lo))_mm256_add_epi16((__m256i)sums.lo, low);
    sums.hi = (__typeof(sums.hi))_mm256_add_epi16((__m256i)sums.hi, high);
    return sums;
}

INLINE int_lanes nibbles_total(nibble_sums sums) {
    int_lanes total;
    total.lo = (__typeof(total.lo))_mm256_madd_epi16((__m256i)sums.lo, _mm256_set1_epi16(1));
    total.hi = (__typeof(total.hi))_mm256_madd_epi16((__m256i)sums.hi, _mm256_set1_epi16(1));
    return total;
}

/// Unsigned 255 would overflow 16 bits in pairs, so the sign moves from the weight to the activation.
INLINE int_lanes dot_biased(int_lanes sums, bytes64 weights, const int8_t *four) {
    int32_t packed;
    memcpy(&packed, four, sizeof packed);
    const __m256i activations = _mm256_set1_epi32(packed);
    const bytes64 centred = weights ^ 0x80;
    const __m256i low = (__m256i)centred.lo, high = (__m256i)centred.hi;
    sums.lo = dot_half((__m256i)sums.lo, _mm256_abs_epi8(low), _mm256_sign_epi8(activations, low));
    sums.hi = dot_half((__m256i)sums.hi, _mm256_abs_epi8(high), _mm256_sign_epi8(activations, high));
    return sums;
}

/// -128 has no opposite, so the weights are cut in two instead: 128 * 127 * 2 and 128 * -128 * 2 both fit 16 bits.
INLINE int_lanes dot_wide(int_lanes sums, bytes64 weights, const int8_t *four) {
    const bytes64 top = weights & 0x80;
    return dot(dot(sums, weights ^ top, four), top, four);
}

#include "kernels.h"
#pragma clang attribute pop

const ck_table ck_avx2_table = {
    quantize, quantize_rows, quantize_fixed, round_bfloats, matmul, rms_norm, rotary, swiglu, geglu, softcap, store, attend, attend_merge, attend_finish,
    read_memory, exercise,
};
#endif
