#pragma once
// What the instruction set can do at most: a part of kernels.h, which says what must be defined before.

#include "lanes.h"

static uint32_t read_memory(const void *memory, size_t bytes) {
    const uint8_t *p = memory;
    bit_lanes words[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < bytes; i += 512) {
        UNROLL for (int line = 0; line < 8; line++) {
            bit_lanes next;
            memcpy(&next, p + i + line * 64, sizeof next);
            words[line % 4] ^= next;
        }
    }
    const bit_lanes all = (words[0] ^ words[1]) ^ (words[2] ^ words[3]);
    uint32_t result = 0;
    UNROLL for (int lane = 0; lane < 16; lane++) result ^= all[lane];
    return result;
}

/// Makes the compiler take what is there as read and changed, so that equal rounds are not computed once. A copy keeps
/// the sums themselves in registers.
INLINE void touch(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/// A round is one product of each of so many rows.
#define EXERCISE(SUMS, DOT, WEIGHT)                                                             \
    bytes64 weights = WEIGHT;                                                                   \
    int8_t quants[4 * QUANTIZED_ROWS];                                                          \
    memset(quants, 3, sizeof quants);                                                           \
    touch(quants);                                                                              \
    SUMS sums[QUANTIZED_ROWS], results[QUANTIZED_ROWS];                                         \
    UNROLL for (int r = 0; r < QUANTIZED_ROWS; r++) sums[r] = 0;                                \
    for (size_t round = 0; round < rounds; round++) {                                           \
        touch(&weights);                                                                        \
        UNROLL for (int r = 0; r < QUANTIZED_ROWS; r++) sums[r] = DOT(sums[r], weights, quants + 4 * r); \
    }                                                                                           \
    UNROLL for (int r = 0; r < QUANTIZED_ROWS; r++) results[r] = sums[r];                       \
    touch(results);                                                                             \
    return rounds * QUANTIZED_ROWS * 128;

static size_t exercise_4bit(size_t rounds) { EXERCISE(nibble_sums, dot_nibbles, 5) }
static size_t exercise_7bit(size_t rounds) { EXERCISE(int_lanes, dot, 5) }
static size_t exercise_8bit(size_t rounds) { EXERCISE(int_lanes, dot_biased, 200) }

#define EXERCISE_SUMS (TILE_ROWS * TILE_PANELS(TILE_ROWS))

static size_t exercise_floats(size_t rounds) {
    lanes weights = 1.5f, sums[EXERCISE_SUMS], results[EXERCISE_SUMS];
    UNROLL for (int s = 0; s < EXERCISE_SUMS; s++) sums[s] = 0;
    for (size_t round = 0; round < rounds; round++) {
        touch(&weights);
        UNROLL for (int s = 0; s < EXERCISE_SUMS; s++) sums[s] = multiply_add(weights, (float)s, sums[s]);
    }
    UNROLL for (int s = 0; s < EXERCISE_SUMS; s++) results[s] = sums[s];
    touch(results);
    return rounds * EXERCISE_SUMS * 32;
}

static size_t exercise(ck_format format, size_t rounds) {
    switch (format) {
    case CK_PANEL_4BIT:
    case CK_PANEL_4BIT_MIN: return exercise_4bit(rounds);
    case CK_PANEL_8BIT_MIN: return exercise_7bit(rounds);
    case CK_PANEL_8BIT:
    case CK_PANEL_I8: return exercise_8bit(rounds);
    case CK_PANEL_F32:
    case CK_PANEL_F16:
    case CK_PANEL_BF16: return exercise_floats(rounds);
    }
    return 0;
}
