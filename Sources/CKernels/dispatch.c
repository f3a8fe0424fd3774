// Chooses an implementation once and forwards to it.
#include "table.h"

static const ck_table *table_of(ck_level level) {
    switch (level) {
#if defined(__x86_64__)
    case CK_AVX2: return &ck_avx2_table;
    case CK_AVXVNNI: return &ck_avxvnni_table;
    case CK_AVX512: return &ck_avx512_table;
    case CK_AMX: return &ck_amx_table;
#elif defined(__aarch64__)
    case CK_NEON: return &ck_neon_table;
#endif
    default: return &ck_generic_table;
    }
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/// XCR0: which registers the operating system saves. CPUID alone says only what the processor could do.
static uint64_t enabled_state(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0) return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_avx2(void) {
    const uint64_t ymm = 0x6;
    return (enabled_state() & ymm) == ymm && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("f16c");
}

static bool has_avxvnni(void) {
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) != 0;
}

static bool has_avx512(void) {
    const uint64_t zmm = 0xE6;
    return (enabled_state() & zmm) == zmm && has_avx2() && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

/// The 8 KiB of tiles are saved only for processes that have asked (Documentation/arch/x86/xstate.rst of Linux). Whoever
/// uses a tile without is ended.
static bool tiles_are_permitted;

static void ask_for_tiles(void) {
    const long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, and the number of that part of the state
    tiles_are_permitted = syscall(SYS_arch_prctl, request, tile_data) == 0;
}

static bool has_amx(void) {
    const uint64_t tiles = 0x60000;
    const unsigned bfloats = 1u << 22, tile = 1u << 24, int8 = 1u << 25, all = bfloats | tile | int8;
    unsigned a, b, c, d;
    return tiles_are_permitted && (enabled_state() & tiles) == tiles && has_avx512()
        && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & all) == all;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

static bool has_neon(void) {
    const unsigned long dot_product = 1ul << 20;  // HWCAP_ASIMDDP
    return (getauxval(AT_HWCAP) & dot_product) != 0;
}
#endif

bool ck_supported(ck_level level) {
    switch (level) {
    case CK_GENERIC: return true;
#if defined(__x86_64__)
    case CK_AVX2: return has_avx2();
    case CK_AVXVNNI: return has_avxvnni();
    case CK_AVX512: return has_avx512();
    case CK_AMX: return has_amx();
#elif defined(__aarch64__)
    case CK_NEON: return has_neon();
#endif
    default: return false;
    }
}

static ck_level best_level(void) {
    static const ck_level descending[] = {CK_AMX, CK_AVX512, CK_AVXVNNI, CK_AVX2, CK_NEON};
    for (size_t i = 0; i < sizeof descending / sizeof *descending; i++)
        if (ck_supported(descending[i])) return descending[i];
    return CK_GENERIC;
}

static ck_level current = CK_GENERIC;
static const ck_table *kernels = &ck_generic_table;

__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    ask_for_tiles();
#endif
    ck_force(best_level());
}

bool ck_force(ck_level level) {
    if (!ck_supported(level)) return false;
    current = level;
    kernels = table_of(level);
    return true;
}

ck_level ck_current(void) { return current; }

const char *ck_level_name(ck_level level) {
    switch (level) {
    case CK_GENERIC: return "generic";
    case CK_AVX2: return "AVX2";
    case CK_AVXVNNI: return "AVX-VNNI";
    case CK_AVX512: return "AVX-512 VNNI";
    case CK_NEON: return "NEON";
    case CK_AMX: return "AMX";
    }
    return "unknown";
}

void ck_quantize(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks) {
    kernels->quantize(values, rows, stride, k, quants, blocks);
}

void ck_quantize_rows(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks) {
    kernels->quantize_rows(values, rows, stride, k, quants, blocks);
}

void ck_quantize_fixed(
    const float *values, size_t rows, size_t stride, size_t k, float scale, float offset, int8_t *quants,
    ck_block *blocks) {
    kernels->quantize_fixed(values, rows, stride, k, scale, offset, quants, blocks);
}

void ck_round(float *values, size_t rows, size_t stride, size_t k, uint16_t *bfloats) {
    kernels->round(values, rows, stride, k, bfloats);
}

void ck_matmul(
    const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *output) {
    kernels->matmul(matrix, activations, row, rows, panel, panels, output);
}

size_t ck_rows_together(ck_format format, size_t k) {
    const bool bytes = ck_is_quantized(format) || format == CK_PANEL_I8;
    const bool tiled = current == CK_AMX && (bytes || format == CK_PANEL_BF16);
    // Tiles use up weights faster than memory brings them unless many rows share them.
    const size_t cached = tiled ? 1000000 : 240000, tile = tiled ? 32 : 12;
    const size_t tiles = cached / (k * (bytes ? 1 : tiled ? 2 : 4)) / tile;
    return (tiles > 0 ? tiles : 1) * tile;
}

void ck_rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y) {
    kernels->rms_norm(x, weight, n, epsilon, y);
}

void ck_rotary(float *x, size_t heads, size_t head_dimension, size_t half, const float *cosines, const float *sines) {
    kernels->rotary(x, heads, head_dimension, half, cosines, sines);
}

void ck_swiglu(const float *gate, const float *up, size_t n, float *y) { kernels->swiglu(gate, up, n, y); }

void ck_geglu(const float *gate, const float *up, size_t n, float *y) { kernels->geglu(gate, up, n, y); }

void ck_softcap(float *x, size_t n, float bound) { kernels->softcap(x, n, bound); }

bool ck_store(
    ck_type type, const float *key, const float *value, size_t head_dimension, size_t position, void *keys,
    void *values) {
    return kernels->store(type, key, value, head_dimension, position, keys, values);
}

void ck_attend(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    kernels->attend(cache, segment, queries, lengths, count, partials);
}

void ck_attend_merge(float *state, const float *partial, size_t head_dimension) {
    kernels->attend_merge(state, partial, head_dimension);
}

void ck_attend_finish(const float *state, size_t head_dimension, size_t count, float *y) {
    kernels->attend_finish(state, head_dimension, count, y);
}

uint32_t ck_read(const void *memory, size_t bytes) { return kernels->read(memory, bytes); }

size_t ck_exercise(ck_format format, size_t rounds) { return kernels->exercise(format, rounds); }
