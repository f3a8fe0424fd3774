// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend

// The second stages of all operators.

@c @implementation public func aclnnEmbedding(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnEmbedding", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnIndexSelect(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnIndexSelect", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnRmsNorm(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnRmsNorm", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnAddRmsNorm(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnAddRmsNorm", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnAddRmsNormQuant(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnAddRmsNormQuant", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnAddRmsNormDynamicQuant(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnAddRmsNormDynamicQuant", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMm(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMm", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMatmul(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMatmul", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnBatchMatMul(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnBatchMatMul", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMatmulWeightNz(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMatmulWeightNz", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnQuantMatmulV4(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnQuantMatmulV4", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnQuantMatmulV5(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnQuantMatmulV5", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnQuantMatmulWeightNz(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnQuantMatmulWeightNz", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnRotaryPositionEmbedding(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnRotaryPositionEmbedding", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnApplyRotaryPosEmb(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnApplyRotaryPosEmb", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnApplyRotaryPosEmbV2(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnApplyRotaryPosEmbV2", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnScatterPaKvCache(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnScatterPaKvCache", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnInplaceIndexCopy(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnInplaceIndexCopy", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnFusedInferAttentionScoreV3(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnFusedInferAttentionScoreV3", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnFusedInferAttentionScoreV4(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnFusedInferAttentionScoreV4", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnIncreFlashAttentionV4(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnIncreFlashAttentionV4", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnSwiGlu(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnSwiGlu", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnSilu(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnSilu", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnSigmoid(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnSigmoid", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMul(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMul", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnAdd(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnAdd", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnInplaceAdd(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnInplaceAdd", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMuls(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMuls", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnCast(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnCast", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnInplaceCopy(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnInplaceCopy", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnInplaceZero(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnInplaceZero", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnInplaceFillScalar(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnInplaceFillScalar", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnSoftmax(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnSoftmax", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnLogSoftmax(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnLogSoftmax", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnLogSumExp(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnLogSumExp", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnArgMax(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnArgMax", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnTopk(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnTopk", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnApplyTopKTopP(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnApplyTopKTopP", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnDynamicQuant(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnDynamicQuant", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnAscendQuant(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnAscendQuant", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnTransQuantParamV2(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnTransQuantParamV2", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnTransMatmulWeight(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnTransMatmulWeight", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnNpuFormatCast(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnNpuFormatCast", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnDequantSwigluQuant(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnDequantSwigluQuant", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMoeGatingTopKSoftmax(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMoeGatingTopKSoftmax", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMoeGatingTopK(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMoeGatingTopK", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMoeInitRoutingV2(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMoeInitRoutingV2", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnGroupedMatmulV4(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnGroupedMatmulV4", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnGroupedMatmulV5(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnGroupedMatmulV5", workspace, workspaceSize, executor, stream)
}

@c @implementation public func aclnnMoeFinalizeRoutingV2(
    _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?, _ stream: aclrtStream?
) -> aclnnStatus {
    launch("aclnnMoeFinalizeRoutingV2", workspace, workspaceSize, executor, stream)
}
