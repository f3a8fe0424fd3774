#pragma once
// Attention over a paged cache: a part of kernels.h.

#include "cached_integers.h"
#include "lanes.h"

INLINE short_lanes to_shorts(ck_type type, lanes x) {
    if (type == CK_BF16) return to_factors(x);
    const half_lanes halves = __builtin_convertvector(x, half_lanes);
    return (short_lanes)halves;
}

static bool store(
    ck_type type, const float *key, const float *value, size_t head_dimension, size_t position, void *keys,
    void *values) {
    if (type == CK_I8) return store_integers(key, value, head_dimension, position, keys, values);
    bit_lanes largest = 0;  // as integers, magnitudes order NaN above infinity above every number
    for (size_t i = 0; i < head_dimension; i += 16) {
        const lanes k = load(key + i), v = load(value + i);
        largest = __builtin_elementwise_max(largest, (bit_lanes)k & 0x7FFFFFFFu);
        largest = __builtin_elementwise_max(largest, (bit_lanes)v & 0x7FFFFFFFu);
        if (type == CK_F32) {
            UNROLL for (int lane = 0; lane < 16; lane++)
                ((float *)keys)[ck_key_index(CK_F32, i + (size_t)lane, position)] = k[lane];
            store_lanes((float *)values + ck_value_index(CK_F32, i, position, head_dimension), v);
            continue;
        }
        const short_lanes short_key = to_shorts(type, k), short_value = to_shorts(type, v);
        UNROLL for (int lane = 0; lane < 16; lane++) {
            const size_t element = i + (size_t)lane;
            ((uint16_t *)keys)[ck_key_index(type, element, position)] = short_key[lane];
            ((uint16_t *)values)[ck_value_index(type, element, position, head_dimension)] = short_value[lane];
        }
    }
    return __builtin_reduce_max(largest) < ck_overflow_bits(type);
}

/// Bytes of an element of the cache.
INLINE size_t element_bytes(const ck_format format) {
    return format == CK_PANEL_F32 ? 4 : format == CK_PANEL_I8 ? 1 : 2;
}

/// Whether products are those of bfloat16.
INLINE bool takes_bfloats(const ck_format format) { return format == CK_PANEL_BF16 || format == CK_PANEL_I8; }

/// What multiplies integers of a segment, by position.
typedef struct {
    float keys[CK_SEGMENT], values[CK_SEGMENT];
} segment_scales;

INLINE void gather_scales(const ck_cache *cache, size_t first_group, size_t groups, segment_scales *scales) {
    const size_t d = cache->head_dimension;
    for (size_t g = 0; g < groups; g++) {
        const size_t offset = ck_group_offset(cache, first_group + g);
        memcpy(scales->keys + g * CK_GROUP, ck_group_scales((const int8_t *)cache->keys + offset, d), CK_GROUP * 4);
        memcpy(scales->values + g * CK_GROUP, ck_group_scales((const int8_t *)cache->values + offset, d), CK_GROUP * 4);
    }
}

/// Asks for a group's keys or values early: a context is scattered over the pool, where no hardware prefetcher follows.
INLINE void prefetch_group(const uint8_t *group, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(group + i);
}

/// Products of up to TILE_ROWS queries and all keys of `groups` groups.
INLINE void scores_of(
    const ck_format format, const ck_cache *cache, size_t first_group, size_t groups, const float *const *queries,
    size_t count, bool is_first, float (*scores)[CK_SEGMENT]) {
    const size_t size = element_bytes(format), group_bytes = ck_group_elements(cache->type, cache->head_dimension) * size;
    const uint8_t *keys = cache->keys, *values = cache->values;
    const size_t most = TILE_PANELS(count);
    for (size_t g = 0, vectors; g < groups; g += vectors) {
        vectors = at_most(groups - g, most);
        const void *columns[MOST_PANELS];
        for (size_t v = 0; v < vectors; v++) {
            const size_t offset = ck_group_offset(cache, first_group + g + v), next = g + v + most;
            columns[v] = keys + offset * size;
            if (is_first) prefetch_group(values + offset * size, group_bytes);
            if (is_first && next < groups)
                prefetch_group(keys + ck_group_offset(cache, first_group + next) * size, group_bytes);
        }
        lanes results[TILE_ROWS][MOST_PANELS];
        product_tile(count, vectors, format, queries, columns, CK_GROUP, cache->head_dimension, false, results);
        for (size_t i = 0; i < count; i++)
            for (size_t v = 0; v < vectors; v++) store_lanes(&scores[i][(g + v) * 16], results[i][v]);
    }
}

/// Scales and bounds products of a query and keys, and turns them into weights exp(score - maximum), zero before `start` and from
/// `end` on. Beside bfloat16 weights are rounded, and written to `factors` too if there is one; beside integers they are
/// multiplied by the scales of values first. Scales from `end` on can be anything.
INLINE void soften(
    const ck_format format, const ck_cache *cache, const segment_scales *scales, float *scores, size_t groups, size_t start,
    size_t end, uint16_t *factors, float *maximum, float *denominator) {
    // Positions before `start` are huge as unsigned numbers, so that one comparison is enough.
    const bit_lanes index = (bit_lanes){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} - (uint32_t)start;
    const bit_lanes length = (uint32_t)(end > start ? end - start : 0);
    lanes high = -INFINITY, total = 0;
    for (size_t g = 0; g < groups; g++) {
        lanes score = load(scores + g * 16);
        if (format == CK_PANEL_I8) score *= load(scales->keys + g * 16);
        score *= cache->scale;
        if (cache->bound > 0) score = bounded(score, cache->bound);
        store_lanes(scores + g * 16, score);
        high = larger(index + (uint32_t)(g * 16) < length ? score : (lanes)(-INFINITY), high);
    }
    *maximum = largest(high);
    for (size_t g = 0; g < groups; g++) {
        const lanes weight = exponential(load(scores + g * 16) - *maximum);
        const int_lanes is_seen = index + (uint32_t)(g * 16) < length;
        lanes kept = is_seen ? weight : (lanes)0.0f;
        if (format == CK_PANEL_I8) {
            total += kept;
            kept = is_seen ? weight * load(scales->values + g * 16) : (lanes)0.0f;
        }
        if (takes_bfloats(format)) {
            const short_lanes rounded = to_factors(kept);
            if (factors != NULL) memcpy(factors + g * 16, &rounded, sizeof rounded);
            kept = load_bfloats((const uint16_t *)&rounded);
        }
        store_lanes(scores + g * 16, kept);
        if (format != CK_PANEL_I8) total += kept;
    }
    *denominator = sum(total);
}

/// Sums of values by weight: positions from `from`, a group's first, to before `longest` for all queries; a query's own end is in
/// its zero weights. What is behind the first is added to `partials`.
INLINE void mix(
    const ck_format format, const ck_cache *cache, size_t first_group, size_t from, size_t longest,
    float (*weights)[CK_SEGMENT], size_t count, float *partials) {
    const size_t d = cache->head_dimension, size = element_bytes(format);
    // A group's values are rows of positions, or, in bfloat16, of pairs of them.
    const size_t step = format == CK_PANEL_BF16 ? 4 : size;
    for (size_t column = 0, vectors; column < d; column += vectors * 16) {
        vectors = at_most((d - column) / 16, TILE_PANELS(count));
        lanes results[TILE_ROWS][MOST_PANELS];
        for (size_t i = 0; i < count; i++)
            for (size_t v = 0; v < vectors; v++)
                results[i][v] = from > 0 ? load(partials + i * CK_PARTIAL(d) + column + v * 16) : 0;
        for (size_t position = from; position < longest; position += CK_GROUP) {
            const size_t group = ck_group_offset(cache, first_group + position / CK_GROUP);
            const uint8_t *values = (const uint8_t *)cache->values + group * size + column * step;
            const size_t positions = at_most(longest - position, CK_GROUP);
            const float *rows[TILE_ROWS];
            const void *columns[MOST_PANELS];
            for (size_t i = 0; i < count; i++) rows[i] = &weights[i][position];
            for (size_t v = 0; v < vectors; v++) columns[v] = values + v * 16 * step;
            product_tile(count, vectors, format, rows, columns, d, positions, true, results);
        }
        for (size_t i = 0; i < count; i++)
            for (size_t v = 0; v < vectors; v++)
                store_lanes(partials + i * CK_PARTIAL(d) + column + v * 16, results[i][v]);
    }
}

/// Most queries that are attended to together.
#define MOST_QUERIES 16

/// How much of a segment some queries see.
typedef struct {
    size_t start, first_group;  ///< of the segment
    size_t own[MOST_QUERIES];   ///< positions up to each query's end
    size_t longest, groups;     ///< of all: positions, and groups begun
} segment_view;

INLINE segment_view view_of(size_t segment, const int32_t *lengths, size_t count) {
    segment_view view = {.start = segment * CK_SEGMENT, .first_group = segment * CK_SEGMENT / CK_GROUP};
    for (size_t i = 0; i < count; i++) {
        const size_t length = (size_t)lengths[i];
        view.own[i] = length <= view.start ? 0 : at_most(length - view.start, CK_SEGMENT);
        view.longest = view.own[i] > view.longest ? view.own[i] : view.longest;
    }
    view.groups = (view.longest + CK_GROUP - 1) / CK_GROUP;
    return view;
}

/// Turns the products of query `i` and keys into weights, and writes the maximum of the scores and the sum of the weights.
INLINE void weigh(
    const ck_format format, const ck_cache *cache, const segment_view *view, const segment_scales *scales, size_t i,
    size_t length, float *scores, uint16_t *factors, float *partials) {
    float *statistics = partials + i * CK_PARTIAL(cache->head_dimension) + cache->head_dimension;
    const size_t window = cache->window;
    const size_t seen_from = window > 0 && length > window + view->start ? length - window - view->start : 0;
    soften(
        format, cache, scales, scores, view->groups, seen_from, view->own[i], factors, &statistics[0], &statistics[1]);
}

/// Up to TILE_ROWS queries, so that keys and values are converted once for all of them. The first tile of a call finds
/// them in memory, the others in the cache.
INLINE void attend_tile(
    const ck_format format, const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths,
    size_t count, bool is_first, float *partials) {
    const segment_view view = view_of(segment, lengths, count);
    float scores[TILE_ROWS][CK_SEGMENT];
    scores_of(format, cache, view.first_group, view.groups, queries, count, is_first, scores);
    segment_scales scales;
    if (format == CK_PANEL_I8) gather_scales(cache, view.first_group, view.groups, &scales);
    for (size_t i = 0; i < count; i++)
        weigh(format, cache, &view, &scales, i, (size_t)lengths[i], scores[i], NULL, partials);
    mix(format, cache, view.first_group, 0, view.longest, scores, count, partials);
}

INLINE void attend_tiles(
    const ck_format format, const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths,
    size_t count, float *partials) {
    for (size_t i = 0, rows; i < count; i += rows) {
        rows = tile_rows(count - i, TILE_ROWS);
        attend_tile(
            format, cache, segment, queries + i, lengths + i, rows, i == 0,
            partials + i * CK_PARTIAL(cache->head_dimension));
    }
}

static void attend_f32(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    attend_tiles(CK_PANEL_F32, cache, segment, queries, lengths, count, partials);
}

static void attend_f16(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    attend_tiles(CK_PANEL_F16, cache, segment, queries, lengths, count, partials);
}

static void attend_bf16(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    attend_tiles(CK_PANEL_BF16, cache, segment, queries, lengths, count, partials);
}

static void attend_i8(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    attend_tiles(CK_PANEL_I8, cache, segment, queries, lengths, count, partials);
}

static void attend(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    switch (cache->type) {
    case CK_F32: attend_f32(cache, segment, queries, lengths, count, partials); return;
    case CK_BF16: attend_bf16(cache, segment, queries, lengths, count, partials); return;
    case CK_I8: attend_i8(cache, segment, queries, lengths, count, partials); return;
    default: attend_f16(cache, segment, queries, lengths, count, partials); return;
    }
}

static void attend_merge(float *state, const float *partial, size_t d) {
    if (partial[d] == -INFINITY && partial[d + 1] == 0) return;  // the query sees nothing of this segment
    const float maximum = partial[d] > state[d] ? partial[d] : state[d];
    const lanes keep = exponential(state[d] - maximum), take = exponential(partial[d] - maximum);
    for (size_t i = 0; i < d; i += 16)
        store_lanes(state + i, multiply_add(load(partial + i), take, load(state + i) * keep));
    state[d + 1] = fmaf(partial[d + 1], take[0], state[d + 1] * keep[0]);
    state[d] = maximum;
}

static void attend_finish(const float *state, size_t d, size_t count, float *y) {
    const float inverse = 1.0f / state[d + 1];
    for (size_t i = 0; i < count; i += 16) {
        const lanes result = load(state + i) * inverse;
        memcpy(y + i, &result, at_most(count - i, 16) * sizeof *y);
    }
}
