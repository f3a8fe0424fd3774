internal import CAscend

/// The operators of experts.
extension AscendLauncher {
    /// Enqueues one call.
    ///
    /// - Throws: what the operator or the runtime returned.
    mutating func launch(_ call: AscendExpertCall) throws(AscendError) {
        switch call {
        case .cast(let x, let y): try launchCast(x, y)
        case .gating(let scores, let weights, let chosen, let unused):
            try launchGating(scores, weights, chosen, unused)
        case .ruledGating(let rule, let scores, let bias, let weights, let chosen, let unused):
            try launchGating(rule, scores, bias, weights, chosen, unused)
        case .softmax(let x, let y): try launchSoftmax(x, y)
        case .initRouting(let x, let chosen, let expanded, let places, let counts):
            try launchInitRouting(x, chosen, expanded, places, counts)
        case .groupedMatmul(let x, let weight, let scale, let tokenScale, let groups, let y):
            try launchGroupedMatmul(x, weight, scale, tokenScale, groups, y)
        case .clear(let x): try launchZero(x)
        case .sigmoid(let x, let y): try launchSigmoid(x, y)
        case .mul(let x, let factor, let y): try launchMul(x, factor, y)
        case .finalizeRouting(let expanded, let places, let shared, let weights, let y):
            try launchFinalizeRouting(expanded, places, shared, weights, y)
        }
    }

    // MARK: - Choosing

    private mutating func launchCast(_ x: AscendTensor, _ y: AscendTensor) throws(AscendError) {
        let type = aclDataType(y.element.rawValue)
        let (x, y) = (try make(x), try make(y))
        let table = libraries.operators
        try operators.run("aclnnCast", table.aclnnCastGetWorkspaceSize, table.aclnnCast) { $0(x, type, y, $1, $2) }
    }

    private mutating func launchGating(
        _ scores: AscendTensor, _ weights: AscendTensor, _ chosen: AscendTensor, _ unused: AscendTensor
    ) throws(AscendError) {
        let count = addresses.length(of: weights.shape[1], size)
        let (scores, weights) = (try make(scores), try make(weights))
        let (chosen, unused) = (try make(chosen), try make(unused))
        let table = libraries.operators
        try operators.run(
            "aclnnMoeGatingTopKSoftmax", table.aclnnMoeGatingTopKSoftmaxGetWorkspaceSize,
            table.aclnnMoeGatingTopKSoftmax
        ) { $0(scores, nil, count, weights, chosen, unused, $1, $2) }
    }

    private mutating func launchGating(
        _ rule: AscendGating, _ scores: AscendTensor, _ bias: AscendTensor?, _ weights: AscendTensor,
        _ chosen: AscendTensor, _ unused: AscendTensor
    ) throws(AscendError) {
        let count = addresses.length(of: weights.shape[1], size)
        let scores: OpaquePointer = try make(scores)
        let bias: OpaquePointer? = try make(bias)
        let (weights, chosen, unused) = (try make(weights), try make(chosen), try make(unused))
        // Weights of a softmax are not divided by their sum.
        let (groupScore, norm, renorm): (Int64, Int64, Int64) = (rule.sumsBestTwo ? 1 : 0, rule.isSigmoid ? 1 : 0, 0)
        let table = libraries.operators
        try operators.run(
            "aclnnMoeGatingTopK", table.aclnnMoeGatingTopKGetWorkspaceSize, table.aclnnMoeGatingTopK
        ) {
            $0(
                scores, bias, count, Int64(rule.keptGroups), Int64(rule.groups), groupScore, renorm, norm, false,
                rule.scale, AscendGating.epsilon, weights, chosen, unused, $1, $2)
        }
    }

    private mutating func launchSoftmax(_ x: AscendTensor, _ y: AscendTensor) throws(AscendError) {
        let (x, y) = (try make(x), try make(y))
        let table = libraries.operators
        try operators.run("aclnnSoftmax", table.aclnnSoftmaxGetWorkspaceSize, table.aclnnSoftmax) {
            $0(x, -1, y, $1, $2)
        }
    }

    // MARK: - There and back

    private mutating func launchInitRouting(
        _ x: AscendTensor, _ chosen: AscendTensor, _ expanded: AscendTensor, _ places: AscendTensor,
        _ counts: AscendTensor
    ) throws(AscendError) {
        let experts = addresses.length(of: counts.shape[0], size)
        let (x, chosen, expanded) = (try make(x), try make(chosen), try make(expanded))
        let (places, counts) = (try make(places), try make(counts))
        let table = libraries.operators
        try operators.run(
            "aclnnMoeInitRoutingV2", table.aclnnMoeInitRoutingV2GetWorkspaceSize, table.aclnnMoeInitRoutingV2
        ) { $0(x, chosen, 0, 0, experts, 0, Self.countsRows, false, expanded, places, counts, nil, $1, $2) }
    }

    /// Experts are told the number of their rows, not where these end.
    private static let countsRows: Int64 = 2

    private mutating func launchFinalizeRouting(
        _ expanded: AscendTensor, _ places: AscendTensor, _ shared: AscendTensor?, _ weights: AscendTensor,
        _ y: AscendTensor
    ) throws(AscendError) {
        let (expanded, places, shared) = (try make(expanded), try make(places), try make(shared))
        let (weights, y) = (try make(weights), try make(y))
        let table = libraries.operators
        try operators.run(
            "aclnnMoeFinalizeRoutingV2", table.aclnnMoeFinalizeRoutingV2GetWorkspaceSize,
            table.aclnnMoeFinalizeRoutingV2
        ) { $0(expanded, places, shared, nil, nil, weights, nil, Self.asRouted, y, $1, $2) }
    }

    /// Rows are where InitRoutingV2 put them, and none was dropped.
    private static let asRouted: Int64 = 2

    // MARK: - Experts

    private mutating func launchGroupedMatmul(
        _ x: AscendTensor, _ weight: AscendTensor, _ scale: AscendTensor?, _ tokenScale: AscendTensor?,
        _ groups: AscendTensor, _ y: AscendTensor
    ) throws(AscendError) {
        let (x, weight, y) = (try makeList(x), try makeList(weight), try makeList(y))
        var (scaleList, tokenList): (OpaquePointer?, OpaquePointer?)
        if let scale { scaleList = try makeList(scale) }
        if let tokenScale { tokenList = try makeList(tokenScale) }
        let groups: OpaquePointer = try make(groups)
        // One output; rows are what is divided; groups are told by their size.
        let (split, byRows, bySize): (Int64, Int64, Int64) = (3, 0, 1)
        let table = libraries.operators
        guard table.aclnnGroupedMatmulV5GetWorkspaceSize != nil else {
            return try operators.run(
                "aclnnGroupedMatmulV4", table.aclnnGroupedMatmulV4GetWorkspaceSize, table.aclnnGroupedMatmulV4
            ) {
                $0(
                    x, weight, nil, scaleList, nil, nil, nil, tokenList, groups, nil, nil, nil, split, byRows, bySize,
                    0,
                    y, nil, nil, $1, $2)
            }
        }
        try operators.run(
            "aclnnGroupedMatmulV5", table.aclnnGroupedMatmulV5GetWorkspaceSize, table.aclnnGroupedMatmulV5
        ) {
            $0(
                x, weight, nil, scaleList, nil, nil, nil, tokenList, groups, nil, nil, nil, split, byRows, bySize, 0,
                nil,
                y, nil, nil, $1, $2)
        }
    }

    private mutating func launchZero(_ x: AscendTensor) throws(AscendError) {
        let x: OpaquePointer = try make(x)
        let table = libraries.operators
        try operators.run("aclnnInplaceZero", table.aclnnInplaceZeroGetWorkspaceSize, table.aclnnInplaceZero) {
            $0(x, $1, $2)
        }
    }

    private mutating func launchSigmoid(_ x: AscendTensor, _ y: AscendTensor) throws(AscendError) {
        let (x, y) = (try make(x), try make(y))
        let table = libraries.operators
        try operators.run("aclnnSigmoid", table.aclnnSigmoidGetWorkspaceSize, table.aclnnSigmoid) {
            $0(x, y, $1, $2)
        }
    }

    mutating func launchMul(
        _ x: AscendTensor, _ factor: AscendTensor, _ y: AscendTensor
    ) throws(AscendError) {
        let (x, factor, y) = (try make(x), try make(factor), try make(y))
        let table = libraries.operators
        try operators.run("aclnnMul", table.aclnnMulGetWorkspaceSize, table.aclnnMul) { $0(x, factor, y, $1, $2) }
    }
}
