#pragma once
// Keys and values as integers: behind whoever defines `quantize_rows`.

#include <string.h>

#include "table.h"

/// The scales of a group, one a position, behind its elements.
static inline const float *ck_group_scales(const void *group, size_t head_dimension) {
    return (const float *)(const void *)((const int8_t *)group + CK_GROUP * head_dimension);
}

static inline void set_group_scale(void *group, size_t head_dimension, size_t position, float scale) {
    memcpy((int8_t *)group + CK_GROUP * head_dimension + position * sizeof scale, &scale, sizeof scale);
}

/// `store` for CK_I8. The key is quantized where the value will be, from where it goes to its column.
static bool store_integers(
    const float *key, const float *value, size_t head_dimension, size_t position, void *keys, void *values) {
    int8_t *row = (int8_t *)values + ck_value_index(CK_I8, 0, position, head_dimension);
    ck_block of_key, of_value;
    quantize_rows(key, 1, head_dimension, head_dimension, row, &of_key);
    for (size_t i = 0; i < head_dimension; i++) ((int8_t *)keys)[ck_key_index(CK_I8, i, position)] = row[i];
    quantize_rows(value, 1, head_dimension, head_dimension, row, &of_value);
    set_group_scale(keys, head_dimension, position, of_key.scale);
    set_group_scale(values, head_dimension, position, of_value.scale);
    return of_key.scale < INFINITY && of_value.scale < INFINITY;
}
