// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclnnMmGetWorkspaceSize(
    _ self: OpaquePointer?, _ mat2: OpaquePointer?, _ out: OpaquePointer?, _ cubeMathType: Int8,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMm", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(self, "self")
        let b = try plan.input(mat2, "mat2")
        let result = try plan.output(out, "out")
        try plan.product(a, b, result, cubeMathType)
        try plan.require(a.dims.count == 2 && b.dims.count == 2, "self \(a.dims) and mat2 \(b.dims) must be matrices")
    }
}

@c @implementation public func aclnnMatmulGetWorkspaceSize(
    _ self: OpaquePointer?, _ mat2: OpaquePointer?, _ out: OpaquePointer?, _ cubeMathType: Int8,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMatmul", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(self, "self")
        let b = try plan.input(mat2, "mat2")
        let result = try plan.output(out, "out")
        try plan.product(a, b, result, cubeMathType)
    }
}

@c @implementation public func aclnnBatchMatMulGetWorkspaceSize(
    _ self: OpaquePointer?, _ mat2: OpaquePointer?, _ out: OpaquePointer?, _ cubeMathType: Int8,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnBatchMatMul", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(self, "self")
        let b = try plan.input(mat2, "mat2")
        let result = try plan.output(out, "out")
        try plan.product(a, b, result, cubeMathType)
        try plan.require(a.dims.count == 3 && b.dims.count == 3, "self \(a.dims) and mat2 \(b.dims) have 3 dimensions")
    }
}

@c @implementation public func aclnnMatmulWeightNzGetWorkspaceSize(
    _ self: OpaquePointer?, _ mat2: OpaquePointer?, _ out: OpaquePointer?, _ cubeMathType: Int8,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMatmulWeightNz", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(self, "self")
        let b = try plan.input(mat2, "mat2")
        let result = try plan.output(out, "out")
        try plan.product(a, b, result, cubeMathType)
        try plan.notOn310P()
        try plan.require(b.tensor.isTiled, "mat2 is not in tiles")
        try plan.require(b.dims.count == 2 && a.dims.count == 2, "self \(a.dims) and mat2 \(b.dims) must be matrices")
        // The library takes the transpose of a transposed view, and forgets to put it back.
        if b.tensor.tiles.isTransposed { plan.change(b) { $0.dims.swapAt(0, 1) } }
    }
}

@c @implementation public func aclnnQuantMatmulV4GetWorkspaceSize(
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ scale: OpaquePointer?, _ offset: OpaquePointer?,
    _ pertokenScaleOptional: OpaquePointer?, _ bias: OpaquePointer?, _ transposeX1: Bool, _ transposeX2: Bool,
    _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnQuantMatmulV4", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(x1, "x1")
        let b = try plan.input(x2, "x2")
        let scale = try plan.input(scale, "scale")
        try plan.unused(offset, "offset")
        let tokens = try plan.optional(pertokenScaleOptional, "pertokenScale")
        let bias = try plan.optional(bias, "bias")
        let result = try plan.output(out, "out")
        try plan.require(!transposeX1, "transposeX1 is not simulated")
        try plan.integerProduct(
            IntegerProduct(a: a, b: b, isTransposed: transposeX2, scale: scale, tokens: tokens, bias: bias, out: result)
        )
    }
}

@c @implementation public func aclnnQuantMatmulV5GetWorkspaceSize(
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ x1Scale: OpaquePointer?, _ x2Scale: OpaquePointer?,
    _ yScale: OpaquePointer?, _ x1Offset: OpaquePointer?, _ x2Offset: OpaquePointer?, _ yOffset: OpaquePointer?,
    _ bias: OpaquePointer?, _ transposeX1: Bool, _ transposeX2: Bool, _ groupSize: Int64, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    quantizedProduct(
        "aclnnQuantMatmulV5", isTiled: false,
        x1, x2, x1Scale, x2Scale, yScale, x1Offset, x2Offset, yOffset, bias, transposeX1, transposeX2, groupSize, out,
        workspaceSize, executor)
}

@c @implementation public func aclnnQuantMatmulWeightNzGetWorkspaceSize(
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ x1Scale: OpaquePointer?, _ x2Scale: OpaquePointer?,
    _ yScale: OpaquePointer?, _ x1Offset: OpaquePointer?, _ x2Offset: OpaquePointer?, _ yOffset: OpaquePointer?,
    _ bias: OpaquePointer?, _ transposeX1: Bool, _ transposeX2: Bool, _ groupSize: Int64, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    quantizedProduct(
        "aclnnQuantMatmulWeightNz", isTiled: true,
        x1, x2, x1Scale, x2Scale, yScale, x1Offset, x2Offset, yOffset, bias, transposeX1, transposeX2, groupSize, out,
        workspaceSize, executor)
}

/// Two operators that differ in how `x2` lies in memory.
private func quantizedProduct(
    _ name: String, isTiled: Bool,
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ x1Scale: OpaquePointer?, _ x2Scale: OpaquePointer?,
    _ yScale: OpaquePointer?, _ x1Offset: OpaquePointer?, _ x2Offset: OpaquePointer?, _ yOffset: OpaquePointer?,
    _ bias: OpaquePointer?, _ transposeX1: Bool, _ transposeX2: Bool, _ groupSize: Int64, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare(name, workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(x1, "x1")
        let b = try plan.input(x2, "x2")
        let tokens = try plan.optional(x1Scale, "x1Scale")
        let scale = try plan.input(x2Scale, "x2Scale")
        try plan.unused(yScale, "yScale")
        try plan.unused(x1Offset, "x1Offset")
        try plan.unused(x2Offset, "x2Offset")
        try plan.unused(yOffset, "yOffset")
        let bias = try plan.optional(bias, "bias")
        let result = try plan.output(out, "out")
        try plan.require(!transposeX1, "transposeX1 is not simulated")
        try plan.require(groupSize == 0, "groupSize \(groupSize) is not simulated")
        try plan.require(
            b.tensor.isTiled == isTiled,
            isTiled ? "x2 is not in tiles" : "x2 is in tiles: that is aclnnQuantMatmulWeightNz")
        try plan.integerProduct(
            IntegerProduct(a: a, b: b, isTransposed: transposeX2, scale: scale, tokens: tokens, bias: bias, out: result)
        )
    }
}
