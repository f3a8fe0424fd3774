#pragma once
// Operators of libopapi (8.x) or libopapi_{math,nn,transformer} (8.5, 9.x) that a forward pass is made of. Not linked, see
// ascend_runtime.h.
//
// Each has two stages: aclnnXGetWorkspaceSize checks, reads host arrays and gives an executor and the bytes of workspace;
// aclnnX puts the task on a stream. Comments say how lmcall calls them; the libraries take more. Unused tensors are NULL.

#include "ascend_objects.h"

/// The second stage of every operator.
typedef aclnnStatus (*asc_launch)(void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream stream);

#define ASC_LAUNCH(op) \
    aclnnStatus op(void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream stream);

// MARK: - Rows of tables

// Embedding: weight {V, H}, indices INT32/INT64, out {..., H} of the type of weight. A negative index is an error of
// the device, one too large reads anything. IndexSelect: index 0-D or 1-D.

aclnnStatus aclnnEmbeddingGetWorkspaceSize(
    const aclTensor *weight, const aclTensor *indices, const aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnIndexSelectGetWorkspaceSize(
    const aclTensor *self, int64_t dim, const aclTensor *index, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);

// MARK: - Norms

// y = x / sqrt(mean(x^2) + epsilon) * gamma over the trailing dimensions that gamma has. rstdOut is FLOAT, normalised
// dimensions 1, and required. AddRmsNorm: xOut = x1 + x2, yOut its norm; all of one type. AddRmsNormDynamicQuant:
// y1Out INT8, scale1Out FLOAT {rows}; smooth scales NULL, then y2Out and scale2Out are {1} and not written.
// AddRmsNormQuant: static, y = round(norm * scales + zeroPoints) or, with divMode, round(norm / scales + zeroPoints);
// axis -1.

aclnnStatus aclnnRmsNormGetWorkspaceSize(
    const aclTensor *x, const aclTensor *gamma, double epsilon, const aclTensor *yOut, const aclTensor *rstdOut,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnAddRmsNormGetWorkspaceSize(
    const aclTensor *x1, const aclTensor *x2, const aclTensor *gamma, double epsilon, const aclTensor *yOut,
    const aclTensor *rstdOut, const aclTensor *xOut, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnAddRmsNormQuantGetWorkspaceSize(
    const aclTensor *x1, const aclTensor *x2, const aclTensor *gamma, const aclTensor *scales1,
    const aclTensor *scales2Optional, const aclTensor *zeroPoints1Optional, const aclTensor *zeroPoints2Optional,
    int64_t axis, double epsilon, bool divMode, const aclTensor *y1Out, const aclTensor *y2Out,
    const aclTensor *xOut, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnAddRmsNormDynamicQuantGetWorkspaceSize(
    const aclTensor *x1, const aclTensor *x2, const aclTensor *gamma, const aclTensor *smoothScale1Optional,
    const aclTensor *smoothScale2Optional, double epsilon, const aclTensor *y1Out, const aclTensor *y2Out,
    const aclTensor *xOut, const aclTensor *scale1Out, const aclTensor *scale2Out, uint64_t *workspaceSize,
    aclOpExecutor **executor);

// MARK: - Quantisation

// DynamicQuant: per row of x (FLOAT16, BF16), scaleOut FLOAT = max|x * smooth| / 127, yOut INT8 = round(x * smooth /
// scale), half to even. AscendQuant: y = round(x * scale + offset), scale being the reciprocal of the input scale;
// roundMode "round", dstType 2. TransQuantParamV2: the UINT64 form of scales that QuantMatmul takes for outputs of
// FLOAT16 and INT8; cuts the scale to 19 bits.

aclnnStatus aclnnDynamicQuantGetWorkspaceSize(
    const aclTensor *x, const aclTensor *smoothScalesOptional, const aclTensor *yOut, const aclTensor *scaleOut,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnAscendQuantGetWorkspaceSize(
    const aclTensor *x, const aclTensor *scale, const aclTensor *offset, bool sqrtMode, const char *roundMode,
    int32_t dstType, const aclTensor *y, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnTransQuantParamV2GetWorkspaceSize(
    const aclTensor *scale, const aclTensor *offset, const aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);

// MARK: - Matrix products

// Mm: {M, K} x {K, N} of one type of FLOAT16, BF16, FLOAT; mat2 may be a transposed view. cubeMathType 0 keeps the
// type. Out has the type of the inputs; FLOAT from BF16 is not confirmed on hardware. MatmulWeightNz (9.x): mat2 in
// FRACTAL_NZ. With 8.1 Mm takes the tensor that TransMatmulWeight converted.

aclnnStatus aclnnMmGetWorkspaceSize(
    const aclTensor *self, const aclTensor *mat2, aclTensor *out, int8_t cubeMathType, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnMatmulGetWorkspaceSize(
    const aclTensor *self, const aclTensor *mat2, aclTensor *out, int8_t cubeMathType, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnBatchMatMulGetWorkspaceSize(
    const aclTensor *self, const aclTensor *mat2, aclTensor *out, int8_t cubeMathType, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnMatmulWeightNzGetWorkspaceSize(
    const aclTensor *self, const aclTensor *mat2, aclTensor *out, int8_t cubeMathType, uint64_t *workspaceSize,
    aclOpExecutor **executor);

// MARK: - Matrix products of integers

// x1 INT8 {m, k}, x2 INT8 {k, n}, or {n, k} with transposeX2. V4 (8.1): scale FLOAT/BF16 {n} or {1}, pertokenScale
// FLOAT {m} or NULL, out BF16; FLOAT16 wants scale FLOAT and pertokenScale; INT32 is the raw product + bias. An INT32
// bias is added before the scale, a BF16/FLOAT one after. V5 (9.x) and WeightNz (8.1): x1Scale is the scale per token,
// x2Scale that of the weight, yScale, x1Offset, x2Offset, yOffset NULL, groupSize 0. WeightNz: x2 in FRACTAL_NZ.

aclnnStatus aclnnQuantMatmulV4GetWorkspaceSize(
    const aclTensor *x1, const aclTensor *x2, const aclTensor *scale, const aclTensor *offset,
    const aclTensor *pertokenScaleOptional, const aclTensor *bias, bool transposeX1, bool transposeX2,
    const aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnQuantMatmulV5GetWorkspaceSize(
    const aclTensor *x1, const aclTensor *x2, const aclTensor *x1Scale, const aclTensor *x2Scale,
    const aclTensor *yScale, const aclTensor *x1Offset, const aclTensor *x2Offset, const aclTensor *yOffset,
    const aclTensor *bias, bool transposeX1, bool transposeX2, int64_t groupSize, aclTensor *out,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnQuantMatmulWeightNzGetWorkspaceSize(
    const aclTensor *x1, const aclTensor *x2, const aclTensor *x1Scale, const aclTensor *x2Scale,
    const aclTensor *yScale, const aclTensor *x1Offset, const aclTensor *x2Offset, const aclTensor *yOffset,
    const aclTensor *bias, bool transposeX1, bool transposeX2, int64_t groupSize, aclTensor *out,
    uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Weights in tiles

// TransMatmulWeight converts in place, in a buffer of as many elements as aclnnCalculateMatmulWeightSizeV2 says; the
// tensor is then created again with FRACTAL_NZ and the storage dimensions of the tiles. NpuFormatCast (9.x) converts
// from one tensor to another; the array of aclnnNpuFormatCastCalculateSizeAndFormat is freed by the caller.

aclnnStatus aclnnCalculateMatmulWeightSizeV2(
    const aclIntArray *tensorShape, aclDataType dataType, uint64_t *weightTensorSize);
aclnnStatus aclnnNpuFormatCastCalculateSizeAndFormat(
    const aclTensor *srcTensor, const int dstFormat, int additionalDtype, int64_t **dstShape,
    uint64_t *dstShapeSize, int *actualFormat);
aclnnStatus aclnnTransMatmulWeightGetWorkspaceSize(
    aclTensor *mmWeightRef, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnNpuFormatCastGetWorkspaceSize(
    const aclTensor *srcTensor, aclTensor *dstTensor, uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Positions

// ApplyRotaryPosEmb: query and key in place, head size 64 or 128, layout 1 BSND or 4 TND, cos and sin {T, 1, D} with
// the angles of the half repeated, all four of one type. V2 (9.x): rotaryMode "half". RotaryPositionEmbedding: one
// tensor, mode 0 half; x {T, N, D} with cos and sin {T, 1, D}.

aclnnStatus aclnnRotaryPositionEmbeddingGetWorkspaceSize(
    const aclTensor *x, const aclTensor *cos, const aclTensor *sin, int64_t mode, aclTensor *out,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnApplyRotaryPosEmbGetWorkspaceSize(
    aclTensor *queryRef, aclTensor *keyRef, const aclTensor *cos, const aclTensor *sin, int64_t layout,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnApplyRotaryPosEmbV2GetWorkspaceSize(
    aclTensor *queryRef, aclTensor *keyRef, const aclTensor *cos, const aclTensor *sin, int64_t layout,
    char *rotaryMode, uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Writes to the KV cache

// ScatterPaKvCache (8.5 and later): key and value {T, N, D}, caches {blocks, block size, N, D}, slots INT32/INT64 {T},
// all else NULL; a slot of -1 is skipped (not documented, but used so). InplaceIndexCopy is the form for 8.1: the
// cache viewed as {slots, N * D}, dim 0.

aclnnStatus aclnnScatterPaKvCacheGetWorkspaceSize(
    const aclTensor *key, aclTensor *keyCacheRef, const aclTensor *slotMapping, const aclTensor *value,
    aclTensor *valueCacheRef, const aclTensor *compressLensOptional, const aclTensor *compressSeqOffsetOptional,
    const aclTensor *seqLensOptional, char *cacheModeOptional, char *scatterModeOptional,
    const aclIntArray *stridesOptional, const aclIntArray *offsetsOptional, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnInplaceIndexCopyGetWorkspaceSize(
    aclTensor *selfRef, int64_t dim, const aclTensor *index, const aclTensor *source, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnScatterNdUpdateGetWorkspaceSize(
    aclTensor *varRef, const aclTensor *indices, const aclTensor *updates, uint64_t *workspaceSize,
    aclOpExecutor **executor);

// MARK: - Attention

// FusedInferAttentionScore V3 (8.1) and V4 (8.5): query {T, N, D} of layout "TND", key and value lists of one cache
// {blocks, block size, N_kv * D} each, attenMask INT8/BOOL {2048, 2048} with ones above the diagonal, actualSeqLengths
// cumulative ends of rows, actualSeqLengthsKv tokens in the cache per sequence, blockTable INT32 {B, blocks},
// sparseMode 3, innerPrecise 0, preTokens and nextTokens 2147483647, softmaxLseFlag false with softmaxLse FLOAT {1} or
// NULL; every other tensor NULL, every mode 0. Block size a multiple of 16, at most 128; head size 64 or 128
// (otherwise a multiple of 16 up to 256 with grouped heads). Over latents, with V4: query {T, N, 512} with N a power of two
// up to 128, queryRope {T, N, 64}, one cache {blocks, 16 or 128, 512} as key and value, keyRope {blocks, 16 or 128, 64},
// numKeyValueHeads 1. Both lengths are host arrays, read by the first stage.
// IncreFlashAttentionV4 and PromptFlashAttentionV3 are what 310P has in its place.

aclnnStatus aclnnFusedInferAttentionScoreV3GetWorkspaceSize(
    const aclTensor *query, const aclTensorList *key, const aclTensorList *value, const aclTensor *pseShiftOptional,
    const aclTensor *attenMaskOptional, const aclIntArray *actualSeqLengthsOptional,
    const aclIntArray *actualSeqLengthsKvOptional, const aclTensor *deqScale1Optional,
    const aclTensor *quantScale1Optional, const aclTensor *deqScale2Optional, const aclTensor *quantScale2Optional,
    const aclTensor *quantOffset2Optional, const aclTensor *antiquantScaleOptional,
    const aclTensor *antiquantOffsetOptional, const aclTensor *blockTableOptional,
    const aclTensor *queryPaddingSizeOptional, const aclTensor *kvPaddingSizeOptional,
    const aclTensor *keyAntiquantScaleOptional, const aclTensor *keyAntiquantOffsetOptional,
    const aclTensor *valueAntiquantScaleOptional, const aclTensor *valueAntiquantOffsetOptional,
    const aclTensor *keySharedPrefixOptional, const aclTensor *valueSharedPrefixOptional,
    const aclIntArray *actualSharedPrefixLenOptional, const aclTensor *queryRopeOptional,
    const aclTensor *keyRopeOptional, const aclTensor *keyRopeAntiquantScaleOptional, int64_t numHeads,
    double scaleValue, int64_t preTokens, int64_t nextTokens, char *inputLayout, int64_t numKeyValueHeads,
    int64_t sparseMode, int64_t innerPrecise, int64_t blockSize, int64_t antiquantMode, bool softmaxLseFlag,
    int64_t keyAntiquantMode, int64_t valueAntiquantMode, const aclTensor *attentionOut,
    const aclTensor *softmaxLse, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnFusedInferAttentionScoreV4GetWorkspaceSize(
    const aclTensor *query, const aclTensorList *key, const aclTensorList *value, const aclTensor *pseShiftOptional,
    const aclTensor *attenMaskOptional, const aclIntArray *actualSeqLengthsOptional,
    const aclIntArray *actualSeqLengthsKvOptional, const aclTensor *deqScale1Optional,
    const aclTensor *quantScale1Optional, const aclTensor *deqScale2Optional, const aclTensor *quantScale2Optional,
    const aclTensor *quantOffset2Optional, const aclTensor *antiquantScaleOptional,
    const aclTensor *antiquantOffsetOptional, const aclTensor *blockTableOptional,
    const aclTensor *queryPaddingSizeOptional, const aclTensor *kvPaddingSizeOptional,
    const aclTensor *keyAntiquantScaleOptional, const aclTensor *keyAntiquantOffsetOptional,
    const aclTensor *valueAntiquantScaleOptional, const aclTensor *valueAntiquantOffsetOptional,
    const aclTensor *keySharedPrefixOptional, const aclTensor *valueSharedPrefixOptional,
    const aclIntArray *actualSharedPrefixLenOptional, const aclTensor *queryRopeOptional,
    const aclTensor *keyRopeOptional, const aclTensor *keyRopeAntiquantScaleOptional,
    const aclTensor *dequantScaleQueryOptional, const aclTensor *learnableSinkOptional, int64_t numHeads,
    double scaleValue, int64_t preTokens, int64_t nextTokens, char *inputLayout, int64_t numKeyValueHeads,
    int64_t sparseMode, int64_t innerPrecise, int64_t blockSize, int64_t antiquantMode, bool softmaxLseFlag,
    int64_t keyAntiquantMode, int64_t valueAntiquantMode, int64_t queryQuantMode, const aclTensor *attentionOut,
    const aclTensor *softmaxLse, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnIncreFlashAttentionV4GetWorkspaceSize(
    const aclTensor *query, const aclTensorList *key, const aclTensorList *value, const aclTensor *pseShift,
    const aclTensor *attenMask, const aclIntArray *actualSeqLengths, const aclTensor *dequantScale1,
    const aclTensor *quantScale1, const aclTensor *dequantScale2, const aclTensor *quantScale2,
    const aclTensor *quantOffset2, const aclTensor *antiquantScale, const aclTensor *antiquantOffset,
    const aclTensor *blocktable, const aclTensor *kvPaddingSize, int64_t numHeads, double scaleValue,
    char *inputLayout, int64_t numKeyValueHeads, int64_t blockSize, int64_t innerPrecise,
    const aclTensor *attentionOut, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnPromptFlashAttentionV3GetWorkspaceSize(
    const aclTensor *query, const aclTensor *key, const aclTensor *value, const aclTensor *pseShift,
    const aclTensor *attenMask, const aclIntArray *actualSeqLengths, const aclIntArray *actualSeqLengthsKv,
    const aclTensor *deqScale1, const aclTensor *quantScale1, const aclTensor *deqScale2,
    const aclTensor *quantScale2, const aclTensor *quantOffset2, int64_t numHeads, double scaleValue,
    int64_t preTokens, int64_t nextTokens, char *inputLayout, int64_t numKeyValueHeads, int64_t sparseMode,
    int64_t innerPrecise, const aclTensor *attentionOut, uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Activations

// SwiGlu: halves A, B of dim, silu(A) * B. DequantSwigluQuant: x INT32, weightScale FLOAT {2 * n}, activationScale
// FLOAT {rows}, quantMode "dynamic" or "static", activateLeft true for silu of the left half; yOut INT8, scaleOut
// FLOAT {rows}.

aclnnStatus aclnnSwiGluGetWorkspaceSize(
    const aclTensor *x, int64_t dim, const aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnSiluGetWorkspaceSize(
    const aclTensor *self, aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnSigmoidGetWorkspaceSize(
    const aclTensor *self, aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnMulGetWorkspaceSize(
    const aclTensor *self, const aclTensor *other, aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnDequantSwigluQuantGetWorkspaceSize(
    const aclTensor *x, const aclTensor *weightScaleOptional, const aclTensor *activationScaleOptional,
    const aclTensor *biasOptional, const aclTensor *quantScaleOptional, const aclTensor *quantOffsetOptional,
    const aclTensor *groupIndexOptional, bool activateLeft, char *quantModeOptional, const aclTensor *yOut,
    const aclTensor *scaleOut, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnSwiGluQuantGetWorkspaceSize(
    const aclTensor *x, const aclTensor *smoothScalesOptional, const aclTensor *offsetsOptional,
    const aclTensor *groupIndexOptional, bool activateLeft, char *quantModeOptional, const aclTensor *yOut,
    const aclTensor *scaleOut, uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Element by element

// Add: self + alpha * other, with broadcast. Mul: with broadcast; a 16-bit float by FLOAT is FLOAT. InplaceCopy: strided,
// converts types.

aclnnStatus aclnnAddGetWorkspaceSize(
    const aclTensor *self, const aclTensor *other, const aclScalar *alpha, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnInplaceAddGetWorkspaceSize(
    const aclTensor *selfRef, const aclTensor *other, const aclScalar *alpha, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnMulsGetWorkspaceSize(
    const aclTensor *self, const aclScalar *other, aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnCastGetWorkspaceSize(
    const aclTensor *self, const aclDataType dtype, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnInplaceCopyGetWorkspaceSize(
    aclTensor *selfRef, const aclTensor *src, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnInplaceZeroGetWorkspaceSize(aclTensor *selfRef, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnInplaceFillScalarGetWorkspaceSize(
    aclTensor *selfRef, const aclScalar *value, uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Sampling

// ArgMax: out INT32/INT64. Topk: sorted true, indices INT64. LogSumExp: out of any float type, summed in FLOAT.
// ApplyTopKTopP (9.x): logits {B, V}, p of the same type {B}, k INT32 {B}; what is filtered becomes -infinity; p or k
// may be NULL, not both. Multinomial draws from probabilities.

aclnnStatus aclnnArgMaxGetWorkspaceSize(
    const aclTensor *self, int64_t dim, bool keepdim, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnTopkGetWorkspaceSize(
    const aclTensor *self, int64_t k, int64_t dim, bool largest, bool sorted, aclTensor *valuesOut,
    aclTensor *indicesOut, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnSoftmaxGetWorkspaceSize(
    const aclTensor *self, int64_t dim, aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnLogSoftmaxGetWorkspaceSize(
    const aclTensor *self, int64_t dim, aclTensor *out, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnLogSumExpGetWorkspaceSize(
    const aclTensor *self, const aclIntArray *dim, bool keepDim, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnApplyTopKTopPGetWorkspaceSize(
    const aclTensor *logits, const aclTensor *p, const aclTensor *k, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnSortGetWorkspaceSize(
    const aclTensor *self, bool stable, int64_t dim, bool descending, aclTensor *valuesOut, aclTensor *indicesOut,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnCumsumGetWorkspaceSize(
    const aclTensor *self, int64_t dim, aclDataType dtype, aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnMultinomialGetWorkspaceSize(
    const aclTensor *self, int64_t numsamples, bool replacement, int64_t seed, int64_t offset, aclTensor *out,
    uint64_t *workspaceSize, aclOpExecutor **executor);

// MARK: - Mixtures of experts

// MoeGatingTopKSoftmax: softmax over all experts, then the k largest; expertIdx, rowIdx INT32. MoeGatingTopK (8.5):
// normType 0 softmax, 1 sigmoid; bias of x's type {E} is added for choosing alone; of groupCount groups those kGroup
// stay whose best (groupSelectMode 0) or two best (1) are largest; weights are divided by their sum + eps with normType 1,
// or with renorm 1 (9.0), and times routedScalingFactor; outFlag false, and outOut FLOAT {T, E} there. MoeInitRoutingV2:
// activeNum 0, expertCapacity 0, expertNum E, dropPadMode 0, flag 2 for counts INT32 {E}; expandedX {T * k, H},
// expandedRowIdx INT32 {T * k}. GroupedMatmulV4/V5: lists of one x {M, K}, one weight {E, K, N}, splitItem 3,
// groupType 0, groupListType 0 cumulative or 1 counts, groupList INT64 on the device. MoeFinalizeRoutingV2:
// dropPadMode 2, scales {T, k}.

aclnnStatus aclnnMoeGatingTopKSoftmaxGetWorkspaceSize(
    const aclTensor *x, const aclTensor *finishedOptional, int64_t k, const aclTensor *yOut,
    const aclTensor *expertIdxOut, const aclTensor *rowIdxOut, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnMoeGatingTopKGetWorkspaceSize(
    const aclTensor *x, const aclTensor *biasOptional, int64_t k, int64_t kGroup, int64_t groupCount,
    int64_t groupSelectMode, int64_t renorm, int64_t normType, bool outFlag, double routedScalingFactor, double eps,
    const aclTensor *yOut, const aclTensor *expertIdxOut, const aclTensor *outOut, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnMoeInitRoutingV2GetWorkspaceSize(
    const aclTensor *x, const aclTensor *expertIdx, int64_t activeNumOptional, int64_t expertCapacityOptional,
    int64_t expertNumOptional, int64_t dropPadModeOptional, int64_t expertTokensCountOrCumsumFlagOptional,
    bool expertTokensBeforeCapacityFlagOptional, const aclTensor *expandedXOut, const aclTensor *expandedRowIdxOut,
    const aclTensor *expertTokensCountOrCumsumOutOptional, const aclTensor *expertTokensBeforeCapacityOutOptional,
    uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnGroupedMatmulV4GetWorkspaceSize(
    const aclTensorList *x, const aclTensorList *weight, const aclTensorList *biasOptional,
    const aclTensorList *scaleOptional, const aclTensorList *offsetOptional,
    const aclTensorList *antiquantScaleOptional, const aclTensorList *antiquantOffsetOptional,
    const aclTensorList *perTokenScaleOptional, const aclTensor *groupListOptional,
    const aclTensorList *activationInputOptional, const aclTensorList *activationQuantScaleOptional,
    const aclTensorList *activationQuantOffsetOptional, int64_t splitItem, int64_t groupType, int64_t groupListType,
    int64_t actType, aclTensorList *out, aclTensorList *activationFeatureOutOptional,
    aclTensorList *dynQuantScaleOutOptional, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnGroupedMatmulV5GetWorkspaceSize(
    const aclTensorList *x, const aclTensorList *weight, const aclTensorList *biasOptional,
    const aclTensorList *scaleOptional, const aclTensorList *offsetOptional,
    const aclTensorList *antiquantScaleOptional, const aclTensorList *antiquantOffsetOptional,
    const aclTensorList *perTokenScaleOptional, const aclTensor *groupListOptional,
    const aclTensorList *activationInputOptional, const aclTensorList *activationQuantScaleOptional,
    const aclTensorList *activationQuantOffsetOptional, int64_t splitItem, int64_t groupType, int64_t groupListType,
    int64_t actType, aclIntArray *tuningConfigOptional, aclTensorList *out,
    aclTensorList *activationFeatureOutOptional, aclTensorList *dynQuantScaleOutOptional, uint64_t *workspaceSize,
    aclOpExecutor **executor);
aclnnStatus aclnnGroupedMatmulSwigluQuantGetWorkspaceSize(
    const aclTensor *x, const aclTensor *weight, const aclTensor *bias, const aclTensor *offset,
    const aclTensor *weightScale, const aclTensor *xScale, const aclTensor *groupList, aclTensor *output,
    aclTensor *outputScale, aclTensor *outputOffset, uint64_t *workspaceSize, aclOpExecutor **executor);
aclnnStatus aclnnMoeFinalizeRoutingV2GetWorkspaceSize(
    const aclTensor *expandedX, const aclTensor *expandedRowIdx, const aclTensor *x1Optional,
    const aclTensor *x2Optional, const aclTensor *biasOptional, const aclTensor *scalesOptional,
    const aclTensor *expertIdxOptional, int64_t dropPadMode, const aclTensor *out, uint64_t *workspaceSize,
    aclOpExecutor **executor);

// MARK: - Table

/// Every operator, for tables and lists of names.
#define ASC_OPERATORS(X) \
    X(aclnnEmbedding) X(aclnnIndexSelect) X(aclnnRmsNorm) X(aclnnAddRmsNorm) X(aclnnAddRmsNormQuant) \
    X(aclnnAddRmsNormDynamicQuant) X(aclnnDynamicQuant) X(aclnnAscendQuant) X(aclnnTransQuantParamV2) X(aclnnMm) \
    X(aclnnMatmul) X(aclnnBatchMatMul) X(aclnnMatmulWeightNz) X(aclnnQuantMatmulV4) X(aclnnQuantMatmulV5) \
    X(aclnnQuantMatmulWeightNz) X(aclnnTransMatmulWeight) X(aclnnNpuFormatCast) X(aclnnRotaryPositionEmbedding) \
    X(aclnnApplyRotaryPosEmb) X(aclnnApplyRotaryPosEmbV2) X(aclnnScatterPaKvCache) X(aclnnInplaceIndexCopy) \
    X(aclnnScatterNdUpdate) X(aclnnFusedInferAttentionScoreV3) X(aclnnFusedInferAttentionScoreV4) \
    X(aclnnIncreFlashAttentionV4) X(aclnnPromptFlashAttentionV3) X(aclnnSwiGlu) X(aclnnSilu) X(aclnnMul) \
    X(aclnnSigmoid) X(aclnnDequantSwigluQuant) X(aclnnSwiGluQuant) X(aclnnAdd) X(aclnnInplaceAdd) X(aclnnMuls) X(aclnnCast) \
    X(aclnnInplaceCopy) X(aclnnInplaceZero) X(aclnnInplaceFillScalar) X(aclnnArgMax) X(aclnnTopk) X(aclnnSoftmax) \
    X(aclnnLogSoftmax) X(aclnnLogSumExp) X(aclnnApplyTopKTopP) X(aclnnSort) X(aclnnCumsum) X(aclnnMultinomial) \
    X(aclnnMoeGatingTopKSoftmax) X(aclnnMoeGatingTopK) X(aclnnMoeInitRoutingV2) X(aclnnGroupedMatmulV4) \
    X(aclnnGroupedMatmulV5) X(aclnnGroupedMatmulSwigluQuant) X(aclnnMoeFinalizeRoutingV2)

ASC_OPERATORS(ASC_LAUNCH)

#define ASC_STAGES(op) __typeof__(op##GetWorkspaceSize) *op##GetWorkspaceSize; asc_launch op;

/// Both stages of each operator. NULL: not there.
typedef struct {
    ASC_OPERATORS(ASC_STAGES)
    ASC_ENTRY(aclnnCalculateMatmulWeightSizeV2)
    ASC_ENTRY(aclnnNpuFormatCastCalculateSizeAndFormat)
} asc_operators;
