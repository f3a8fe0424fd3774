internal import CAscend

/// Attributes of GroupedMatmul.
struct GroupedRequest {
    let splitItem: Int64
    let groupType: Int64
    let listType: Int64
    let activation: Int64
}

extension Plan {
    func optionalList(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Operand? {
        guard handle != nil else {
            skipList()
            return nil
        }
        let members = try list(handle, name)
        try require(members.count == 1, "\(name): lists of one tensor are simulated")
        return members[0]
    }

    func unusedList(_ handle: OpaquePointer?, _ name: String) throws(Failure) {
        skipList()
        try require(handle == nil, "\(name) is not simulated, pass NULL")
    }

    /// Rows of one tensor, group after group, each with a matrix of its own.
    func grouped(
        _ request: GroupedRequest, x: [Operand], weight: [Operand], scale: Operand?, tokens: Operand?, groups: Operand,
        out: [Operand]
    ) throws(Failure) {
        try require(x.count == 1 && weight.count == 1 && out.count == 1, "lists of one tensor are simulated")
        try require(
            request.splitItem == 2 || request.splitItem == 3,
            "splitItem \(request.splitItem): only 2 and 3 are simulated")
        try require(request.groupType == 0, "groupType \(request.groupType): only 0, rows, is simulated")
        try require(request.listType == 0 || request.listType == 1, "groupListType \(request.listType)")
        try require(request.activation == 0, "actType \(request.activation): only 0, none, is simulated")
        let (x, weight, out) = (x[0], weight[0], out[0])
        try require(
            x.dims.count == 2 && weight.dims.count == 3, "x is \(x.tensor.shape), weight \(weight.tensor.shape)")
        let (experts, inputs, outputs) = (weight.dims[0], weight.dims[1], weight.dims[2])
        try require(x.columns == inputs, "x is \(x.tensor.shape), weight \(weight.tensor.shape)")
        try shape(out, [x.rows, outputs])
        try type(groups, ACL_INT64)
        try shape(groups, [experts])
        try same(x, weight)
        try require(
            !weight.tensor.isTiled || weight.tensor.hasFullTiles,
            "weight \(weight.tensor.shape) leaves tiles half empty")
        if x.type == ACL_INT8 {
            guard let scale, let tokens else { throw .invalid("\(name): INT8 wants scale and perTokenScale") }
            try type(out, ACL_BF16, ACL_FLOAT16)
            try type(scale, ACL_FLOAT, ACL_BF16)
            try shape(scale, [experts, outputs])
            try type(tokens, ACL_FLOAT)
            try shape(tokens, [x.rows])
        } else {
            try type(x, ACL_BF16, ACL_FLOAT16, ACL_FLOAT)
            try same(x, out)
            try require(scale == nil && tokens == nil, "scales go with INT8")
        }
        let operations = 2 * Double(x.tensor.count) * Double(outputs)
        let isInteger = x.type == ACL_INT8
        // Only the matrices of experts that have rows are read.
        let used = min(experts, x.rows)
        let cost = Cost(
            bytes: used * inputs * outputs * x.type.bytes + x.tensor.count * x.type.bytes + out.tensor.count
                * out.type.bytes,
            floatOperations: isInteger ? 0 : operations, integerOperations: isInteger ? operations : 0)
        run(workspace: 1 << 16, cost: cost) { contents throws(Failure) in
            let list = contents[groups].integers()
            var start = 0
            for expert in 0..<experts {
                let end = request.listType == 0 ? list[expert] : start + list[expert]
                try contents.require(end >= start && end <= x.rows, "groupList: group \(expert) ends at \(end)")
                contents.multiply(start..<end, expert, x, weight, scale, tokens, out)
                start = end
            }
        }
    }
}

extension Contents {
    fileprivate func multiply(
        _ rows: Range<Int>, _ expert: Int, _ x: Operand, _ weight: Operand, _ scale: Operand?, _ tokens: Operand?,
        _ out: Operand
    ) {
        guard !rows.isEmpty else { return }
        let values = rows.flatMap { self[x].row($0) }
        let factor = Factor(self[weight], batch: expert)
        let n = factor.outputs
        var y: [Float]
        if let scale, let tokens {
            let (scales, factors) = (self[scale].row(expert), self[tokens].floats())
            let sums = multiplyIntegers(values, rows: rows.count, factor)
            y = sums.enumerated().map {
                Float($0.element) * (scales[$0.offset % n] * factors[rows.lowerBound + $0.offset / n])
            }
        } else {
            y = AscendSim.multiply(values, rows: rows.count, factor)
        }
        for row in rows {
            let start = (row - rows.lowerBound) * n
            self[out].write(row: row, Array(y[start..<start + n]))
        }
    }
}
