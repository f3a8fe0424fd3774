// The kernels over lanes, compiled once per instruction set. Before including, a file defines
//   TILE_ROWS                     most rows of a float product's tile (at most 6)
//   TILE_PANELS(ROWS)             most panels of a tile of so many rows (at most 4)
//   QUANTIZED_ROWS                rows of a quantized product (at most 12)
//   ZERO_POINT_8                  whether `dot_biased` leaves the zero point 128 to ck_block.zero8
//   ZERO_POINT_WIDE               the same of `dot_wide`
//   int_lanes dot(int_lanes sums, bytes64 weights, const int8_t *four)          weights below 128
//   int_lanes dot_biased(int_lanes sums, bytes64 weights, const int8_t *four)   weights minus 128
//   int_lanes dot_wide(int_lanes sums, bytes64 weights, const int8_t *four)     the same for activations down to -128
// where `four` are the activations that the 16 groups of 4 weights share. A file may define NIBBLE_SUMS, and with it
//   nibble_sums                   sums of the products of 8 groups of 4 weights below 16
//   nibble_sums dot_nibbles(nibble_sums sums, bytes64 weights, const int8_t *four)
//   int_lanes nibbles_total(nibble_sums sums)

#include "lanes.h"

// A sanitizer checks every access of every unrolled tile: with those of full size it takes minutes for each file.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef TILE_ROWS
#undef TILE_PANELS
#undef QUANTIZED_ROWS
#define TILE_ROWS 2
#define TILE_PANELS(ROWS) 2
#define QUANTIZED_ROWS 2
#endif

#ifndef NIBBLE_SUMS
typedef int_lanes nibble_sums;

INLINE nibble_sums dot_nibbles(nibble_sums sums, bytes64 weights, const int8_t *four) {
    return dot(sums, weights, four);
}

INLINE int_lanes nibbles_total(nibble_sums sums) { return sums; }
#endif

INLINE size_t at_most(size_t n, size_t limit) { return n < limit ? n : limit; }

/// Rows of the next tile when `rows` are left: as few tiles as can be, of nearly equal size.
INLINE size_t tile_rows(size_t rows, size_t most) {
    const size_t tiles = (rows + most - 1) / most;
    return (rows + tiles - 1) / tiles;
}

/// Panels of any tile of floats.
#define MOST_PANELS 4

// MARK: - Quantized product

static void quantize_block(const float *x, int8_t *quants, ck_block *block) {
    const lanes low = load(x), high = load(x + 16);
    // Compared as integers, magnitudes order NaN above infinity above every number.
    const bit_lanes low_magnitude = (bit_lanes)low & 0x7FFFFFFFu;
    const bit_lanes high_magnitude = (bit_lanes)high & 0x7FFFFFFFu;
    const uint32_t bits = __builtin_reduce_max(__builtin_elementwise_max(low_magnitude, high_magnitude));
    const float maximum = __builtin_bit_cast(float, bits);
    if (bits >= 0x7F800000 || maximum < CK_TINY) {
        memset(quants, 0, CK_BLOCK);
        *block = (ck_block){.scale = bits >= 0x7F800000 ? NAN : 0, .offset = bits >= 0x7F800000 ? NAN : 0};
        return;
    }
    const float inverse = 127.0f / maximum;
    const int_lanes low_quants = __builtin_convertvector(__builtin_elementwise_rint(low * inverse), int_lanes);
    const int_lanes high_quants = __builtin_convertvector(__builtin_elementwise_rint(high * inverse), int_lanes);
    const byte_lanes low_bytes = __builtin_convertvector(low_quants, byte_lanes);
    const byte_lanes high_bytes = __builtin_convertvector(high_quants, byte_lanes);
    memcpy(quants, &low_bytes, 16);
    memcpy(quants + 16, &high_bytes, 16);
    const int32_t total = __builtin_reduce_add(low_quants + high_quants);
    block->scale = maximum / 127.0f;
    block->offset = block->scale * (float)total;
    block->zero4 = -8 * total;
    block->zero8 = -128 * total;
}

static void quantize(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks) {
    for (size_t row = 0; row < rows; row++)
        for (size_t b = 0; b < k; b += CK_BLOCK, quants += CK_BLOCK, blocks++)
            quantize_block(values + row * stride + b, quants, blocks);
}

/// Adds bias and what `y` holds, and writes 16 columns of a row.
INLINE void finish(const ck_output *output, size_t row, size_t column, lanes result) {
    float *y = output->y + row * output->stride + column;
    if (output->bias != NULL) result += load(output->bias + column);
    if (output->accumulate) result += load(y);
    store_lanes(y, result);
}

/// `rows` rows by one panel: integer sums of a block, then float sums of blocks, all in registers.
INLINE void quantized_tile(
    const int rows, const ck_format format, const uint8_t *panel, size_t k, const int8_t *activations,
    const ck_block *blocks, lanes *results) {
    const bool four_bits = format == CK_PANEL_4BIT || format == CK_PANEL_4BIT_MIN;
    const bool has_minimum = format == CK_PANEL_4BIT_MIN || format == CK_PANEL_8BIT_MIN;
    const size_t block_count = k / CK_BLOCK;
    const uint16_t *scales = (const uint16_t *)(const void *)panel;
    const uint8_t *quants = panel + ck_scales_bytes(format, k);
    lanes sums[QUANTIZED_ROWS];
    UNROLL for (int r = 0; r < rows; r++) sums[r] = 0;
    const size_t next_panel = ck_panel_bytes(format, k);
    for (size_t b = 0; b < block_count; b++) {
        // The hardware's prefetchers stop at pages and give way when the arithmetic units are busy.
        UNROLL for (int line = 0; line < (four_bits ? 4 : 8); line++)
            __builtin_prefetch(quants + next_panel + line * 64);
        __builtin_prefetch((const uint8_t *)scales + next_panel);
        int_lanes dots[QUANTIZED_ROWS];
        nibble_sums nibbles[QUANTIZED_ROWS];
        UNROLL for (int r = 0; r < rows; r++) {
            const ck_block *block = blocks + (size_t)r * block_count + b;
            dots[r] = has_minimum ? 0 : four_bits ? block->zero4 : ZERO_POINT_8 ? block->zero8 : 0;
            nibbles[r] = 0;
        }
        UNROLL for (int step = 0; step < 8; step++) {
            bytes64 weights;
            memcpy(&weights, quants + (four_bits ? step / 2 : step) * 64, sizeof weights);
            if (four_bits) weights = step % 2 == 0 ? weights & 15 : weights >> 4;
            UNROLL for (int r = 0; r < rows; r++) {
                const int8_t *four = activations + (size_t)r * k + b * CK_BLOCK + step * 4;
                if (four_bits)
                    nibbles[r] = dot_nibbles(nibbles[r], weights, four);
                else
                    dots[r] =
                        format == CK_PANEL_8BIT ? dot_biased(dots[r], weights, four) : dot(dots[r], weights, four);
            }
        }
        const lanes scale = load_halves(scales), minimum = has_minimum ? load_halves(scales + CK_PANEL) : 0;
        UNROLL for (int r = 0; r < rows; r++) {
            const ck_block *block = blocks + (size_t)r * block_count + b;
            if (four_bits) dots[r] += nibbles_total(nibbles[r]);
            if (has_minimum) sums[r] = multiply_add(minimum, block->offset, sums[r]);
            sums[r] = multiply_add(__builtin_convertvector(dots[r], lanes), scale * block->scale, sums[r]);
        }
        scales += has_minimum ? 2 * CK_PANEL : CK_PANEL;
        quants += four_bits ? 256 : 512;
    }
    UNROLL for (int r = 0; r < rows; r++) results[r] = sums[r];
}

/// One function per number of rows and format, so that every accumulator is a register.
#define QUANTIZED_CASE(ROWS)                                                                                   \
    case ROWS:                                                                                                 \
        if (ROWS <= QUANTIZED_ROWS)                                                                            \
            quantized_tile(ROWS <= QUANTIZED_ROWS ? ROWS : 1, format, panel, k, activations, blocks, results); \
        break;

INLINE void quantized_rows(
    size_t rows, const ck_format format, const uint8_t *panel, size_t k, const int8_t *activations,
    const ck_block *blocks, lanes *results) {
    switch (rows) {
        QUANTIZED_CASE(1)
        QUANTIZED_CASE(2)
        QUANTIZED_CASE(3)
        QUANTIZED_CASE(4)
        QUANTIZED_CASE(5)
        QUANTIZED_CASE(6)
        QUANTIZED_CASE(7)
        QUANTIZED_CASE(8)
        QUANTIZED_CASE(9)
        QUANTIZED_CASE(10)
        QUANTIZED_CASE(11)
        QUANTIZED_CASE(12)
    }
}

INLINE void quantized_matmul(
    const ck_format format, const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows,
    size_t panel, size_t panels, const ck_output *output) {
    const size_t k = matrix->k, panel_bytes = ck_panel_bytes(format, k);
    for (size_t p = panel; p < panel + panels; p++) {
        const uint8_t *weights = (const uint8_t *)matrix->panels + p * panel_bytes;
        for (size_t r = row, count; r < row + rows; r += count) {
            count = tile_rows(row + rows - r, QUANTIZED_ROWS);
            lanes results[QUANTIZED_ROWS];
            quantized_rows(
                count, format, weights, k, activations->quants + r * k, activations->blocks + r * (k / CK_BLOCK),
                results);
            for (size_t i = 0; i < count; i++) finish(output, r + i, p * CK_PANEL, results[i]);
        }
    }
}

static void matmul_4bit(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    quantized_matmul(CK_PANEL_4BIT, m, a, row, rows, panel, panels, y);
}

static void matmul_4bit_min(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    quantized_matmul(CK_PANEL_4BIT_MIN, m, a, row, rows, panel, panels, y);
}

static void matmul_8bit(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    quantized_matmul(CK_PANEL_8BIT, m, a, row, rows, panel, panels, y);
}

static void matmul_8bit_min(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    quantized_matmul(CK_PANEL_8BIT_MIN, m, a, row, rows, panel, panels, y);
}

// MARK: - Integer product

#include "integers.h"

// MARK: - Float product

INLINE lanes load_weights(const ck_format format, const void *weights, size_t index) {
    if (format == CK_PANEL_F32) return load((const float *)weights + index);
    if (format == CK_PANEL_F16) return load_halves((const uint16_t *)weights + index);
    return load_bfloats((const uint16_t *)weights + index);
}

/// results[r][v] = sum over i of rows[r][i] * columns[v][i * step ..< i * step + 16], on top of `results` when `add`.
INLINE void float_tile(
    const int rows, const int vectors, const ck_format format, const float *const *x, const void *const *columns,
    size_t step, size_t k, bool add, lanes (*results)[MOST_PANELS]) {
    lanes sums[TILE_ROWS][MOST_PANELS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) sums[r][v] = add ? results[r][v] : 0;
    }
    for (size_t i = 0; i < k; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const lanes weights = load_weights(format, columns[v], i * step);
            UNROLL for (int r = 0; r < rows; r++) sums[r][v] = multiply_add((lanes)x[r][i], weights, sums[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) results[r][v] = sums[r][v];
    }
}

#define IS_TILE(ROWS, VECTORS) (ROWS <= TILE_ROWS && VECTORS <= TILE_PANELS(ROWS))

/// A call of TILE with the numbers of rows and vectors as constants, so that every accumulator is a register.
#define TILE_CASE(TILE, ROWS, VECTORS, ...)                                                                      \
    case ROWS * 8 + VECTORS:                                                                                     \
        if (IS_TILE(ROWS, VECTORS))                                                                              \
            TILE(IS_TILE(ROWS, VECTORS) ? ROWS : 1, IS_TILE(ROWS, VECTORS) ? VECTORS : 1, __VA_ARGS__);          \
        break;

#define TILE_CASES(TILE, ROWS, ...)                                                                              \
    TILE_CASE(TILE, ROWS, 1, __VA_ARGS__)                                                                        \
    TILE_CASE(TILE, ROWS, 2, __VA_ARGS__)                                                                        \
    TILE_CASE(TILE, ROWS, 3, __VA_ARGS__)                                                                        \
    TILE_CASE(TILE, ROWS, 4, __VA_ARGS__)

#define TILE_SWITCH(TILE, rows, vectors, ...)                                                                    \
    switch (rows * 8 + vectors) {                                                                                \
        TILE_CASES(TILE, 1, __VA_ARGS__)                                                                         \
        TILE_CASES(TILE, 2, __VA_ARGS__)                                                                         \
        TILE_CASES(TILE, 3, __VA_ARGS__)                                                                         \
        TILE_CASES(TILE, 4, __VA_ARGS__)                                                                         \
        TILE_CASES(TILE, 5, __VA_ARGS__)                                                                         \
        TILE_CASES(TILE, 6, __VA_ARGS__)                                                                         \
    }

#include "pairs.h"

/// Functions that matrix products and attention share: inlined into each of them, they took half a minute to compile.
#define TILE_FUNCTION(NAME, TILE, FORMAT)                                                                        \
    static __attribute__((noinline)) void NAME(                                                                  \
        size_t rows, size_t vectors, const float *const *x, const void *const *columns, size_t step, size_t k,   \
        bool add, lanes (*results)[MOST_PANELS]) {                                                               \
        TILE_SWITCH(TILE, rows, vectors, FORMAT, x, columns, step, k, add, results)                              \
    }
TILE_FUNCTION(tile_f32, float_tile, CK_PANEL_F32)
TILE_FUNCTION(tile_f16, float_tile, CK_PANEL_F16)
TILE_FUNCTION(tile_bf16, pair_tile, CK_PANEL_BF16)
TILE_FUNCTION(tile_i8, pair_tile, CK_PANEL_I8)

/// results[r][v] = product of x[r] and columns[v], whose `k` elements are `step` elements apart, on top of `results` when `add`.
INLINE void product_tile(
    size_t rows, size_t vectors, const ck_format format, const float *const *x, const void *const *columns, size_t step,
    size_t k, bool add, lanes (*results)[MOST_PANELS]) {
    switch (format) {
    case CK_PANEL_F32: tile_f32(rows, vectors, x, columns, step, k, add, results); break;
    case CK_PANEL_F16: tile_f16(rows, vectors, x, columns, step, k, add, results); break;
    case CK_PANEL_BF16: tile_bf16(rows, vectors, x, columns, step * 4, k, add, results); break;
    default: tile_i8(rows, vectors, x, columns, step * 2, k, add, results); break;
    }
}

/// One tile of rows by panels that stay in the second-level cache for the next.
INLINE void float_rows(
    const ck_format format, const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows,
    size_t panel, size_t panels, const ck_output *output) {
    const size_t panel_bytes = ck_panel_bytes(format, matrix->k);
    const float *x[TILE_ROWS];
    for (size_t i = 0; i < rows; i++) x[i] = activations->values + (row + i) * activations->stride;
    for (size_t p = panel, vectors; p < panel + panels; p += vectors) {
        vectors = at_most(panel + panels - p, TILE_PANELS(rows));
        const void *columns[MOST_PANELS];
        for (size_t v = 0; v < vectors; v++) columns[v] = (const uint8_t *)matrix->panels + (p + v) * panel_bytes;
        lanes results[TILE_ROWS][MOST_PANELS];
        product_tile(rows, vectors, format, x, columns, CK_PANEL, matrix->k, false, results);
        for (size_t i = 0; i < rows; i++)
            for (size_t v = 0; v < vectors; v++) finish(output, row + i, (p + v) * CK_PANEL, results[i][v]);
    }
}

INLINE void float_matmul(
    const ck_format format, const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows,
    size_t panel, size_t panels, const ck_output *output) {
    const size_t panel_bytes = ck_panel_bytes(format, matrix->k);
    const size_t together = CK_CACHED_BYTES < panel_bytes ? 1 : CK_CACHED_BYTES / panel_bytes;
    for (size_t p = panel, some; p < panel + panels; p += some) {
        some = at_most(panel + panels - p, together);
        for (size_t r = row, count; r < row + rows; r += count) {
            count = tile_rows(row + rows - r, TILE_ROWS);
            float_rows(format, matrix, activations, r, count, p, some, output);
        }
    }
}

static void matmul_f32(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    float_matmul(CK_PANEL_F32, m, a, row, rows, panel, panels, y);
}

static void matmul_f16(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    float_matmul(CK_PANEL_F16, m, a, row, rows, panel, panels, y);
}

static void matmul_bf16(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    float_matmul(CK_PANEL_BF16, m, a, row, rows, panel, panels, y);
}

static void matmul(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    switch (m->format) {
    case CK_PANEL_4BIT: matmul_4bit(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_4BIT_MIN: matmul_4bit_min(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_8BIT: matmul_8bit(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_8BIT_MIN: matmul_8bit_min(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_F32: matmul_f32(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_F16: matmul_f16(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_BF16: matmul_bf16(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_I8: (a->is_wide ? matmul_i8_wide : matmul_i8)(m, a, row, rows, panel, panels, y); return;
    }
}

// MARK: - Ceilings

#include "ceilings.h"

// MARK: - Element-wise

static void rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y) {
    const size_t whole = n / 16 * 16;
    lanes squares = 0;
    for (size_t i = 0; i < whole; i += 16) squares = multiply_add(load(x + i), load(x + i), squares);
    const lanes tail = load_part(x + whole, n - whole);
    squares = multiply_add(tail, tail, squares);
    const float inverse = 1.0f / sqrtf(sum(squares) / (float)n + epsilon);
    for (size_t i = 0; i < whole; i += 16) store_lanes(y + i, load(x + i) * inverse * load(weight + i));
    for (size_t i = whole; i < n; i++) y[i] = x[i] * inverse * weight[i];
}

static void rotary(
    float *x, size_t heads, size_t head_dimension, size_t half, const float *cosines, const float *sines) {
    for (size_t head = 0; head < heads; head++, x += head_dimension) {
        size_t i = 0;
        for (; i + 16 <= half; i += 16) {
            const lanes a = load(x + i), b = load(x + half + i), c = load(cosines + i), s = load(sines + i);
            store_lanes(x + i, multiply_add(a, c, -(b * s)));
            store_lanes(x + half + i, multiply_add(b, c, a * s));
        }
        for (; i < half; i++) {
            const float a = x[i], b = x[i + half];
            x[i] = fmaf(a, cosines[i], -(b * sines[i]));
            x[i + half] = fmaf(b, cosines[i], a * sines[i]);
        }
    }
}

INLINE lanes swiglu_lanes(lanes gate, lanes up) { return gate / (1.0f + exponential(-gate)) * up; }

static void swiglu(const float *gate, const float *up, size_t n, float *y) {
    const size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) store_lanes(y + i, swiglu_lanes(load(gate + i), load(up + i)));
    const lanes tail = swiglu_lanes(load_part(gate + whole, n - whole), load_part(up + whole, n - whole));
    memcpy(y + whole, &tail, (n - whole) * sizeof *y);
}

/// gate * (A + B gate^2): twice the argument of tanh in gelu.
INLINE lanes geglu_lanes(lanes gate, lanes up) {
    const lanes argument = gate * multiply_add(gate * gate, CK_GELU_B, CK_GELU_A);
    return gate / (1.0f + exponential(-argument)) * up;
}

static void geglu(const float *gate, const float *up, size_t n, float *y) {
    const size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) store_lanes(y + i, geglu_lanes(load(gate + i), load(up + i)));
    const lanes tail = geglu_lanes(load_part(gate + whole, n - whole), load_part(up + whole, n - whole));
    memcpy(y + whole, &tail, (n - whole) * sizeof *y);
}

INLINE lanes bounded(lanes x, float bound) {
    return bound - 2.0f * bound / (exponential(x * (2.0f / bound)) + 1.0f);
}

static void softcap(float *x, size_t n, float bound) {
    for (size_t i = 0; i < n; i += 16) store_lanes(x + i, bounded(load(x + i), bound));
}

// MARK: - Attention

#include "attention.h"
