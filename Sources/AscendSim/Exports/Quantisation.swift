// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclnnDynamicQuantGetWorkspaceSize(
    _ x: OpaquePointer?, _ smoothScalesOptional: OpaquePointer?, _ yOut: OpaquePointer?, _ scaleOut: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnDynamicQuant", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        let smooth = try plan.optional(smoothScalesOptional, "smoothScales")
        let y = try plan.output(yOut, "yOut")
        let scale = try plan.output(scaleOut, "scaleOut")
        try plan.type(x, ACL_FLOAT16, ACL_BF16)
        try plan.type(y, ACL_INT8)
        try plan.type(scale, ACL_FLOAT)
        try plan.require(x.dims.count >= 2, "x has \(x.dims.count) dimensions, 2 to 8 are wanted")
        try plan.shape(y, x.dims)
        try plan.shape(scale, x.dims.dropLast())
        if plan.profile.is310P { try plan.require(x.columns % 32 == 0, "rows of \(x.columns) on 310P") }
        if let smooth {
            try plan.same(x, smooth)
            try plan.shape(smooth, [x.columns])
        }
        plan.run(cost: plan.vector(x, y, operations: 4)) { contents throws(Failure) in
            let factors = smooth.map { contents[$0].floats() }
            var scales: [Float] = []
            for row in 0..<x.rows {
                var values = contents[x].row(row)
                if let factors { values = zip(values, factors).map { $0 * $1 } }
                let result = quantise(values)
                contents[y].write(row: row, result.quants)
                scales.append(result.scale)
            }
            contents[scale].write(scales)
        }
    }
}

@c @implementation public func aclnnAscendQuantGetWorkspaceSize(
    _ x: OpaquePointer?, _ scale: OpaquePointer?, _ offset: OpaquePointer?, _ sqrtMode: Bool,
    _ roundMode: UnsafePointer<CChar>?, _ dstType: Int32, _ y: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnAscendQuant", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        let scale = try plan.input(scale, "scale")
        let offset = try plan.optional(offset, "offset")
        let y = try plan.output(y, "y")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.type(y, ACL_INT8)
        try plan.shape(y, x.dims)
        try plan.require(
            !sqrtMode && text(roundMode) == "round" && dstType == 2, "only roundMode round and dstType 2 are simulated")
        try plan.require(
            x.type == ACL_FLOAT || scale.type == x.type, "scale is \(scale.tensor.shape), x \(x.tensor.shape)")
        try plan.require([1, x.columns].contains(scale.tensor.count), "scale is \(scale.tensor.shape)")
        if let offset {
            try plan.same(scale, offset)
            try plan.shape(offset, scale.dims)
        }
        plan.run(cost: plan.vector(x, y, operations: 3)) { contents throws(Failure) in
            let factors = contents[scale].floats()
            let shifts = offset.map { contents[$0].floats() }
            for row in 0..<x.rows {
                let values = contents[x].row(row).enumerated().map { index, value in
                    let place = factors.count == 1 ? 0 : index
                    return (value * factors[place] + (shifts?[place] ?? 0)).rounded(.toNearestOrEven)
                }
                contents[y].write(row: row, values)
            }
        }
    }
}

@c @implementation public func aclnnTransQuantParamV2GetWorkspaceSize(
    _ scale: OpaquePointer?, _ offset: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnTransQuantParamV2", workspaceSize, executor) { plan throws(Failure) in
        let scale = try plan.input(scale, "scale")
        try plan.unused(offset, "offset")
        let result = try plan.output(out, "out")
        try plan.type(scale, ACL_FLOAT)
        try plan.type(result, ACL_UINT64, ACL_INT64)
        try plan.shape(result, scale.dims)
        plan.run { contents throws(Failure) in
            contents[result].write(contents[scale].floats().map { Int($0.bitPattern & 0xFFFF_E000) | 1 << 46 })
        }
    }
}

@c @implementation public func aclnnTransMatmulWeightGetWorkspaceSize(
    _ mmWeightRef: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnTransMatmulWeight", workspaceSize, executor) { plan throws(Failure) in
        let weight = try plan.output(mmWeightRef, "mmWeight")
        try plan.type(weight, ACL_FLOAT16, ACL_BF16, ACL_INT8)
        try plan.plain(weight)
        try plan.require(weight.dims.count == 2, "mmWeight is \(weight.tensor.shape), a matrix is simulated")
        // In place: the storage is larger than the matrix.
        let tiles = Tensor.tiles(of: weight.dims, weight.type)
        try plan.require(
            weight.tensor.storage.reduce(1, *) >= tiles.reduce(1, *),
            "the storage is \(weight.tensor.storage), tiles take \(tiles)")
        plan.coverStorage(weight)
        plan.refuseRepeats()
        plan.change(weight) { ($0.format, $0.storage) = (ACL_FORMAT_FRACTAL_NZ, tiles) }
        plan.run(workspace: weight.tensor.bytes, cost: plan.vector(weight, weight, operations: 1)) {
            contents throws(Failure) in
            contents[weight].tile(into: tiles)
        }
    }
}

@c @implementation public func aclnnNpuFormatCastGetWorkspaceSize(
    _ srcTensor: OpaquePointer?, _ dstTensor: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnNpuFormatCast", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let source = try plan.input(srcTensor, "srcTensor")
        let target = try plan.output(dstTensor, "dstTensor")
        try plan.type(source, ACL_FLOAT16, ACL_BF16, ACL_INT8)
        try plan.same(source, target)
        try plan.contiguous(source)
        try plan.plain(source)
        try plan.require(source.dims.count == 2, "srcTensor is \(source.tensor.shape), a matrix is simulated")
        try plan.require(target.tensor.isTiled, "dstTensor is not in tiles")
        let tiles = Tensor.tiles(of: source.dims, source.type)
        try plan.require(
            target.tensor.storage == tiles, "dstTensor is stored as \(target.tensor.storage), not \(tiles)")
        plan.run(cost: plan.vector(source, source, operations: 1)) { contents throws(Failure) in
            contents[source].tile(into: tiles, at: contents[target].base)
        }
    }
}

@c @implementation public func aclnnDequantSwigluQuantGetWorkspaceSize(
    _ x: OpaquePointer?, _ weightScaleOptional: OpaquePointer?, _ activationScaleOptional: OpaquePointer?,
    _ biasOptional: OpaquePointer?, _ quantScaleOptional: OpaquePointer?, _ quantOffsetOptional: OpaquePointer?,
    _ groupIndexOptional: OpaquePointer?, _ activateLeft: Bool, _ quantModeOptional: UnsafeMutablePointer<CChar>?,
    _ yOut: OpaquePointer?, _ scaleOut: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnDequantSwigluQuant", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let x = try plan.input(x, "x")
        let weights = try plan.optional(weightScaleOptional, "weightScale")
        let tokens = try plan.optional(activationScaleOptional, "activationScale")
        try plan.unused(biasOptional, "bias")
        let smooth = try plan.optional(quantScaleOptional, "quantScale")
        try plan.unused(quantOffsetOptional, "quantOffset")
        try plan.unused(groupIndexOptional, "groupIndex")
        let y = try plan.output(yOut, "yOut")
        let scale = try plan.output(scaleOut, "scaleOut")
        try plan.require(text(quantModeOptional) == "dynamic", "quantMode: only dynamic is simulated")
        try plan.type(x, ACL_INT32, ACL_FLOAT16, ACL_BF16)
        try plan.type(y, ACL_INT8)
        try plan.type(scale, ACL_FLOAT)
        try plan.require(x.columns % 2 == 0, "x is \(x.tensor.shape), its last dimension must be even")
        let half = x.columns / 2
        try plan.shape(y, x.dims.dropLast() + [half])
        try plan.shape(scale, x.dims.dropLast())
        try plan.require((x.type == ACL_INT32) == (weights != nil && tokens != nil), "scales go with an INT32 x")
        if let weights, let tokens {
            try plan.type(weights, ACL_FLOAT)
            try plan.type(tokens, ACL_FLOAT)
            try plan.shape(weights, [x.columns])
            try plan.require(tokens.tensor.count == x.rows, "activationScale is \(tokens.tensor.shape)")
        }
        if let smooth {
            try plan.type(smooth, ACL_FLOAT)
            try plan.shape(smooth, [half])
        }
        plan.run(cost: plan.vector(x, y, operations: 12)) { contents throws(Failure) in
            let columns = weights.map { contents[$0].floats() }
            let rows = tokens.map { contents[$0].floats() }
            let factors = smooth.map { contents[$0].floats() }
            var scales: [Float] = []
            for row in 0..<x.rows {
                var values = contents[x].row(row)
                if let columns, let rows { values = zip(values, columns).map { $0 * $1 * rows[row] } }
                var gated = (0..<half).map { index in
                    let (left, right) = (values[index], values[half + index])
                    return activateLeft ? silu(left) * right : left * silu(right)
                }
                if let factors { gated = zip(gated, factors).map { $0 * $1 } }
                let result = quantise(gated)
                contents[y].write(row: row, result.quants)
                scales.append(result.scale)
            }
            contents[scale].write(scales)
        }
    }
}

@c @implementation public func aclnnCalculateMatmulWeightSizeV2(
    _ tensorShape: OpaquePointer?, _ dataType: aclDataType, _ weightTensorSize: UnsafeMutablePointer<UInt64>?
) -> aclnnStatus {
    world.enter("aclnnCalculateMatmulWeightSizeV2") { world, _ throws(Failure) in
        let shape = try world.object(UnsafeRawPointer(tensorShape), IntArray.self, 161001, "tensorShape").values
        guard shape.count == 2, dataType.bytes == 1 || dataType.bytes == 2 else {
            throw .invalid("aclnnCalculateMatmulWeightSizeV2: \(shape) of \(dataType.name)")
        }
        try set(weightTensorSize, UInt64(Tensor.tiles(of: shape, dataType).reduce(1, *)), "weightTensorSize")
    }
}

@c @implementation public func aclnnNpuFormatCastCalculateSizeAndFormat(
    _ srcTensor: OpaquePointer?, _ dstFormat: Int32, _ additionalDtype: Int32,
    _ dstShape: UnsafeMutablePointer<UnsafeMutablePointer<Int64>?>?, _ dstShapeSize: UnsafeMutablePointer<UInt64>?,
    _ actualFormat: UnsafeMutablePointer<Int32>?
) -> aclnnStatus {
    world.enter("aclnnNpuFormatCastCalculateSizeAndFormat") { world, _ throws(Failure) in
        let source = try world.object(UnsafeRawPointer(srcTensor), TensorObject.self, 161001, "srcTensor").tensor
        guard dstFormat == ACL_FORMAT_FRACTAL_NZ.rawValue, source.dims.count == 2 else {
            throw .invalid("aclnnNpuFormatCastCalculateSizeAndFormat: only matrices to FRACTAL_NZ are simulated")
        }
        try answer(Tensor.tiles(of: source.dims, source.type), dstShape, dstShapeSize)
        try set(actualFormat, dstFormat, "actualFormat")
    }
}
