// AVX2 with the VEX form of VPDPBUSD: processors without AVX-512 (Alder Lake and later).
#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avxvnni,avx2,fma,f16c"))), apply_to = function)
#include "lanes.h"

#define TILE_ROWS 6
#define TILE_PANELS(ROWS) ((ROWS) > 2 ? 1 : 4 / (ROWS))
#define QUANTIZED_ROWS 3
#define ZERO_POINT_8 1
#define ZERO_POINT_WIDE 1

INLINE int_lanes dot(int_lanes sums, bytes64 weights, const int8_t *four) {
    int32_t packed;
    memcpy(&packed, four, sizeof packed);
    const __m256i activations = _mm256_set1_epi32(packed);
    sums.lo = _mm256_dpbusd_avx_epi32((__m256i)sums.lo, (__m256i)weights.lo, activations);
    sums.hi = _mm256_dpbusd_avx_epi32((__m256i)sums.hi, (__m256i)weights.hi, activations);
    return sums;
}

INLINE int_lanes dot_biased(int_lanes sums, bytes64 weights, const int8_t *four) { return dot(sums, weights, four); }

INLINE int_lanes dot_wide(int_lanes sums, bytes64 weights, const int8_t *four) {
    return dot_biased(sums, weights, four);
}

#include "kernels.h"
#pragma clang attribute pop

const ck_table ck_avxvnni_table = {
    quantize, quantize_rows, quantize_fixed, round_bfloats, matmul, rms_norm, rotary, swiglu, geglu, softcap, store, attend, attend_merge, attend_finish,
    read_memory, exercise,
};
#endif
