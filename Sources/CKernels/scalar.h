#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "table.h"

// Scalar conversions and exp, bit for bit what the vector instructions do.

static inline uint32_t float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float bits_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31) {
        const uint32_t quiet = mantissa != 0 ? 0x400000 : 0;
        return bits_float(sign | 0x7F800000 | quiet | mantissa << 13);
    }
    if (exponent == 0) {
        const float magnitude = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    return bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

/// Rounds to nearest even.
static inline uint16_t float_to_half(float x) {
    const uint32_t bits = float_bits(x), magnitude = bits & 0x7FFFFFFF;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x1FF));
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) {
        // Subnormal: adding 0.5 aligns the mantissa so that the hardware rounds at bit 2^-24.
        const float aligned = bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_bits(aligned) - 0x3F000000));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + odd) >> 13));
}

static inline float bfloat_to_float(uint16_t b) { return bits_float((uint32_t)b << 16); }

/// Rounds to nearest even.
static inline uint16_t float_to_bfloat(float x) {
    const uint32_t bits = float_bits(x);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// What products take a bfloat16 for.
static inline uint16_t bfloat_or_zero(uint16_t b) { return (b & 0x7FFF) < CK_LEAST_BFLOAT ? 0 : b; }

static inline float scalar_exp(float x) {
    const float clamped = x > CK_EXP_HIGH ? CK_EXP_HIGH : x;
    const float shifted = fmaf(clamped, CK_EXP_LOG2E, CK_EXP_ROUND);
    const float n = shifted - CK_EXP_ROUND;
    float r = fmaf(n, -CK_EXP_LN2_HIGH, clamped);
    r = fmaf(n, -CK_EXP_LN2_LOW, r);
    float p = CK_EXP_P0;
    p = fmaf(p, r, CK_EXP_P1);
    p = fmaf(p, r, CK_EXP_P2);
    p = fmaf(p, r, CK_EXP_P3);
    p = fmaf(p, r, CK_EXP_P4);
    p = fmaf(p, r, CK_EXP_P5);
    p = fmaf(p, r * r, r + 1.0f);
    const float power = bits_float((float_bits(shifted) << 23) + 0x3F800000);
    return x < CK_EXP_LOW ? 0.0f : p * power;
}

/// Adds 16 lanes: i with i + 8, then i + 4, i + 2, i + 1.
static inline float scalar_sum(float lanes[16]) {
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}
