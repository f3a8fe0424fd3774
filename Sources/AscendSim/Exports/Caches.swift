// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclnnRotaryPositionEmbeddingGetWorkspaceSize(
    _ x: OpaquePointer?, _ cos: OpaquePointer?, _ sin: OpaquePointer?, _ mode: Int64, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnRotaryPositionEmbedding", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        let cosines = try plan.input(cos, "cos")
        let sines = try plan.input(sin, "sin")
        let result = try plan.output(out, "out")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, cosines, sines, result)
        try plan.shape(result, x.dims)
        try plan.require(mode == 0, "mode \(mode): only 0, halves, is simulated")
        try plan.require(x.dims.count == 3 || x.dims.count == 4, "x has \(x.dims.count) dimensions")
        try plan.require(x.columns % 2 == 0 && x.columns < 896, "head size \(x.columns)")
        if plan.profile.is310P { try plan.require(x.columns % 32 == 0 && x.columns <= 128, "head size \(x.columns)") }
        try plan.broadcasts(cosines, to: x.dims)
        try plan.require(cosines.columns == x.columns, "cos is \(cosines.tensor.shape)")
        try plan.shape(sines, cosines.dims)
        plan.run(cost: plan.vector(x, result, operations: 3)) { contents throws(Failure) in
            rotate(
                contents[x], contents[cosines].broadcast(to: x.dims), contents[sines].broadcast(to: x.dims),
                contents[result])
        }
    }
}

@c @implementation public func aclnnApplyRotaryPosEmbGetWorkspaceSize(
    _ queryRef: OpaquePointer?, _ keyRef: OpaquePointer?, _ cos: OpaquePointer?, _ sin: OpaquePointer?, _ layout: Int64,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnApplyRotaryPosEmb", workspaceSize, executor) { plan throws(Failure) in
        try plan.rotary(queryRef, keyRef, cos, sin, layout)
    }
}

@c @implementation public func aclnnApplyRotaryPosEmbV2GetWorkspaceSize(
    _ queryRef: OpaquePointer?, _ keyRef: OpaquePointer?, _ cos: OpaquePointer?, _ sin: OpaquePointer?, _ layout: Int64,
    _ rotaryMode: UnsafeMutablePointer<CChar>?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnApplyRotaryPosEmbV2", workspaceSize, executor) { plan throws(Failure) in
        try plan.require(text(rotaryMode) == "half", "rotaryMode \(text(rotaryMode)): only half is simulated")
        try plan.rotary(queryRef, keyRef, cos, sin, layout)
    }
}

@c @implementation public func aclnnScatterPaKvCacheGetWorkspaceSize(
    _ key: OpaquePointer?, _ keyCacheRef: OpaquePointer?, _ slotMapping: OpaquePointer?, _ value: OpaquePointer?,
    _ valueCacheRef: OpaquePointer?, _ compressLensOptional: OpaquePointer?,
    _ compressSeqOffsetOptional: OpaquePointer?, _ seqLensOptional: OpaquePointer?,
    _ cacheModeOptional: UnsafeMutablePointer<CChar>?, _ scatterModeOptional: UnsafeMutablePointer<CChar>?,
    _ stridesOptional: OpaquePointer?, _ offsetsOptional: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnScatterPaKvCache", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let key = try plan.input(key, "key")
        let keys = try plan.output(keyCacheRef, "keyCache")
        let slots = try plan.input(slotMapping, "slotMapping")
        let value = try plan.input(value, "value")
        let values = try plan.output(valueCacheRef, "valueCache")
        try plan.unused(compressLensOptional, "compressLens")
        try plan.unused(compressSeqOffsetOptional, "compressSeqOffset")
        try plan.unused(seqLensOptional, "seqLens")
        try plan.require(["", "Norm"].contains(text(cacheModeOptional)), "cacheMode: only Norm is simulated")
        try plan.require(["", "None"].contains(text(scatterModeOptional)), "scatterMode: only None is simulated")
        try plan.require(stridesOptional == nil && offsetsOptional == nil, "strides and offsets are not simulated")
        try plan.type(key, ACL_FLOAT16, ACL_BF16, ACL_INT8)
        try plan.type(slots, ACL_INT32, ACL_INT64)
        try plan.same(key, keys, value, values)
        try plan.require(
            key.dims.count == 3 && value.dims.count == 3, "key \(key.dims) and value \(value.dims) have 3 dimensions")
        try plan.shape(slots, [key.dims[0]])
        for (part, cache) in [(key, keys), (value, values)] {
            try plan.contiguous(cache)
            try plan.require(
                cache.dims.count == 4 && Array(cache.dims[2...]) == Array(part.dims[1...]),
                "the cache is \(cache.tensor.shape), its heads are \(part.dims[1...])")
        }
        try plan.require(keys.dims[0] == values.dims[0] && keys.dims[1] == values.dims[1], "caches of unlike blocks")
        plan.run(cost: plan.vector(key, key, value, value, operations: 1)) { contents throws(Failure) in
            let count = keys.dims[0] * keys.dims[1]
            for (part, cache) in [(contents[key], contents[keys]), (contents[value], contents[values])] {
                let heads = part.dims[1]
                for (token, slot) in contents[slots].integers().enumerated() where slot != -1 {
                    try contents.require((0..<count).contains(slot), "slot \(slot) is none of 0..<\(count)")
                    for head in 0..<heads {
                        cache.copy(row: slot * heads + head, from: part, row: token * heads + head)
                    }
                }
            }
        }
    }
}

@c @implementation public func aclnnInplaceIndexCopyGetWorkspaceSize(
    _ selfRef: OpaquePointer?, _ dim: Int64, _ index: OpaquePointer?, _ source: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnInplaceIndexCopy", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let target = try plan.output(selfRef, "self")
        let rows = try plan.input(index, "index")
        let source = try plan.input(source, "source")
        try plan.require(dim == 0 && target.dims.count == 2, "only dim 0 of a matrix is simulated")
        try plan.same(target, source)
        try plan.type(rows, ACL_INT32, ACL_INT64)
        try plan.shape(source, [rows.tensor.count, target.columns])
        plan.run(cost: plan.vector(source, source, operations: 1)) { contents throws(Failure) in
            for (token, slot) in contents[rows].integers().enumerated() {
                try contents.require(
                    (0..<target.dims[0]).contains(slot), "index \(slot) is none of 0..<\(target.dims[0])")
                contents[target].copy(row: slot, from: contents[source], row: token)
            }
        }
    }
}

@c @implementation public func aclnnFusedInferAttentionScoreV3GetWorkspaceSize(
    _ query: OpaquePointer?, _ key: OpaquePointer?, _ value: OpaquePointer?, _ pseShiftOptional: OpaquePointer?,
    _ attenMaskOptional: OpaquePointer?, _ actualSeqLengthsOptional: OpaquePointer?,
    _ actualSeqLengthsKvOptional: OpaquePointer?, _ deqScale1Optional: OpaquePointer?,
    _ quantScale1Optional: OpaquePointer?, _ deqScale2Optional: OpaquePointer?, _ quantScale2Optional: OpaquePointer?,
    _ quantOffset2Optional: OpaquePointer?, _ antiquantScaleOptional: OpaquePointer?,
    _ antiquantOffsetOptional: OpaquePointer?, _ blockTableOptional: OpaquePointer?,
    _ queryPaddingSizeOptional: OpaquePointer?, _ kvPaddingSizeOptional: OpaquePointer?,
    _ keyAntiquantScaleOptional: OpaquePointer?, _ keyAntiquantOffsetOptional: OpaquePointer?,
    _ valueAntiquantScaleOptional: OpaquePointer?, _ valueAntiquantOffsetOptional: OpaquePointer?,
    _ keySharedPrefixOptional: OpaquePointer?, _ valueSharedPrefixOptional: OpaquePointer?,
    _ actualSharedPrefixLenOptional: OpaquePointer?, _ queryRopeOptional: OpaquePointer?,
    _ keyRopeOptional: OpaquePointer?, _ keyRopeAntiquantScaleOptional: OpaquePointer?, _ numHeads: Int64,
    _ scaleValue: Double, _ preTokens: Int64, _ nextTokens: Int64, _ inputLayout: UnsafeMutablePointer<CChar>?,
    _ numKeyValueHeads: Int64, _ sparseMode: Int64, _ innerPrecise: Int64, _ blockSize: Int64, _ antiquantMode: Int64,
    _ softmaxLseFlag: Bool, _ keyAntiquantMode: Int64, _ valueAntiquantMode: Int64, _ attentionOut: OpaquePointer?,
    _ softmaxLse: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnFusedInferAttentionScoreV3", workspaceSize, executor) { plan throws(Failure) in
        let request = AttentionRequest(
            heads: numHeads, groups: numKeyValueHeads, scale: scaleValue, before: preTokens, behind: nextTokens,
            layout: text(inputLayout), sparseMode: sparseMode, innerPrecise: innerPrecise, blockSize: blockSize,
            isPlain: antiquantMode == 0 && !softmaxLseFlag && keyAntiquantMode == 0 && valueAntiquantMode == 0)
        try plan.notOn310P()
        let query = try plan.input(query, "query")
        let keys = try plan.list(key, "key")
        let values = try plan.list(value, "value")
        try plan.unused(pseShiftOptional, "pseShift")
        let mask = try plan.optional(attenMaskOptional, "attenMask")
        let ends = try plan.integers(actualSeqLengthsOptional, "actualSeqLengths")
        let lengths = try plan.integers(actualSeqLengthsKvOptional, "actualSeqLengthsKv")
        for (handle, name) in [
            (deqScale1Optional, "deqScale1"), (quantScale1Optional, "quantScale1"), (deqScale2Optional, "deqScale2"),
            (quantScale2Optional, "quantScale2"), (quantOffset2Optional, "quantOffset2"),
            (antiquantScaleOptional, "antiquantScale"), (antiquantOffsetOptional, "antiquantOffset"),
        ] { try plan.unused(handle, name) }
        let table = try plan.input(blockTableOptional, "blockTable")
        for (handle, name) in [
            (queryPaddingSizeOptional, "queryPaddingSize"), (kvPaddingSizeOptional, "kvPaddingSize"),
            (keyAntiquantScaleOptional, "keyAntiquantScale"), (keyAntiquantOffsetOptional, "keyAntiquantOffset"),
            (valueAntiquantScaleOptional, "valueAntiquantScale"),
            (valueAntiquantOffsetOptional, "valueAntiquantOffset"),
            (keySharedPrefixOptional, "keySharedPrefix"), (valueSharedPrefixOptional, "valueSharedPrefix"),
            (queryRopeOptional, "queryRope"), (keyRopeOptional, "keyRope"),
            (keyRopeAntiquantScaleOptional, "keyRopeAntiquantScale"),
        ] { try plan.unused(handle, name) }
        try plan.require(actualSharedPrefixLenOptional == nil, "actualSharedPrefixLen is not simulated")
        let result = try plan.output(attentionOut, "attentionOut")
        _ = try plan.optionalOutput(softmaxLse, "softmaxLse")
        try plan.attention(
            request, query: query, keys: keys, values: values, mask: mask, ends: ends, lengths: lengths, table: table,
            output: result)
    }
}

@c @implementation public func aclnnFusedInferAttentionScoreV4GetWorkspaceSize(
    _ query: OpaquePointer?, _ key: OpaquePointer?, _ value: OpaquePointer?, _ pseShiftOptional: OpaquePointer?,
    _ attenMaskOptional: OpaquePointer?, _ actualSeqLengthsOptional: OpaquePointer?,
    _ actualSeqLengthsKvOptional: OpaquePointer?, _ deqScale1Optional: OpaquePointer?,
    _ quantScale1Optional: OpaquePointer?, _ deqScale2Optional: OpaquePointer?, _ quantScale2Optional: OpaquePointer?,
    _ quantOffset2Optional: OpaquePointer?, _ antiquantScaleOptional: OpaquePointer?,
    _ antiquantOffsetOptional: OpaquePointer?, _ blockTableOptional: OpaquePointer?,
    _ queryPaddingSizeOptional: OpaquePointer?, _ kvPaddingSizeOptional: OpaquePointer?,
    _ keyAntiquantScaleOptional: OpaquePointer?, _ keyAntiquantOffsetOptional: OpaquePointer?,
    _ valueAntiquantScaleOptional: OpaquePointer?, _ valueAntiquantOffsetOptional: OpaquePointer?,
    _ keySharedPrefixOptional: OpaquePointer?, _ valueSharedPrefixOptional: OpaquePointer?,
    _ actualSharedPrefixLenOptional: OpaquePointer?, _ queryRopeOptional: OpaquePointer?,
    _ keyRopeOptional: OpaquePointer?, _ keyRopeAntiquantScaleOptional: OpaquePointer?,
    _ dequantScaleQueryOptional: OpaquePointer?, _ learnableSinkOptional: OpaquePointer?, _ numHeads: Int64,
    _ scaleValue: Double, _ preTokens: Int64, _ nextTokens: Int64, _ inputLayout: UnsafeMutablePointer<CChar>?,
    _ numKeyValueHeads: Int64, _ sparseMode: Int64, _ innerPrecise: Int64, _ blockSize: Int64, _ antiquantMode: Int64,
    _ softmaxLseFlag: Bool, _ keyAntiquantMode: Int64, _ valueAntiquantMode: Int64, _ queryQuantMode: Int64,
    _ attentionOut: OpaquePointer?, _ softmaxLse: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnFusedInferAttentionScoreV4", workspaceSize, executor) { plan throws(Failure) in
        let request = AttentionRequest(
            heads: numHeads, groups: numKeyValueHeads, scale: scaleValue, before: preTokens, behind: nextTokens,
            layout: text(inputLayout), sparseMode: sparseMode, innerPrecise: innerPrecise, blockSize: blockSize,
            isPlain: antiquantMode == 0 && !softmaxLseFlag && keyAntiquantMode == 0 && valueAntiquantMode == 0
                && queryQuantMode == 0)
        try plan.notOn310P()
        let query = try plan.input(query, "query")
        let keys = try plan.list(key, "key")
        let values = try plan.list(value, "value")
        try plan.unused(pseShiftOptional, "pseShift")
        let mask = try plan.optional(attenMaskOptional, "attenMask")
        let ends = try plan.integers(actualSeqLengthsOptional, "actualSeqLengths")
        let lengths = try plan.integers(actualSeqLengthsKvOptional, "actualSeqLengthsKv")
        for (handle, name) in [
            (deqScale1Optional, "deqScale1"), (quantScale1Optional, "quantScale1"), (deqScale2Optional, "deqScale2"),
            (quantScale2Optional, "quantScale2"), (quantOffset2Optional, "quantOffset2"),
            (antiquantScaleOptional, "antiquantScale"), (antiquantOffsetOptional, "antiquantOffset"),
        ] { try plan.unused(handle, name) }
        let table = try plan.input(blockTableOptional, "blockTable")
        for (handle, name) in [
            (queryPaddingSizeOptional, "queryPaddingSize"), (kvPaddingSizeOptional, "kvPaddingSize"),
            (keyAntiquantScaleOptional, "keyAntiquantScale"), (keyAntiquantOffsetOptional, "keyAntiquantOffset"),
            (valueAntiquantScaleOptional, "valueAntiquantScale"),
            (valueAntiquantOffsetOptional, "valueAntiquantOffset"),
            (keySharedPrefixOptional, "keySharedPrefix"), (valueSharedPrefixOptional, "valueSharedPrefix"),
        ] { try plan.unused(handle, name) }
        let queryRope = try plan.optional(queryRopeOptional, "queryRope")
        let keyRope = try plan.optional(keyRopeOptional, "keyRope")
        for (handle, name) in [
            (keyRopeAntiquantScaleOptional, "keyRopeAntiquantScale"),
            (dequantScaleQueryOptional, "dequantScaleQuery"), (learnableSinkOptional, "learnableSink"),
        ] { try plan.unused(handle, name) }
        try plan.require(actualSharedPrefixLenOptional == nil, "actualSharedPrefixLen is not simulated")
        let result = try plan.output(attentionOut, "attentionOut")
        _ = try plan.optionalOutput(softmaxLse, "softmaxLse")
        try plan.attention(
            request, query: query, keys: keys, values: values, mask: mask, ends: ends, lengths: lengths, table: table,
            output: result, ropes: (queryRope, keyRope))
    }
}

@c @implementation public func aclnnIncreFlashAttentionV4GetWorkspaceSize(
    _ query: OpaquePointer?, _ key: OpaquePointer?, _ value: OpaquePointer?, _ pseShift: OpaquePointer?,
    _ attenMask: OpaquePointer?, _ actualSeqLengths: OpaquePointer?, _ dequantScale1: OpaquePointer?,
    _ quantScale1: OpaquePointer?, _ dequantScale2: OpaquePointer?, _ quantScale2: OpaquePointer?,
    _ quantOffset2: OpaquePointer?, _ antiquantScale: OpaquePointer?, _ antiquantOffset: OpaquePointer?,
    _ blocktable: OpaquePointer?, _ kvPaddingSize: OpaquePointer?, _ numHeads: Int64, _ scaleValue: Double,
    _ inputLayout: UnsafeMutablePointer<CChar>?, _ numKeyValueHeads: Int64, _ blockSize: Int64,
    _ innerPrecise: Int64, _ attentionOut: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnIncreFlashAttentionV4", workspaceSize, executor) { plan throws(Failure) in
        let query = try plan.input(query, "query")
        let keys = try plan.list(key, "key")
        let values = try plan.list(value, "value")
        try plan.unused(pseShift, "pseShift")
        try plan.unused(attenMask, "attenMask")
        let lengths = try plan.integers(actualSeqLengths, "actualSeqLengths")
        for (handle, name) in [
            (dequantScale1, "dequantScale1"), (quantScale1, "quantScale1"), (dequantScale2, "dequantScale2"),
            (quantScale2, "quantScale2"), (quantOffset2, "quantOffset2"), (antiquantScale, "antiquantScale"),
            (antiquantOffset, "antiquantOffset"),
        ] { try plan.unused(handle, name) }
        let table = try plan.input(blocktable, "blocktable")
        try plan.unused(kvPaddingSize, "kvPaddingSize")
        let result = try plan.output(attentionOut, "attentionOut")
        try plan.increment(
            IncrementRequest(
                heads: numHeads, groups: numKeyValueHeads, scale: scaleValue, layout: text(inputLayout),
                innerPrecise: innerPrecise, blockSize: blockSize),
            query: query, keys: keys, values: values, lengths: lengths, table: table, output: result)
    }
}
