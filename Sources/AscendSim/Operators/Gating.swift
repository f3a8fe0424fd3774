internal import CAscend
internal import Glibc

/// Attributes of MoeGatingTopK.
struct GatingRequest {
    let k: Int64
    let keptGroups: Int64
    let groups: Int64
    let groupScore: Int64
    let renorm: Int64
    let norm: Int64
    let scale: Double
    let epsilon: Double
}

extension Plan {
    /// Chooses experts for each row, from its best groups alone, and weighs them.
    func gating(
        _ request: GatingRequest, x: Operand, bias: Operand?, y: Operand, experts: Operand, scores: Operand
    ) throws(Failure) {
        try type(x, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try same(x, y)
        try type(experts, ACL_INT32)
        try type(scores, ACL_FLOAT)
        try require(x.dims.count == 2 && x.tensor.count > 0, "x is \(x.tensor.shape)")
        if let bias {
            try same(x, bias)
            try shape(bias, [x.columns])
        }
        try check(request, experts: Int64(x.columns))
        let choice = ExpertChoice(request)
        for operand in [y, experts] { try shape(operand, [x.rows, choice.count]) }
        try shape(scores, x.dims)
        run(cost: vector(x, y, operations: 24)) { contents throws(Failure) in
            let correction = bias.map { contents[$0].floats() }
            var chosen: [Int] = []
            for row in 0..<x.rows {
                let (own, weights) = choice.choose(contents[x].row(row), correction)
                chosen += own
                contents[y].write(row: row, weights)
            }
            contents[experts].write(chosen)
        }
    }

    private func check(_ request: GatingRequest, experts: Int64) throws(Failure) {
        let (groups, kept) = (request.groups, request.keptGroups)
        try require(experts <= 2048, "\(experts) experts, at most 2048")
        try require(groups > 0 && experts % groups == 0, "\(experts) experts in \(groups) groups")
        let size = experts / groups
        try require((0...1).contains(request.groupScore), "groupSelectMode \(request.groupScore)")
        try require(size > request.groupScore, "groupSelectMode \(request.groupScore) of groups of \(size)")
        try require((size + 31) / 32 * 32 * groups <= 2048, "\(groups) groups of \(size), padded to 32, exceed 2048")
        try require((1...groups).contains(kept), "kGroup \(kept) of \(groups)")
        try require((1...size * kept).contains(request.k), "k \(request.k) of \(kept) groups of \(size)")
        try require((0...1).contains(request.norm), "normType \(request.norm): 2 is for chips that are not simulated")
        try require((0...1).contains(request.renorm), "renorm \(request.renorm)")
        try require(request.renorm == 0 || release == .v91, "renorm \(request.renorm) before CANN 9.0")
    }
}

/// How a row's experts are found.
private struct ExpertChoice {
    let count: Int
    private let groups: Int
    private let keptGroups: Int
    private let sumsBestTwo: Bool
    private let isSigmoid: Bool
    private let normalises: Bool
    private let scale: Float
    private let epsilon: Float

    init(_ request: GatingRequest) {
        (count, groups, keptGroups) = (Int(request.k), Int(request.groups), Int(request.keptGroups))
        (sumsBestTwo, isSigmoid) = (request.groupScore == 1, request.norm == 1)
        normalises = isSigmoid || request.renorm == 1
        (scale, epsilon) = (Float(request.scale), Float(request.epsilon))
    }

    func choose(_ x: [Float], _ bias: [Float]?) -> (experts: [Int], weights: [Float]) {
        let scores = isSigmoid ? x.map { 1 / (1 + expf(-$0)) } : softmax(x)
        var ranks = bias.map { zip(scores, $0).map { $0 + $1 } } ?? scores
        if keptGroups < groups { keepBestGroups(&ranks) }
        let experts = largest(ranks, count)
        var weights = experts.map { scores[$0] }
        if normalises {
            let sum = weights.reduce(0, +) + epsilon
            weights = weights.map { $0 / sum }
        }
        return (experts, weights.map { $0 * scale })
    }

    private func keepBestGroups(_ ranks: inout [Float]) {
        let size = ranks.count / groups
        let quality = (0..<groups).map { group in
            let own = Array(ranks[group * size..<(group + 1) * size])
            return largest(own, sumsBestTwo ? 2 : 1).reduce(Float(0)) { $0 + own[$1] }
        }
        let kept = Set(largest(quality, keptGroups))
        for index in ranks.indices where !kept.contains(index / size) { ranks[index] = -.infinity }
    }
}
