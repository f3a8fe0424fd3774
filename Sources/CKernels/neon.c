// AArch64 with the signed four-way dot product (ARMv8.2 DotProd).
#if defined(__aarch64__)
#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "lanes.h"

#define TILE_ROWS 6
#define TILE_PANELS(ROWS) ((ROWS) > 3 ? 1 : 4 / (ROWS))
#define QUANTIZED_ROWS 3
#define ZERO_POINT_8 0
#define ZERO_POINT_WIDE 0

typedef int32_t int_quarter __attribute__((ext_vector_type(4)));
typedef uint8_t byte_quarter __attribute__((ext_vector_type(16)));

INLINE int_quarter dot_quarter(int_quarter sums, byte_quarter weights, int8x16_t activations) {
    return (int_quarter)vdotq_s32((int32x4_t)sums, (int8x16_t)weights, activations);
}

INLINE int_lanes dot(int_lanes sums, bytes64 weights, const int8_t *four) {
    int32_t packed;
    memcpy(&packed, four, sizeof packed);
    const int8x16_t activations = vreinterpretq_s8_s32(vdupq_n_s32(packed));
    sums.lo.lo = dot_quarter(sums.lo.lo, weights.lo.lo, activations);
    sums.lo.hi = dot_quarter(sums.lo.hi, weights.lo.hi, activations);
    sums.hi.lo = dot_quarter(sums.hi.lo, weights.hi.lo, activations);
    sums.hi.hi = dot_quarter(sums.hi.hi, weights.hi.hi, activations);
    return sums;
}

INLINE int_lanes dot_biased(int_lanes sums, bytes64 weights, const int8_t *four) {
    return dot(sums, weights ^ 0x80, four);
}

INLINE int_lanes dot_wide(int_lanes sums, bytes64 weights, const int8_t *four) {
    return dot_biased(sums, weights, four);
}

#include "kernels.h"
#pragma clang attribute pop

const ck_table ck_neon_table = {
    quantize, quantize_rows, quantize_fixed, round_bfloats, matmul, rms_norm, rotary, swiglu, geglu, softcap, store, attend, attend_merge, attend_finish,
    read_memory, exercise,
};
#endif
