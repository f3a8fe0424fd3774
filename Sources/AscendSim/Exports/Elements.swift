// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclnnSwiGluGetWorkspaceSize(
    _ x: OpaquePointer?, _ dim: Int64, _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnSwiGlu", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        let result = try plan.output(out, "out")
        try plan.last(dim, x)
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, result)
        try plan.contiguous(x, result)
        try plan.require(x.columns % 2 == 0, "x is \(x.tensor.shape), its last dimension must be even")
        if plan.profile.is310P {
            try plan.require(x.columns / 2 * x.type.bytes % 64 == 0, "halves of \(x.columns / 2) on 310P")
        }
        try plan.shape(result, x.dims.dropLast() + [x.columns / 2])
        plan.run(cost: plan.vector(x, result, operations: 6)) { contents throws(Failure) in
            let half = x.columns / 2
            for row in 0..<x.rows {
                let values = contents[x].row(row)
                contents[result].write(row: row, (0..<half).map { silu(values[$0]) * values[half + $0] })
            }
        }
    }
}

@c @implementation public func aclnnSiluGetWorkspaceSize(
    _ self: OpaquePointer?, _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnSilu", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let result = try plan.output(out, "out")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, result)
        try plan.shape(result, x.dims)
        plan.run(cost: plan.vector(x, result, operations: 1)) { contents throws(Failure) in
            contents[result].write(contents[x].floats().map { silu($0) })
        }
    }
}

@c @implementation public func aclnnSigmoidGetWorkspaceSize(
    _ self: OpaquePointer?, _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnSigmoid", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let result = try plan.output(out, "out")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, result)
        try plan.shape(result, x.dims)
        plan.run(cost: plan.vector(x, result, operations: 4)) { contents throws(Failure) in
            contents[result].write(contents[x].floats().map { 1 / (1 + expf(-$0)) })
        }
    }
}

@c @implementation public func aclnnMulGetWorkspaceSize(
    _ self: OpaquePointer?, _ other: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMul", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(self, "self")
        let b = try plan.input(other, "other")
        let result = try plan.output(out, "out")
        for operand in [a, b] { try plan.type(operand, ACL_FLOAT, ACL_FLOAT16, ACL_BF16) }
        if a.type == ACL_FLOAT || b.type == ACL_FLOAT {
            try plan.type(result, ACL_FLOAT)
        } else {
            try plan.same(a, b, result)
        }
        try plan.broadcasts(a, to: result.dims)
        try plan.broadcasts(b, to: result.dims)
        plan.run(cost: plan.vector(a, b, result, operations: 1)) { contents throws(Failure) in
            let left = contents[a].broadcast(to: result.dims).floats()
            let right = contents[b].broadcast(to: result.dims).floats()
            contents[result].write(zip(left, right).map { $0 * $1 })
        }
    }
}

@c @implementation public func aclnnAddGetWorkspaceSize(
    _ self: OpaquePointer?, _ other: OpaquePointer?, _ alpha: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnAdd", workspaceSize, executor) { plan throws(Failure) in
        let factor = Float(try plan.scalar(alpha, "alpha"))
        let a = try plan.input(self, "self")
        let b = try plan.input(other, "other")
        let result = try plan.output(out, "out")
        try plan.type(a, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(a, b, result)
        try plan.broadcasts(a, to: result.dims)
        try plan.broadcasts(b, to: result.dims)
        plan.run(cost: plan.vector(a, b, result, operations: 1)) { contents throws(Failure) in
            let left = contents[a].broadcast(to: result.dims).floats()
            let right = contents[b].broadcast(to: result.dims).floats()
            contents[result].write(zip(left, right).map { $0 + factor * $1 })
        }
    }
}

@c @implementation public func aclnnInplaceAddGetWorkspaceSize(
    _ selfRef: OpaquePointer?, _ other: OpaquePointer?, _ alpha: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnInplaceAdd", workspaceSize, executor) { plan throws(Failure) in
        let factor = Float(try plan.scalar(alpha, "alpha"))
        let a = try plan.output(selfRef, "self")
        let b = try plan.input(other, "other")
        try plan.type(a, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(a, b)
        try plan.broadcasts(b, to: a.dims)
        plan.run(cost: plan.vector(a, b, a, operations: 1)) { contents throws(Failure) in
            let right = contents[b].broadcast(to: a.dims).floats()
            contents[a].write(zip(contents[a].floats(), right).map { $0 + factor * $1 })
        }
    }
}

@c @implementation public func aclnnMulsGetWorkspaceSize(
    _ self: OpaquePointer?, _ other: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMuls", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let factor = Float(try plan.scalar(other, "other"))
        let result = try plan.output(out, "out")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, result)
        try plan.shape(result, x.dims)
        plan.run(cost: plan.vector(x, result, operations: 1)) { contents throws(Failure) in
            contents[result].write(contents[x].floats().map { $0 * factor })
        }
    }
}

@c @implementation public func aclnnCastGetWorkspaceSize(
    _ self: OpaquePointer?, _ dtype: aclDataType, _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnCast", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let result = try plan.output(out, "out")
        try plan.require(result.type == dtype, "out is \(result.tensor.shape), dtype \(dtype.name)")
        try plan.shape(result, x.dims)
        plan.run { contents throws(Failure) in contents[result].convert(from: contents[x]) }
    }
}

@c @implementation public func aclnnInplaceCopyGetWorkspaceSize(
    _ selfRef: OpaquePointer?, _ src: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnInplaceCopy", workspaceSize, executor) { plan throws(Failure) in
        let result = try plan.output(selfRef, "self")
        let x = try plan.input(src, "src")
        try plan.broadcasts(x, to: result.dims)
        plan.run { contents throws(Failure) in contents[result].convert(from: contents[x].broadcast(to: result.dims)) }
    }
}

@c @implementation public func aclnnInplaceZeroGetWorkspaceSize(
    _ selfRef: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnInplaceZero", workspaceSize, executor) { plan throws(Failure) in
        let result = try plan.output(selfRef, "self")
        plan.run { contents throws(Failure) in contents[result].write([Float](repeating: 0, count: result.tensor.count))
        }
    }
}

@c @implementation public func aclnnInplaceFillScalarGetWorkspaceSize(
    _ selfRef: OpaquePointer?, _ value: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnInplaceFillScalar", workspaceSize, executor) { plan throws(Failure) in
        let result = try plan.output(selfRef, "self")
        let value = Float(try plan.scalar(value, "value"))
        plan.run { contents throws(Failure) in
            contents[result].write([Float](repeating: value, count: result.tensor.count))
        }
    }
}

@c @implementation public func aclnnSoftmaxGetWorkspaceSize(
    _ self: OpaquePointer?, _ dim: Int64, _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnSoftmax", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let result = try plan.output(out, "out")
        try plan.last(dim, x)
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.type(result, ACL_FLOAT, x.type)
        try plan.shape(result, x.dims)
        plan.run(cost: plan.vector(x, result, operations: 8)) { contents throws(Failure) in
            for row in 0..<x.rows { contents[result].write(row: row, softmax(contents[x].row(row))) }
        }
    }
}

@c @implementation public func aclnnLogSoftmaxGetWorkspaceSize(
    _ self: OpaquePointer?, _ dim: Int64, _ out: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnLogSoftmax", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let result = try plan.output(out, "out")
        try plan.last(dim, x)
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.type(result, ACL_FLOAT, x.type)
        try plan.shape(result, x.dims)
        plan.run(cost: plan.vector(x, result, operations: 8)) { contents throws(Failure) in
            for row in 0..<x.rows { contents[result].write(row: row, logSoftmax(contents[x].row(row))) }
        }
    }
}

@c @implementation public func aclnnLogSumExpGetWorkspaceSize(
    _ self: OpaquePointer?, _ dim: OpaquePointer?, _ keepDim: Bool, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnLogSumExp", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        guard let axes = try plan.integers(dim, "dim") else { throw Failure(161001, "aclnnLogSumExp: dim is NULL") }
        let result = try plan.output(out, "out")
        try plan.require(axes.count == 1, "dim is \(axes): one dimension is simulated")
        try plan.last(Int64(axes[0]), x)
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.type(result, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.shape(result, x.dims.dropLast() + (keepDim ? [1] : []))
        // The elements as they are summed, before and behind the subtraction of the largest.
        let scratch = 2 * x.tensor.count * ACL_FLOAT.bytes
        plan.run(workspace: scratch, cost: plan.vector(x, result, operations: 8)) { contents throws(Failure) in
            contents[result].write((0..<x.rows).map { logSumExp(contents[x].row($0)) })
        }
    }
}

@c @implementation public func aclnnArgMaxGetWorkspaceSize(
    _ self: OpaquePointer?, _ dim: Int64, _ keepdim: Bool, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnArgMax", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let result = try plan.output(out, "out")
        try plan.last(dim, x)
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.type(result, ACL_INT32, ACL_INT64)
        try plan.shape(result, x.dims.dropLast() + (keepdim ? [1] : []))
        plan.run(cost: plan.vector(x, operations: 1)) { contents throws(Failure) in
            contents[result].write((0..<x.rows).map { largest(contents[x].row($0), 1)[0] })
        }
    }
}

@c @implementation public func aclnnTopkGetWorkspaceSize(
    _ self: OpaquePointer?, _ k: Int64, _ dim: Int64, _ largest: Bool, _ sorted: Bool, _ valuesOut: OpaquePointer?,
    _ indicesOut: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnTopk", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(self, "self")
        let values = try plan.output(valuesOut, "valuesOut")
        let indices = try plan.output(indicesOut, "indicesOut")
        try plan.last(dim, x)
        try plan.require(sorted, "sorted must be true")
        try plan.require(largest, "largest false is not simulated")
        try plan.require(k >= 1 && k <= Int64(x.columns), "k is \(k), the dimension \(x.columns)")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, values)
        try plan.type(indices, ACL_INT64)
        for operand in [values, indices] { try plan.shape(operand, x.dims.dropLast() + [Int(k)]) }
        plan.run(workspace: 1 << 16, cost: plan.vector(x, operations: 8)) { contents throws(Failure) in
            var places: [Int] = []
            for row in 0..<x.rows {
                let line = contents[x].row(row)
                let best = AscendSim.largest(line, Int(k))
                places += best
                contents[values].write(row: row, best.map { line[$0] })
            }
            contents[indices].write(places)
        }
    }
}

@c @implementation public func aclnnApplyTopKTopPGetWorkspaceSize(
    _ logits: OpaquePointer?, _ p: OpaquePointer?, _ k: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnApplyTopKTopP", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let x = try plan.input(logits, "logits")
        let p = try plan.optional(p, "p")
        let k = try plan.optional(k, "k")
        let result = try plan.output(out, "out")
        try plan.require(p != nil || k != nil, "p and k are both NULL")
        try plan.require(x.dims.count == 2, "logits is \(x.tensor.shape)")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, result)
        try plan.shape(result, x.dims)
        if let p {
            try plan.same(x, p)
            try plan.shape(p, [x.dims[0]])
        }
        if let k {
            try plan.type(k, ACL_INT32)
            try plan.shape(k, [x.dims[0]])
        }
        plan.run(workspace: 1 << 16, cost: plan.vector(x, x, result, operations: 16)) { contents throws(Failure) in
            let shares = p.map { contents[$0].floats() }
            let counts = k.map { contents[$0].integers() }
            for row in 0..<x.rows {
                let line = contents[x].row(row)
                contents[result].write(row: row, filter(line, count: counts?[row] ?? 0, share: shares?[row] ?? 1))
            }
        }
    }
}
