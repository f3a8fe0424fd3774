#pragma once
// Arithmetic of the CPU back end: plain C functions over caller-owned memory, each with one implementation per
// instruction set, chosen once per process.
//
// Numbers. Every float result is defined by a fixed order of IEEE operations (stated at each function), and every
// instruction set follows it, so all of them give the same bits as the scalar code in generic.c. A row's result never
// depends on which other rows, panels or queries are computed in the same call.
//
// Memory. No function allocates, keeps a pointer or writes outside the ranges named here. Unless said otherwise,
// pointers need the alignment of their element type only, and outputs must not overlap inputs.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: - Dispatch

/// Instruction sets with an implementation.
typedef enum {
    CK_GENERIC = 0,  ///< scalar C, the oracle of the others
    CK_AVX2 = 1,     ///< AVX2, FMA, F16C
    CK_AVXVNNI = 2,  ///< AVX2 and the 256-bit VPDPBUSD
    CK_AVX512 = 3,   ///< AVX-512 F, BW, VL, DQ, VNNI
    CK_NEON = 4,     ///< AArch64 with SDOT
    CK_AMX = 5,      ///< CK_AVX512 and the tiles of AMX for products of integers and of bfloat16
} ck_level;

/// Whether processor and operating system support `level` and this build contains it. AMX also takes the permission of the
/// kernel, which is asked once as the process starts: a filter of system calls may refuse it, and so may the kernel where an
/// alternate signal stack is too small for tiles.
bool ck_supported(ck_level level);
/// The level in use: the best supported one, unless `ck_force` chose another.
ck_level ck_current(void);
/// Uses `level` from now on, for tests; false and no change when it is not supported. Call while no kernel runs.
bool ck_force(ck_level level);
/// A short name for people.
const char *ck_level_name(ck_level level);

// MARK: - Weights

/// Columns of a panel: outputs computed together.
#define CK_PANEL 16
/// Inputs that share a scale.
#define CK_BLOCK 32

/// How a model file stores elements (GGML's layouts, byte for byte).
typedef enum {
    CK_F32 = 0,
    CK_F16 = 1,
    CK_BF16 = 2,
    CK_Q8_0 = 3,
    CK_Q4_0 = 4,
    CK_Q4_1 = 5,
    CK_Q4_K = 6,
    CK_Q5_K = 7,
    CK_Q6_K = 8,
    CK_I8 = 9,  ///< signed bytes; what they are multiplied by stands elsewhere
} ck_type;

/// How a packed matrix stores elements. A panel holds 16 outputs and all K inputs.
///
/// Quantized panels: first the scales, per block of 32 inputs 16 f16 (with `_MIN` another 16 f16 minimums), padded to
/// 64 bytes; then per block the quants in the order of a four-way byte dot product: 8 steps of [16 outputs][4 inputs].
/// 4-bit panels hold steps 2i and 2i + 1 in the low and high nibbles of 64 bytes. Float panels: [K][16]; those of bfloat16 hold
/// pairs, [K / 2][16 outputs][2 inputs], the inputs padded to a multiple of 32, and zero for magnitudes below 2^-49.
/// Integer panels: 16 float scales, 16 int32 addends, then quants + 128 in steps of [16 outputs][4 inputs], the inputs
/// padded to a multiple of 16.
typedef enum {
    CK_PANEL_4BIT = 0,      ///< value = scale * (quant - 8)
    CK_PANEL_4BIT_MIN = 1,  ///< value = scale * quant + minimum
    CK_PANEL_8BIT = 2,      ///< value = scale * (quant - 128)
    CK_PANEL_8BIT_MIN = 3,  ///< value = scale * quant + minimum; quant below 128
    CK_PANEL_F32 = 4,
    CK_PANEL_F16 = 5,
    CK_PANEL_BF16 = 6,
    CK_PANEL_I8 = 7,  ///< output = scale * (integer product + addend)
} ck_format;

/// The panel format that holds elements of `type`. Exact but for: Q4_K and Q5_K, whose products of block scale and
/// sub-block scale are rounded to f16 (2^-11 relative); Q6_K, requantized to 8 bits per 32 inputs (error at most
/// 1/254 of the largest magnitude among the 32).
ck_format ck_format_of(ck_type type);
/// Whether activations for this format must be quantized in blocks (`ck_quantize`).
bool ck_is_quantized(ck_format format);
/// Bytes of a panel of `k` inputs, a multiple of 64. `k` is a multiple of 32 for quantized formats.
size_t ck_panel_bytes(ck_format format, size_t k);
/// Packs one panel in the format `ck_format_of(type)`.
///
/// - rows: 16 pointers, each to `k` elements of `type` (any alignment); NULL makes that output zero
/// - panel: `ck_panel_bytes` bytes, 64-byte aligned
///
/// Integers are packed with the scale 1 and the addend 0; see `ck_scale_panel`.
void ck_pack_panel(ck_type type, const void *const rows[CK_PANEL], size_t k, void *panel);
/// Packs one panel of elements of a float `type` in a float `format`, rounding to nearest even where they differ.
/// Returns the largest magnitude among the elements before rounding: NaN if one is NaN.
///
/// - rows, panel: as for `ck_pack_panel`
float ck_pack_floats(ck_type type, const void *const rows[CK_PANEL], size_t k, ck_format format, void *panel);
/// The largest magnitude of `n` values: NaN if one is NaN, 0 of none.
float ck_largest(const float *values, size_t n);
/// Sets what the outputs of a packed panel of integers are multiplied by, and what is added before.
void ck_scale_panel(const float scales[CK_PANEL], const int32_t addends[CK_PANEL], void *panel);
/// Decodes `n` elements (whole blocks of `type`; any alignment) to float.
void ck_dequantize(ck_type type, const void *source, size_t n, float *values);

/// A packed matrix of panels, one after the other.
typedef struct {
    const void *panels;  ///< (ceil(outputs / 16)) panels, 64-byte aligned
    ck_format format;
    size_t k;        ///< inputs
    size_t outputs;  ///< outputs; the last panel is padded with zeros
} ck_matrix;

// MARK: - Activations

/// What a block of 32 quantized activations needs besides its quants.
typedef struct {
    float scale;    ///< value = scale * quant
    float offset;   ///< scale * sum of quants: multiplies the minimums of weights
    int32_t zero4;  ///< -8 * sum of quants: takes off the zero point of 4-bit weights
    int32_t zero8;  ///< -128 * sum of quants: takes off the zero point of 8-bit weights
} ck_block;

/// Rows of inputs of a matrix product. Float formats read `values`; quantized formats read `quants` and `blocks`;
/// integers read `quants` and `blocks` as rows of `ck_padded(k)` bytes and one block each; bfloat16 reads `bfloats`, or `values`
/// that `ck_round` has rounded to the same.
typedef struct {
    const float *values;     ///< (rows, stride)
    const int8_t *quants;    ///< (rows, k), each within -127...127
    const ck_block *blocks;  ///< (rows, k / 32)
    const uint16_t *bfloats; ///< (rows, ck_padded_pairs(k))
    size_t stride;           ///< floats between rows of `values`
    bool is_wide;            ///< of integer products: whether a quant can be -128
} ck_activations;

/// Quantizes rows to 8 bits per block of 32: scale = max|x| / 127, quant = x * (127 / max|x|) rounded to nearest even.
/// A block with NaN or infinity gets the scale NaN; one with max|x| below 1e-35 is zero.
///
/// - values: (rows, stride); k: multiple of 32
/// - quants: (rows, k); blocks: (rows, k / 32)
void ck_quantize(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks);

/// Inputs of an integer product, padded: rows of its quants begin so many bytes apart.
static inline size_t ck_padded(size_t k) { return (k + 15) / 16 * 16; }

/// Quantizes whole rows to 8 bits: scale = max|x| / 127, quant = x / scale rounded to nearest even. `scale` and `zero8`
/// of one block per row are set. A row with NaN or infinity gets the scale NaN; one with max|x| below 1e-35 is zero.
///
/// - values: (rows, stride)
/// - quants: (rows, ck_padded(k)), zero behind k; blocks: (rows)
void ck_quantize_rows(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks);
/// Quantizes whole rows with a scale that is known before: quant = x / scale rounded to nearest even, plus offset, at
/// most 127 and at least -128. The rows' blocks get the scale 1: the factor is in that of the weights. A row with NaN or
/// infinity gets the scale NaN.
///
/// - offset: a whole number within -128...127; otherwise as `ck_quantize_rows`
void ck_quantize_fixed(
    const float *values, size_t rows, size_t stride, size_t k, float scale, float offset, int8_t *quants,
    ck_block *blocks);

/// Inputs of a product of bfloat16, padded: rows begin so many numbers apart.
static inline size_t ck_padded_pairs(size_t k) { return (k + 31) / 32 * 32; }

/// Rounds rows to bfloat16, to nearest even, where they stand; magnitudes below 2^-49 become zero. No sum of products of such
/// numbers is ever subnormal, which some instructions would flush to zero and others keep.
///
/// - values: (rows, stride), in place
/// - bfloats: (rows, ck_padded_pairs(k)), the same, zero behind k; or NULL
void ck_round(float *values, size_t rows, size_t stride, size_t k, uint16_t *bfloats);

/// How far quants are from the numbers they stand for, summed up.
typedef struct {
    double products;  ///< sum of x * y, y being what quants mean
    double squares;   ///< sum of x * x
    double decoded;   ///< sum of y * y
    float largest;    ///< largest |x - y|
} ck_error;

/// Adds the errors of one row.
void ck_add_error(const float *values, const int8_t *quants, float scale, size_t k, ck_error *error);

// MARK: - Matrix product

/// Where a product goes: y = product (+ bias) (+ y).
typedef struct {
    float *y;           ///< (rows, stride); the columns of whole panels are written, so `stride` covers the padding
    size_t stride;      ///< floats between rows
    const float *bias;  ///< (outputs rounded up to 16) or NULL
    bool accumulate;    ///< add to what `y` holds
} ck_output;

/// Multiplies rows `row ..< row + rows` with panels `panel ..< panel + panels` of a matrix.
///
/// Order, quantized: sum = 0; for each block of 32 in order: [with minimums: sum = fma(minimum, offset, sum);]
/// sum = fma(float(exact integer dot product), weight scale * activation scale, sum). Float: sum = fma(x, w, sum) for
/// each input in order. bfloat16: for each 32 inputs in order even = fma(x, w, even) for those with even numbers, odd likewise, both
/// from zero, then sum = sum + (even + odd), as TDPBF16PS does. Integers, k below 2^17: the exact product plus addend, modulo 2^32, as float, times
/// (scale of the output * scale of the row). Then + bias, then + y.
void ck_matmul(
    const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *output);
/// Rows that are best multiplied in one call: activations that stay in the second-level cache while panels pass by, in whole
/// tiles.
size_t ck_rows_together(ck_format format, size_t k);

// MARK: - Element-wise

/// y = x * (1 / sqrt(mean(x^2) + epsilon)) * weight. The squares are summed in 16 lanes by fma, then lane i with i + 8,
/// i + 4, i + 2, i + 1.
///
/// - x, weight: (n); y: (n), may be `x`
void ck_rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y);
/// Turns elements (i, i + half) of each head by an angle: (a cos - b sin, a sin + b cos), each as fma of a rounded
/// product.
///
/// - x: (heads, head_dimension), in place; cosines, sines: (half); 2 * half <= head_dimension
void ck_rotary(
    float *x, size_t heads, size_t head_dimension, size_t half, const float *cosines, const float *sines);
/// y = gate / (1 + exp(-gate)) * up, with this library's exp.
///
/// - gate, up: (n); y: (n), may be either
void ck_swiglu(const float *gate, const float *up, size_t n, float *y);

/// y = gelu(gate) * up in gelu's tanh form, which is gate / (1 + exp(-gate * (A + B gate^2))).
///
/// - gate, up: (n); y: (n), may be either
void ck_geglu(const float *gate, const float *up, size_t n, float *y);
/// x = bound * tanh(x / bound), as bound - 2 bound / (exp(x * (2 / bound)) + 1).
///
/// - x: (n), in place, n a multiple of 16; bound: above 0
void ck_softcap(float *x, size_t n, float bound);

// MARK: - Attention over a paged cache

/// Positions whose attention is computed together, counted from position 0; partial results are merged in order.
#define CK_SEGMENT 256
/// Positions of one group of the cache.
#define CK_GROUP 16
/// Floats of a partial result: head_dimension sums, then maximum and denominator (and padding).
#define CK_PARTIAL(head_dimension) ((head_dimension) + 16)

/// One KV head of one layer as one sequence sees it. Keys and values are of `type`. A block holds `block_size / 16` groups;
/// a group of keys is [head_dimension][16 positions], a group of values [16 positions][head_dimension]. In bfloat16 both hold pairs,
/// [head_dimension / 2][16 positions][2 elements] and [8][head_dimension][2 positions], and zero for magnitudes below 2^-49.
/// Behind a group of integers stand 16 float scales, one for each position: an element is that times its integer.
typedef struct {
    const void *keys;             ///< first block of this layer and head
    const void *values;           ///< first block of this layer and head
    ck_type type;                 ///< of keys and values: CK_F32, CK_F16, CK_BF16 or CK_I8
    size_t block_stride;          ///< elements between blocks of the pool
    const int32_t *block_table;   ///< the sequence's blocks in order
    size_t block_size;            ///< positions of a block, a multiple of 16
    size_t head_dimension;        ///< a multiple of 16
    float scale;                  ///< of the scores
    float bound;                  ///< of the scaled scores, see `ck_softcap`; 0 for none
    size_t window;                ///< positions a query sees, the last ones of its length; 0 for all
} ck_cache;

/// Bytes of one element of a type that a cache can have.
size_t ck_element_bytes(ck_type type);
/// Elements that a group takes; behind integers their scales are counted in.
static inline size_t ck_group_elements(ck_type type, size_t head_dimension) {
    return CK_GROUP * (head_dimension + (type == CK_I8 ? sizeof(float) : 0));
}
/// Writes one position's key and value of one head into its group, rounded to nearest even; integers as
/// `ck_quantize_rows` makes them, of the key and of the value each by itself. Returns whether all are finite there: false for
/// NaN, infinity and what is beyond the range of `type`.
///
/// - key, value: (head_dimension); keys, values: the group's start; position: 0..<16
bool ck_store(
    ck_type type, const float *key, const float *value, size_t head_dimension, size_t position, void *keys,
    void *values);
/// Attends over positions `segment * 256 ..< min(segment * 256 + 256, lengths[i])`, those before
/// `lengths[i] - window` left out. Nothing beyond the largest length is read from `values`; what is read of keys beyond
/// it has no influence.
///
/// Sums of products go in the order of `ck_matmul`, values in groups of 16. Beside bfloat16, weights are rounded as `ck_round` does.
/// Integers are multiplied as bfloat16, which holds them exactly: a key's scale multiplies its score, a value's scale its weight
/// before that is rounded. The denominator is the sum of weights as they are rounded, beside integers neither scaled nor rounded.
///
/// - queries: (count) pointers to (head_dimension) floats, rounded by `ck_round` beside a cache of bfloat16 or integers
/// - lengths: (count) positions each query sees
/// - partials: (count, CK_PARTIAL(head_dimension))
void ck_attend(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials);
/// Merges the partial result of the next segment into `state`, which starts as the partial result of any segment: of
/// one in which a query sees nothing, the maximum is -infinity and all else 0.
void ck_attend_merge(float *state, const float *partial, size_t head_dimension);
/// y = sums / denominator for the first `count` of the sums; the rest is padding.
void ck_attend_finish(const float *state, size_t head_dimension, size_t count, float *y);

// MARK: - Ceilings

/// Reads memory in order as fast as can be. Returns its 32-bit words combined by exclusive or.
///
/// - bytes: a multiple of 512
uint32_t ck_read(const void *memory, size_t bytes);
/// Repeats the products of `ck_matmul` for that format with 64 bytes of weights, or 16 floats, and nothing else: no
/// scales, no memory. Returns how many operations that was, a product and its sum being two.
size_t ck_exercise(ck_format format, size_t rounds);

// MARK: - Waiting

/// Tells the processor that this thread spins.
static inline void ck_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}
