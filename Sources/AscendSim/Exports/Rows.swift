// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclnnEmbeddingGetWorkspaceSize(
    _ weight: OpaquePointer?, _ indices: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnEmbedding", workspaceSize, executor) { plan throws(Failure) in
        let table = try plan.input(weight, "weight")
        let rows = try plan.input(indices, "indices")
        let result = try plan.output(out, "out")
        try plan.type(table, ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32, ACL_INT64)
        try plan.type(rows, ACL_INT32, ACL_INT64)
        try plan.same(table, result)
        try plan.require(table.dims.count == 2, "weight has \(table.dims.count) dimensions, 2 are simulated")
        try plan.shape(result, rows.dims + [table.columns])
        plan.run(cost: Cost(bytes: 2 * result.tensor.count * result.type.bytes)) { contents throws(Failure) in
            let (source, target) = (contents[table], contents[result])
            for (index, row) in contents[rows].integers().enumerated() {
                // The device checks only for negative ones; what it reads behind the table is anything, so it is refused here.
                try contents.require((0..<table.dims[0]).contains(row), "index \(row) is none of 0..<\(table.dims[0])")
                target.copy(row: index, from: source, row: row)
            }
        }
    }
}

@c @implementation public func aclnnIndexSelectGetWorkspaceSize(
    _ self: OpaquePointer?, _ dim: Int64, _ index: OpaquePointer?, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnIndexSelect", workspaceSize, executor) { plan throws(Failure) in
        let table = try plan.input(self, "self")
        try plan.require(dim == 0, "dim \(dim): only 0 is simulated")
        let rows = try plan.input(index, "index")
        let result = try plan.output(out, "out")
        try plan.type(table, ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_INT32, ACL_INT64)
        try plan.type(rows, ACL_INT32, ACL_INT64)
        try plan.same(table, result)
        try plan.require(table.dims.count == 2, "self has \(table.dims.count) dimensions, 2 are simulated")
        try plan.shape(result, rows.dims + [table.columns])
        plan.run(cost: Cost(bytes: 2 * result.tensor.count * result.type.bytes)) { contents throws(Failure) in
            let (source, target) = (contents[table], contents[result])
            for (index, row) in contents[rows].integers().enumerated() {
                // The device checks only for negative ones; what it reads behind the table is anything, so it is refused here.
                try contents.require((0..<table.dims[0]).contains(row), "index \(row) is none of 0..<\(table.dims[0])")
                target.copy(row: index, from: source, row: row)
            }
        }
    }
}

@c @implementation public func aclnnRmsNormGetWorkspaceSize(
    _ x: OpaquePointer?, _ gamma: OpaquePointer?, _ epsilon: Double, _ yOut: OpaquePointer?, _ rstdOut: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnRmsNorm", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        let gamma = try plan.input(gamma, "gamma")
        let y = try plan.output(yOut, "yOut")
        let rstd = try plan.output(rstdOut, "rstdOut")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.type(rstd, ACL_FLOAT)
        try plan.same(x, y)
        try plan.require(
            gamma.type == x.type || gamma.type == ACL_FLOAT, "gamma is \(gamma.tensor.shape), x \(x.tensor.shape)")
        try plan.shape(gamma, [x.columns])
        try plan.shape(y, x.dims)
        try plan.require(rstd.tensor.count == x.rows && rstd.columns == 1, "rstdOut is \(rstd.tensor.shape)")
        plan.run(cost: plan.vector(x, y, operations: 4)) { contents throws(Failure) in
            let weights = contents[gamma].floats()
            for row in 0..<x.rows {
                let (values, factor) = normalise(contents[x].row(row), weights, epsilon)
                contents[y].write(row: row, values)
                contents[rstd].write(row: row, [factor])
            }
        }
    }
}

@c @implementation public func aclnnAddRmsNormGetWorkspaceSize(
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ gamma: OpaquePointer?, _ epsilon: Double, _ yOut: OpaquePointer?,
    _ rstdOut: OpaquePointer?, _ xOut: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnAddRmsNorm", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(x1, "x1")
        let b = try plan.input(x2, "x2")
        let gamma = try plan.input(gamma, "gamma")

        let y = try plan.output(yOut, "yOut")
        let rstd = try plan.output(rstdOut, "rstdOut")
        let sum = try plan.output(xOut, "xOut")
        try plan.type(a, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(a, b, gamma, y, sum)
        try plan.type(rstd, ACL_FLOAT)
        for operand in [b, y, sum] { try plan.shape(operand, a.dims) }
        try plan.shape(gamma, [a.columns])
        try plan.require(rstd.tensor.count == a.rows && rstd.columns == 1, "rstdOut is \(rstd.tensor.shape)")
        plan.run(cost: plan.vector(a, b, y, sum, operations: 5)) { contents throws(Failure) in
            let weights = contents[gamma].floats()
            for row in 0..<a.rows {
                let total = zip(contents[a].row(row), contents[b].row(row)).map { rounded($0 + $1, to: a.type) }
                let (values, factor) = normalise(total, weights, epsilon)
                contents[sum].write(row: row, total)
                contents[y].write(row: row, values)
                // What 310P writes there has no meaning.
                contents[rstd].write(row: row, [plan.profile.is310P ? .nan : factor])
            }
        }
    }
}

@c @implementation public func aclnnAddRmsNormQuantGetWorkspaceSize(
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ gamma: OpaquePointer?, _ scales1: OpaquePointer?,
    _ scales2Optional: OpaquePointer?, _ zeroPoints1Optional: OpaquePointer?, _ zeroPoints2Optional: OpaquePointer?,
    _ axis: Int64, _ epsilon: Double, _ divMode: Bool, _ y1Out: OpaquePointer?, _ y2Out: OpaquePointer?,
    _ xOut: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnAddRmsNormQuant", workspaceSize, executor) { plan throws(Failure) in
        let a = try plan.input(x1, "x1")
        let b = try plan.input(x2, "x2")
        let gamma = try plan.input(gamma, "gamma")

        let scales = try plan.input(scales1, "scales1")
        try plan.unused(scales2Optional, "scales2")
        let offsets = try plan.optional(zeroPoints1Optional, "zeroPoints1")
        try plan.unused(zeroPoints2Optional, "zeroPoints2")
        let y = try plan.output(y1Out, "y1Out")
        let second = try plan.output(y2Out, "y2Out")
        let sum = try plan.output(xOut, "xOut")
        try plan.type(a, ACL_FLOAT16, ACL_BF16)
        try plan.same(a, b, gamma, sum)
        try plan.type(scales, a.type == ACL_BF16 ? ACL_BF16 : ACL_FLOAT)
        try plan.same(y, second)
        try plan.type(y, ACL_INT8)
        for operand in [b, y, second, sum] { try plan.shape(operand, a.dims) }
        for operand in [gamma, scales] { try plan.shape(operand, [a.columns]) }
        if let offsets {
            try plan.type(offsets, a.type == ACL_BF16 ? ACL_BF16 : ACL_INT32)
            try plan.shape(offsets, [a.columns])
        }
        try plan.require(axis == -1, "axis must be -1")
        try plan.require(divMode, "divMode must be true")
        plan.run(cost: plan.vector(a, b, y, sum, operations: 7)) { contents throws(Failure) in
            let weights = contents[gamma].floats()
            let factors = contents[scales].floats()
            let shifts = offsets.map { contents[$0].floats() }
            for row in 0..<a.rows {
                let total = zip(contents[a].row(row), contents[b].row(row)).map { rounded($0 + $1, to: a.type) }
                let (values, _) = normalise(total, weights, epsilon)
                // Nothing is promised of what nobody asked for.
                contents[second].write(row: row, [Float](repeating: 85, count: a.columns))
                contents[sum].write(row: row, total)
                contents[y].write(
                    row: row,
                    values.enumerated().map { index, value in
                        (value / factors[index] + (shifts?[index] ?? 0)).rounded(.toNearestOrEven)
                    })
            }
        }
    }
}

@c @implementation public func aclnnAddRmsNormDynamicQuantGetWorkspaceSize(
    _ x1: OpaquePointer?, _ x2: OpaquePointer?, _ gamma: OpaquePointer?, _ smoothScale1Optional: OpaquePointer?,
    _ smoothScale2Optional: OpaquePointer?, _ epsilon: Double, _ y1Out: OpaquePointer?, _ y2Out: OpaquePointer?,
    _ xOut: OpaquePointer?, _ scale1Out: OpaquePointer?, _ scale2Out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnAddRmsNormDynamicQuant", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let a = try plan.input(x1, "x1")
        let b = try plan.input(x2, "x2")
        let gamma = try plan.input(gamma, "gamma")

        let smooth = try plan.optional(smoothScale1Optional, "smoothScale1")
        try plan.unused(smoothScale2Optional, "smoothScale2")
        let y = try plan.output(y1Out, "y1Out")
        _ = try plan.output(y2Out, "y2Out")
        let sum = try plan.output(xOut, "xOut")
        let scale = try plan.output(scale1Out, "scale1Out")
        _ = try plan.output(scale2Out, "scale2Out")
        try plan.type(a, ACL_FLOAT16, ACL_BF16)
        try plan.same(a, b, gamma, sum)
        try plan.type(y, ACL_INT8)
        try plan.type(scale, ACL_FLOAT)
        for operand in [b, y, sum] { try plan.shape(operand, a.dims) }
        try plan.shape(gamma, [a.columns])
        try plan.shape(scale, a.dims.dropLast())
        if let smooth {
            try plan.same(a, smooth)
            try plan.shape(smooth, [a.columns])
        }
        plan.run(cost: plan.vector(a, b, y, sum, operations: 8)) { contents throws(Failure) in
            let weights = contents[gamma].floats()
            let factors = smooth.map { contents[$0].floats() }
            var scales: [Float] = []
            for row in 0..<a.rows {
                let total = zip(contents[a].row(row), contents[b].row(row)).map { rounded($0 + $1, to: a.type) }
                var (values, _) = normalise(total, weights, epsilon)
                if let factors { values = zip(values, factors).map { $0 * $1 } }
                let result = quantise(values)
                contents[sum].write(row: row, total)
                contents[y].write(row: row, result.quants)
                scales.append(result.scale)
            }
            contents[scale].write(scales)
        }
    }
}
