#pragma once
#include "include/ckernels.h"

/// One implementation of every dispatched function.
typedef struct {
    void (*quantize)(const float *, size_t, size_t, size_t, int8_t *, ck_block *);
    void (*quantize_rows)(const float *, size_t, size_t, size_t, int8_t *, ck_block *);
    void (*quantize_fixed)(const float *, size_t, size_t, size_t, float, float, int8_t *, ck_block *);
    void (*round)(float *, size_t, size_t, size_t, uint16_t *);
    void (*matmul)(const ck_matrix *, const ck_activations *, size_t, size_t, size_t, size_t, const ck_output *);
    void (*rms_norm)(const float *, const float *, size_t, float, float *);
    void (*rotary)(float *, size_t, size_t, size_t, const float *, const float *);
    void (*swiglu)(const float *, const float *, size_t, float *);
    void (*geglu)(const float *, const float *, size_t, float *);
    void (*softcap)(float *, size_t, float);
    bool (*store)(ck_type, const float *, const float *, size_t, size_t, void *, void *);
    void (*attend)(const ck_cache *, size_t, const float *const *, const int32_t *, size_t, float *);
    void (*attend_merge)(float *, const float *, size_t);
    void (*attend_finish)(const float *, size_t, size_t, float *);
    uint32_t (*read)(const void *, size_t);
    size_t (*exercise)(ck_format, size_t);
} ck_table;

extern const ck_table ck_generic_table;
#if defined(__x86_64__)
extern const ck_table ck_avx2_table;
extern const ck_table ck_avxvnni_table;
extern const ck_table ck_avx512_table;
extern const ck_table ck_amx_table;
#elif defined(__aarch64__)
extern const ck_table ck_neon_table;
#endif

// A block with a smaller maximum is taken as zero: 127 / maximum must not overflow.
#define CK_TINY 1e-35f

// exp(x) = 2^n * p(r) with n = round(x / ln 2), r = x - n ln 2: Cephes' expf (coefficients from netlib.org/cephes).
// Below CK_EXP_LOW the result is 0; above CK_EXP_HIGH it is that of CK_EXP_HIGH. At most 2 ulp off between.
#define CK_EXP_LOW -87.0f
#define CK_EXP_HIGH 88.0f
#define CK_EXP_LOG2E 1.44269504088896341f
#define CK_EXP_ROUND 12582912.0f  // 1.5 * 2^23: adding it rounds to an integer held in the low mantissa bits
#define CK_EXP_LN2_HIGH 0.693359375f
#define CK_EXP_LN2_LOW -2.12194440e-4f
#define CK_EXP_P0 1.9875691500e-4f
#define CK_EXP_P1 1.3981999507e-3f
#define CK_EXP_P2 8.3334519073e-3f
#define CK_EXP_P3 4.1665795894e-2f
#define CK_EXP_P4 1.6666665459e-1f
#define CK_EXP_P5 5.0000001201e-1f

// The tanh form of gelu: x/2 * (1 + tanh(u)) = x / (1 + exp(-2u)) with 2u = x * (A + B x^2).
#define CK_GELU_A 1.59576912160573f
#define CK_GELU_B 0.0713548162726009f

/// Bits of the least float that rounds to infinity, or is infinite, in a float type.
static inline uint32_t ck_overflow_bits(ck_type type) {
    return type == CK_F16 ? 0x477FF000 : type == CK_BF16 ? 0x7F7F8000 : 0x7F800000;
}

/// Magnitudes of bfloat16 below this, as bits, count as zero in products: 2^-49.
#define CK_LEAST_BFLOAT 0x2700

/// Where a panel of bfloat16 holds input `i` of output `column`.
static inline size_t ck_pair_index(size_t i, size_t column) { return (i / 2 * CK_PANEL + column) * 2 + i % 2; }

/// Where a group of keys holds element `i` at a position.
static inline size_t ck_key_index(ck_type type, size_t i, size_t position) {
    return type == CK_BF16 ? ck_pair_index(i, position) : i * CK_GROUP + position;
}

/// Where a group of values holds element `i` of `d` at a position.
static inline size_t ck_value_index(ck_type type, size_t i, size_t position, size_t d) {
    return type == CK_BF16 ? (position / 2 * d + i) * 2 + position % 2 : position * d + i;
}

/// Bytes of panels of floats that stay in the second-level cache while rows pass by.
#define CK_CACHED_BYTES (128 << 10)

/// Start of the quants of a quantized panel.
static inline size_t ck_scales_bytes(ck_format format, size_t k) {
    const size_t per_block = (format == CK_PANEL_4BIT_MIN || format == CK_PANEL_8BIT_MIN) ? 64 : 32;
    return (k / CK_BLOCK * per_block + 63) / 64 * 64;
}

/// Start of the quants of an integer panel: behind scales and addends.
#define CK_INTEGERS_START 128

/// The group of the cache that holds positions `group * 16 ..< group * 16 + 16`, in elements from the first block.
static inline size_t ck_group_offset(const ck_cache *cache, size_t group) {
    const size_t per_block = cache->block_size / CK_GROUP;
    const size_t block = (size_t)cache->block_table[group / per_block];
    return block * cache->block_stride + group % per_block * ck_group_elements(cache->type, cache->head_dimension);
}
