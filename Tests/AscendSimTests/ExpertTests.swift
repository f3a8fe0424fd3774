import CAscend
import Glibc
import Testing

extension SimulatorTests {
    /// The way of tokens through a layer of experts.
    @Suite struct ExpertTests {
        @Test(arguments: [false, true])
        func routedTokensComeBackWeighted(isInteger: Bool) throws {
            let machine = try Machine()
            var numbers = Numbers(21)
            let (tokens, experts, each, width) = (5, 4, 2, 32)
            let operators = machine.operators
            let gates = numbers.floats(tokens * experts)
            let x =
                isInteger
                ? numbers.integers(tokens * width, -100...100).map(Float.init) : numbers.floats(tokens * width)
            let gate = try machine.floats(gates, [tokens, experts], ACL_FLOAT)
            let (weights, chosen) = (
                try machine.empty(ACL_FLOAT, [tokens, each]), try machine.empty(ACL_INT32, [tokens, each])
            )
            let rows = try machine.empty(ACL_INT32, [tokens, each])
            try machine.run(operators.aclnnMoeGatingTopKSoftmax) {
                operators.aclnnMoeGatingTopKSoftmaxGetWorkspaceSize(
                    gate.handle, nil, Int64(each), weights.handle, chosen.handle, rows.handle, $0, $1)
            }

            // Routing copies rows; the integers ride along as bf16, which holds them exactly.
            let input = try machine.floats(x, [tokens, width])
            let expanded = try machine.empty(ACL_BF16, [tokens * each, width])
            let (places, counts) = (
                try machine.empty(ACL_INT32, [tokens * each]), try machine.empty(ACL_INT32, [experts])
            )
            try machine.run(operators.aclnnMoeInitRoutingV2) {
                operators.aclnnMoeInitRoutingV2GetWorkspaceSize(
                    input.handle, chosen.handle, 0, 0, Int64(experts), 0, 2, false, expanded.handle, places.handle,
                    counts.handle, nil, $0, $1)
            }

            let matrix =
                isInteger
                ? numbers.integers(experts * width * width, -9...9).map(Float.init)
                : numbers.floats(experts * width * width)
            let type = isInteger ? ACL_INT8 : ACL_BF16
            let weight = try machine.floats(matrix, [experts, width, width], type)
            let list = machine.tensor(
                ACL_INT64, [experts], at: try machine.upload(try machine.read(counts).map { Int64($0) }))
            let routed = try machine.read(expanded)
            let rowsIn = isInteger ? try machine.floats(routed, [tokens * each, width], ACL_INT8) : expanded
            let out = try machine.empty(ACL_BF16, [tokens * each, width])
            let scale =
                isInteger
                ? machine.list([
                    try machine.floats([Float](repeating: 0.01, count: experts * width), [experts, width], ACL_FLOAT)
                ]) : nil
            let perToken =
                isInteger
                ? machine.list([
                    try machine.floats([Float](repeating: 1, count: tokens * each), [tokens * each], ACL_FLOAT)
                ]) : nil
            let lists = (machine.list([rowsIn]), machine.list([weight]), machine.list([out]))
            try machine.run(operators.aclnnGroupedMatmulV4) {
                operators.aclnnGroupedMatmulV4GetWorkspaceSize(
                    lists.0, lists.1, nil, scale, nil, nil, nil, perToken, list, nil, nil, nil, 3, 0, 1, 0, lists.2,
                    nil,
                    nil, $0, $1)
            }

            let result = try machine.empty(ACL_BF16, [tokens, width])
            try machine.run(operators.aclnnMoeFinalizeRoutingV2) {
                operators.aclnnMoeFinalizeRoutingV2GetWorkspaceSize(
                    out.handle, places.handle, nil, nil, nil, weights.handle, nil, 2, result.handle, $0, $1)
            }
            let expected = (0..<tokens * width).map { index -> Float in
                let token = index / width
                let row = gates[token * experts..<(token + 1) * experts]
                let total = row.reduce(0) { $0 + expf($1) }
                let best = row.indices.sorted { row[$0] > row[$1] }.prefix(each)
                return best.reduce(0) { sum, place in
                    let expert = place - token * experts
                    let value = (0..<width).reduce(Float(0)) {
                        $0 + x[token * width + $1] * matrix[(expert * width + $1) * width + index % width]
                    }
                    return sum + expf(row[place]) / total * value * (isInteger ? 0.01 : 1)
                }
            }
            #expect(difference(try machine.read(result), expected) < 1 / 64)
            #expect(try machine.read(counts).reduce(0, +) == Float(tokens * each))
        }

        /// Against sorting by hand: eight experts in four groups, of which two stay.
        @Test(arguments: [(0, 0), (0, 1), (1, 0), (1, 1)] as [(Int64, Int64)])
        func expertsOfTheBestGroupsAreChosenAndWeighed(norm: Int64, groupScore: Int64) throws {
            let machine = try Machine()
            var numbers = Numbers(22)
            let (tokens, experts, groups, each) = (7, 8, 4, 3)
            let (x, bias) = (numbers.floats(tokens * experts), numbers.floats(experts))
            let input = try machine.floats(x, [tokens, experts], ACL_FLOAT)
            let correction = try machine.floats(bias, [experts], ACL_FLOAT)
            let (weights, chosen) = (
                try machine.empty(ACL_FLOAT, [tokens, each]), try machine.empty(ACL_INT32, [tokens, each])
            )
            let scores = try machine.empty(ACL_FLOAT, [tokens, experts])
            try machine.run(machine.operators.aclnnMoeGatingTopK) {
                machine.operators.aclnnMoeGatingTopKGetWorkspaceSize(
                    input.handle, correction.handle, Int64(each), 2, Int64(groups), groupScore, 0, norm, false, 2.5,
                    1e-20, weights.handle, chosen.handle, scores.handle, $0, $1)
            }
            var (expected, expectedWeights): ([Float], [Float]) = ([], [])
            for token in 0..<tokens {
                let row = Array(x[token * experts..<(token + 1) * experts])
                let total = row.reduce(0) { $0 + expf($1) }
                let chances = row.map { norm == 1 ? 1 / (1 + expf(-$0)) : expf($0) / total }
                let ranks = zip(chances, bias).map { $0 + $1 }
                let quality = (0..<groups).map { group in
                    let pair = [ranks[2 * group], ranks[2 * group + 1]]
                    return groupScore == 1 ? pair[0] + pair[1] : max(pair[0], pair[1])
                }
                let kept = quality.indices.sorted { quality[$0] > quality[$1] }.prefix(2)
                let best = ranks.indices.filter { kept.contains($0 / 2) }.sorted { ranks[$0] > ranks[$1] }.prefix(each)
                let sum = norm == 1 ? best.reduce(0) { $0 + chances[$1] } : 1
                expected += best.map { Float($0) }
                expectedWeights += best.map { chances[$0] / sum * 2.5 }
            }
            #expect(try machine.read(chosen) == expected)
            #expect(difference(try machine.read(weights), expectedWeights) < 1e-5)
        }
    }
}
