// AVX-512 with VNNI: a panel's 64 bytes are one register, VPDPBUSD takes four activations from memory. And the same with
// AMX, whose tiles take the products of integers and bfloat16.
#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#include "lanes.h"

#define TILE_ROWS 6
#define TILE_PANELS(ROWS) 4
#define QUANTIZED_ROWS 12
#define ZERO_POINT_8 1
#define ZERO_POINT_WIDE 1

INLINE int_lanes dot(int_lanes sums, bytes64 weights, const int8_t *four) {
    int32_t packed;
    memcpy(&packed, four, sizeof packed);
    return (int_lanes)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)weights, _mm512_set1_epi32(packed));
}

INLINE int_lanes dot_biased(int_lanes sums, bytes64 weights, const int8_t *four) { return dot(sums, weights, four); }

INLINE int_lanes dot_wide(int_lanes sums, bytes64 weights, const int8_t *four) {
    return dot_biased(sums, weights, four);
}

#include "kernels.h"
#pragma clang attribute pop

// Attributes do not add up, so all are named again.
#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-int8,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), \
    apply_to = function)
#include "amx.h"
#pragma clang attribute pop

const ck_table ck_avx512_table = {
    quantize, quantize_rows, quantize_fixed, round_bfloats, matmul, rms_norm, rotary, swiglu, geglu, softcap, store, attend, attend_merge, attend_finish,
    read_memory, exercise,
};

const ck_table ck_amx_table = {
    quantize, quantize_rows, quantize_fixed, round_bfloats, tiled_matmul, rms_norm, rotary, swiglu, geglu, softcap, store, tiled_attend, attend_merge,
    attend_finish, read_memory, tiled_exercise,
};
#endif
