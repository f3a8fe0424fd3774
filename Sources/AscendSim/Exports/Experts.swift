// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclnnMoeGatingTopKSoftmaxGetWorkspaceSize(
    _ x: OpaquePointer?, _ finishedOptional: OpaquePointer?, _ k: Int64, _ yOut: OpaquePointer?,
    _ expertIdxOut: OpaquePointer?, _ rowIdxOut: OpaquePointer?, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMoeGatingTopKSoftmax", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        try plan.unused(finishedOptional, "finished")
        let y = try plan.output(yOut, "yOut")
        let experts = try plan.output(expertIdxOut, "expertIdxOut")
        let rows = try plan.output(rowIdxOut, "rowIdxOut")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, y)
        try plan.type(experts, ACL_INT32)
        try plan.type(rows, ACL_INT32)
        try plan.require(x.dims.count == 2, "x is \(x.tensor.shape)")
        try plan.require(k >= 1 && k <= Int64(x.columns) && k <= 1024, "k is \(k) of \(x.columns) experts")
        if plan.profile.is310P { try plan.require(x.columns % 16 == 0 && x.columns <= 256, "\(x.columns) experts") }
        let count = Int(k)
        for operand in [y, experts, rows] { try plan.shape(operand, [x.rows, count]) }
        plan.run(cost: plan.vector(x, y, operations: 16)) { contents throws(Failure) in
            var chosen: [Int] = []
            for row in 0..<x.rows {
                let chances = softmax(contents[x].row(row))
                let best = largest(chances, count)
                chosen += best
                contents[y].write(row: row, best.map { chances[$0] })
            }
            contents[experts].write(chosen)
            contents[rows].write((0..<x.rows * count).map { $0 % count * x.rows + $0 / count })
        }
    }
}

@c @implementation public func aclnnMoeGatingTopKGetWorkspaceSize(
    _ x: OpaquePointer?, _ biasOptional: OpaquePointer?, _ k: Int64, _ kGroup: Int64, _ groupCount: Int64,
    _ groupSelectMode: Int64, _ renorm: Int64, _ normType: Int64, _ outFlag: Bool, _ routedScalingFactor: Double,
    _ eps: Double, _ yOut: OpaquePointer?, _ expertIdxOut: OpaquePointer?, _ outOut: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMoeGatingTopK", workspaceSize, executor) { plan throws(Failure) in
        try plan.notOn310P()
        let x = try plan.input(x, "x")
        let bias = try plan.optional(biasOptional, "bias")
        let y = try plan.output(yOut, "yOut")
        let experts = try plan.output(expertIdxOut, "expertIdxOut")
        let scores = try plan.output(outOut, "outOut")
        try plan.require(!outFlag, "outFlag is not simulated")
        try plan.gating(
            GatingRequest(
                k: k, keptGroups: kGroup, groups: groupCount, groupScore: groupSelectMode, renorm: renorm,
                norm: normType, scale: routedScalingFactor, epsilon: eps),
            x: x, bias: bias, y: y, experts: experts, scores: scores)
    }
}

@c @implementation public func aclnnMoeInitRoutingV2GetWorkspaceSize(
    _ x: OpaquePointer?, _ expertIdx: OpaquePointer?, _ activeNumOptional: Int64, _ expertCapacityOptional: Int64,
    _ expertNumOptional: Int64, _ dropPadModeOptional: Int64, _ expertTokensCountOrCumsumFlagOptional: Int64,
    _ expertTokensBeforeCapacityFlagOptional: Bool, _ expandedXOut: OpaquePointer?, _ expandedRowIdxOut: OpaquePointer?,
    _ expertTokensCountOrCumsumOutOptional: OpaquePointer?, _ expertTokensBeforeCapacityOutOptional: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMoeInitRoutingV2", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(x, "x")
        let experts = try plan.input(expertIdx, "expertIdx")
        let expanded = try plan.output(expandedXOut, "expandedXOut")
        let places = try plan.output(expandedRowIdxOut, "expandedRowIdxOut")
        let counts = try plan.output(expertTokensCountOrCumsumOutOptional, "expertTokensCountOrCumsumOut")
        _ = try plan.optionalOutput(expertTokensBeforeCapacityOutOptional, "expertTokensBeforeCapacityOut")
        try plan.require(
            activeNumOptional == 0 && expertCapacityOptional == 0 && dropPadModeOptional == 0
                && !expertTokensBeforeCapacityFlagOptional, "only routing that drops nothing is simulated")
        let (flag, number) = (expertTokensCountOrCumsumFlagOptional, Int(expertNumOptional))
        try plan.require(
            flag == 1 || flag == 2, "expertTokensCountOrCumsumFlag \(flag) is neither 1 (sums) nor 2 (counts)")
        try plan.require(number > 0, "expertNum \(number)")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, expanded)
        for operand in [experts, places, counts] { try plan.type(operand, ACL_INT32) }
        try plan.require(
            x.dims.count == 2 && experts.dims.count == 2 && experts.dims[0] == x.dims[0],
            "expertIdx is \(experts.tensor.shape)")
        let each = experts.columns
        try plan.shape(expanded, [x.rows * each, x.columns])
        try plan.shape(places, [x.rows * each])
        try plan.shape(counts, [number])
        plan.run(cost: plan.vector(expanded, expanded, operations: 1)) { contents throws(Failure) in
            let chosen = contents[experts].integers()
            try contents.require(chosen.allSatisfy { (0..<number).contains($0) }, "an expert is none of 0..<\(number)")
            let order = chosen.indices.sorted { (chosen[$0], $0) < (chosen[$1], $1) }
            var positions = [Int](repeating: 0, count: chosen.count)
            var sums = [Int](repeating: 0, count: number)
            for (position, index) in order.enumerated() {
                contents[expanded].copy(row: position, from: contents[x], row: index / each)
                positions[index] = position
                sums[chosen[index]] += 1
            }
            if flag == 1 { for expert in 1..<max(number, 1) { sums[expert] += sums[expert - 1] } }
            contents[places].write(positions)
            contents[counts].write(sums)
        }
    }
}

@c @implementation public func aclnnGroupedMatmulV4GetWorkspaceSize(
    _ x: OpaquePointer?, _ weight: OpaquePointer?, _ biasOptional: OpaquePointer?, _ scaleOptional: OpaquePointer?,
    _ offsetOptional: OpaquePointer?, _ antiquantScaleOptional: OpaquePointer?,
    _ antiquantOffsetOptional: OpaquePointer?, _ perTokenScaleOptional: OpaquePointer?,
    _ groupListOptional: OpaquePointer?, _ activationInputOptional: OpaquePointer?,
    _ activationQuantScaleOptional: OpaquePointer?, _ activationQuantOffsetOptional: OpaquePointer?, _ splitItem: Int64,
    _ groupType: Int64, _ groupListType: Int64, _ actType: Int64, _ out: OpaquePointer?,
    _ activationFeatureOutOptional: OpaquePointer?, _ dynQuantScaleOutOptional: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnGroupedMatmulV4", workspaceSize, executor) { plan throws(Failure) in
        let request = GroupedRequest(
            splitItem: splitItem, groupType: groupType, listType: groupListType, activation: actType)
        let x = try plan.list(x, "x")
        let weight = try plan.list(weight, "weight")
        try plan.unusedList(biasOptional, "bias")
        let scale = try plan.optionalList(scaleOptional, "scale")
        try plan.unusedList(offsetOptional, "offset")
        try plan.unusedList(antiquantScaleOptional, "antiquantScale")
        try plan.unusedList(antiquantOffsetOptional, "antiquantOffset")
        let tokens = try plan.optionalList(perTokenScaleOptional, "perTokenScale")
        let groups = try plan.input(groupListOptional, "groupList")
        try plan.unusedList(activationInputOptional, "activationInput")
        try plan.unusedList(activationQuantScaleOptional, "activationQuantScale")
        try plan.unusedList(activationQuantOffsetOptional, "activationQuantOffset")
        let result = try plan.outputList(out, "out")
        try plan.unusedList(activationFeatureOutOptional, "activationFeatureOut")
        try plan.unusedList(dynQuantScaleOutOptional, "dynQuantScaleOut")
        try plan.grouped(request, x: x, weight: weight, scale: scale, tokens: tokens, groups: groups, out: result)
    }
}

@c @implementation public func aclnnGroupedMatmulV5GetWorkspaceSize(
    _ x: OpaquePointer?, _ weight: OpaquePointer?, _ biasOptional: OpaquePointer?, _ scaleOptional: OpaquePointer?,
    _ offsetOptional: OpaquePointer?, _ antiquantScaleOptional: OpaquePointer?,
    _ antiquantOffsetOptional: OpaquePointer?, _ perTokenScaleOptional: OpaquePointer?,
    _ groupListOptional: OpaquePointer?, _ activationInputOptional: OpaquePointer?,
    _ activationQuantScaleOptional: OpaquePointer?, _ activationQuantOffsetOptional: OpaquePointer?, _ splitItem: Int64,
    _ groupType: Int64, _ groupListType: Int64, _ actType: Int64, _ tuningConfigOptional: OpaquePointer?,
    _ out: OpaquePointer?, _ activationFeatureOutOptional: OpaquePointer?, _ dynQuantScaleOutOptional: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnGroupedMatmulV5", workspaceSize, executor) { plan throws(Failure) in
        let request = GroupedRequest(
            splitItem: splitItem, groupType: groupType, listType: groupListType, activation: actType)
        let x = try plan.list(x, "x")
        let weight = try plan.list(weight, "weight")
        try plan.unusedList(biasOptional, "bias")
        let scale = try plan.optionalList(scaleOptional, "scale")
        try plan.unusedList(offsetOptional, "offset")
        try plan.unusedList(antiquantScaleOptional, "antiquantScale")
        try plan.unusedList(antiquantOffsetOptional, "antiquantOffset")
        let tokens = try plan.optionalList(perTokenScaleOptional, "perTokenScale")
        let groups = try plan.input(groupListOptional, "groupList")
        try plan.unusedList(activationInputOptional, "activationInput")
        try plan.unusedList(activationQuantScaleOptional, "activationQuantScale")
        try plan.unusedList(activationQuantOffsetOptional, "activationQuantOffset")
        try plan.require(tuningConfigOptional == nil, "tuningConfig is not simulated")
        let result = try plan.outputList(out, "out")
        try plan.unusedList(activationFeatureOutOptional, "activationFeatureOut")
        try plan.unusedList(dynQuantScaleOutOptional, "dynQuantScaleOut")
        try plan.grouped(request, x: x, weight: weight, scale: scale, tokens: tokens, groups: groups, out: result)
    }
}

@c @implementation public func aclnnMoeFinalizeRoutingV2GetWorkspaceSize(
    _ expandedX: OpaquePointer?, _ expandedRowIdx: OpaquePointer?, _ x1Optional: OpaquePointer?,
    _ x2Optional: OpaquePointer?, _ biasOptional: OpaquePointer?, _ scalesOptional: OpaquePointer?,
    _ expertIdxOptional: OpaquePointer?, _ dropPadMode: Int64, _ out: OpaquePointer?,
    _ workspaceSize: UnsafeMutablePointer<UInt64>?, _ executor: UnsafeMutablePointer<OpaquePointer?>?
) -> aclnnStatus {
    prepare("aclnnMoeFinalizeRoutingV2", workspaceSize, executor) { plan throws(Failure) in
        let x = try plan.input(expandedX, "expandedX")
        let places = try plan.input(expandedRowIdx, "expandedRowIdx")
        let first = try plan.optional(x1Optional, "x1")
        let second = try plan.optional(x2Optional, "x2")
        try plan.unused(biasOptional, "bias")
        let scales = try plan.input(scalesOptional, "scales")
        try plan.unused(expertIdxOptional, "expertIdx")
        let result = try plan.output(out, "out")
        try plan.require(dropPadMode == 2, "dropPadMode \(dropPadMode): only 2 is simulated")
        try plan.type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try plan.same(x, result)
        try plan.type(places, ACL_INT32)
        try plan.type(scales, ACL_FLOAT, x.type)
        try plan.require(scales.dims.count == 2 && scales.dims[0] == result.dims[0], "scales is \(scales.tensor.shape)")
        let (rows, each) = (scales.dims[0], scales.dims[1])
        try plan.shape(x, [rows * each, result.columns])
        try plan.shape(places, [rows * each])
        for operand in [first, second] {
            guard let operand else { continue }
            try plan.same(x, operand)
            try plan.shape(operand, result.dims)
        }
        plan.run(cost: plan.vector(x, result, operations: 2)) { contents throws(Failure) in
            let (positions, factors) = (contents[places].integers(), contents[scales].floats())
            try contents.require(
                positions.allSatisfy { (0..<rows * each).contains($0) }, "expandedRowIdx is out of range")
            for row in 0..<rows {
                var sum = first.map { contents[$0].row(row) } ?? [Float](repeating: 0, count: result.columns)
                if let second { sum = zip(sum, contents[second].row(row)).map { $0 + $1 } }
                for choice in 0..<each {
                    let values = contents[x].row(positions[row * each + choice])
                    let factor = factors[row * each + choice]
                    for column in sum.indices { sum[column] += factor * values[column] }
                }
                contents[result].write(row: row, sum)
            }
        }
    }
}
