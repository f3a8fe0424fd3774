internal import Glibc

extension ModelConfiguration.Mixture {
    /// Chooses a token's experts, the best first, and their weights. Equal scores go to the lower index.
    ///
    /// - Parameters:
    ///   - scores: (expertCount) the router's products; scores when this returns.
    ///   - correction: (expertCount) what is added to the scores for choosing, or nil.
    ///   - ranks: (expertCount) scratch.
    ///   - chosen: (expertsPerToken) the experts, all different whatever the scores.
    ///   - weights: (expertsPerToken) what each expert's result is multiplied by.
    func choose(
        _ scores: UnsafeMutableBufferPointer<Float>, correction: UnsafePointer<Float>?,
        ranks: UnsafeMutableBufferPointer<Float>, chosen: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>
    ) {
        switch scoring {
        case .softmax: softmax(scores)
        case .sigmoid: for expert in scores.indices { scores[expert] = 1 / (1 + exp(-scores[expert])) }
        }
        for expert in ranks.indices {
            let rank = scores[expert] + (correction?[expert] ?? 0)
            // From here on NaN marks what is taken.
            ranks[expert] = rank.isNaN ? -.infinity : rank
        }
        if groupCount > groupsPerToken { keepBestGroups(ranks) }
        var sum: Float = 0
        for index in 0..<expertsPerToken {
            let best = takeBest(ranks)
            chosen[index] = Int32(best)
            weights[index] = scores[best]
            sum += scores[best]
        }
        for index in 0..<expertsPerToken {
            if normalizesWeights { weights[index] /= sum + 1e-20 }
            weights[index] *= weightScale
        }
    }

    private func softmax(_ scores: UnsafeMutableBufferPointer<Float>) {
        let maximum = scores.max() ?? 0
        var sum: Float = 0
        for expert in scores.indices {
            scores[expert] = exp(scores[expert] - maximum)
            sum += scores[expert]
        }
        for expert in scores.indices { scores[expert] /= sum }
    }

    /// The index of the largest number, which becomes NaN.
    private func takeBest(_ ranks: UnsafeMutableBufferPointer<Float>) -> Int {
        var best = -1
        for index in ranks.indices where !ranks[index].isNaN && (best < 0 || ranks[index] > ranks[best]) {
            best = index
        }
        ranks[best] = .nan
        return best
    }

    /// Minus infinity for the experts of all groups but the best.
    private func keepBestGroups(_ ranks: UnsafeMutableBufferPointer<Float>) {
        let size = ranks.count / groupCount
        withUnsafeTemporaryAllocation(of: Float.self, capacity: groupCount) { groups in
            for group in groups.indices {
                var best = -Float.infinity
                var second = -Float.infinity
                for rank in ranks[group * size..<(group + 1) * size] {
                    second = max(second, min(best, rank))
                    best = max(best, rank)
                }
                groups.initializeElement(at: group, to: groupScore == .best || size == 1 ? best : best + second)
            }
            for _ in 0..<groupsPerToken { _ = takeBest(groups) }
            for expert in ranks.indices where !groups[expert / size].isNaN { ranks[expert] = -.infinity }
        }
    }
}
