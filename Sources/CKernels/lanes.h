#pragma once
// Sixteen lanes in Clang's portable vector types: one ZMM register, two YMM registers or four NEON registers, as the
// target of the including file allows. Included by one file per instruction set.

#include <math.h>
#include <string.h>

#include "table.h"

#pragma STDC FP_CONTRACT OFF
// Vectors wider than a register change the ABI of calls; every function that takes one is inlined.
#pragma clang diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float lanes __attribute__((ext_vector_type(16)));
typedef float lanes8 __attribute__((ext_vector_type(8)));
typedef float lanes4 __attribute__((ext_vector_type(4)));
typedef int32_t int_lanes __attribute__((ext_vector_type(16)));
typedef uint32_t bit_lanes __attribute__((ext_vector_type(16)));
typedef uint16_t short_lanes __attribute__((ext_vector_type(16)));
typedef int8_t byte_lanes __attribute__((ext_vector_type(16)));
typedef _Float16 half_lanes __attribute__((ext_vector_type(16)));
typedef uint8_t bytes64 __attribute__((ext_vector_type(64)));

INLINE lanes load(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store_lanes(float *p, lanes v) { memcpy(p, &v, sizeof v); }

/// The first `n` < 16 elements, zero behind them.
INLINE lanes load_part(const float *p, size_t n) {
    lanes v = 0;
    memcpy(&v, p, n * sizeof *p);
    return v;
}

INLINE lanes load_halves(const uint16_t *p) {
    half_lanes v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, lanes);
}

INLINE lanes load_bfloats(const uint16_t *p) {
    short_lanes v;
    memcpy(&v, p, sizeof v);
    const bit_lanes bits = __builtin_convertvector(v, bit_lanes) << 16;
    return (lanes)bits;
}

INLINE lanes load_integers(const int8_t *p) {
    byte_lanes v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(__builtin_convertvector(v, int_lanes), lanes);
}

/// Rounds to nearest even.
INLINE short_lanes to_bfloats(lanes x) {
    const bit_lanes bits = (bit_lanes)x;
    const bit_lanes rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    const bit_lanes nan = bits >> 16 | 0x40u;
    return __builtin_convertvector((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded, short_lanes);
}

INLINE lanes multiply_add(lanes a, lanes b, lanes c) { return __builtin_elementwise_fma(a, b, c); }

INLINE lanes larger(lanes a, lanes b) { return a > b ? a : b; }

/// Lane i with i + 8, then i + 4, i + 2, i + 1.
INLINE float sum(lanes v) {
    const lanes8 eight = v.lo + v.hi;
    const lanes4 four = eight.lo + eight.hi;
    return (four.x + four.z) + (four.y + four.w);
}

INLINE float largest(lanes v) {
    const lanes8 eight = v.lo > v.hi ? v.lo : v.hi;
    const lanes4 four = eight.lo > eight.hi ? eight.lo : eight.hi;
    const float a = four.x > four.z ? four.x : four.z, b = four.y > four.w ? four.y : four.w;
    return a > b ? a : b;
}

/// See table.h for the method.
INLINE lanes exponential(lanes x) {
    const lanes clamped = x > CK_EXP_HIGH ? (lanes)CK_EXP_HIGH : x;
    const lanes shifted = multiply_add(clamped, CK_EXP_LOG2E, CK_EXP_ROUND);
    const lanes n = shifted - CK_EXP_ROUND;
    lanes r = multiply_add(n, -CK_EXP_LN2_HIGH, clamped);
    r = multiply_add(n, -CK_EXP_LN2_LOW, r);
    lanes p = CK_EXP_P0;
    p = multiply_add(p, r, CK_EXP_P1);
    p = multiply_add(p, r, CK_EXP_P2);
    p = multiply_add(p, r, CK_EXP_P3);
    p = multiply_add(p, r, CK_EXP_P4);
    p = multiply_add(p, r, CK_EXP_P5);
    p = multiply_add(p, r * r, r + 1.0f);
    const bit_lanes power = ((bit_lanes)shifted << 23) + 0x3F800000u;
    return x < CK_EXP_LOW ? (lanes)0.0f : p * (lanes)power;
}
