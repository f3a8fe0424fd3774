/// How aclnnMoeGatingTopK chooses and weighs experts.
struct AscendGating: Sendable, Equatable {
    /// Equal groups of consecutive experts, and how many of them can be chosen from.
    let groups: Int
    let keptGroups: Int
    /// Whether the two best of a group make it good, and not its best alone.
    let sumsBestTwo: Bool
    /// Whether scores are sigmoids, whose weights are divided by their sum, and not the shares of a softmax.
    let isSigmoid: Bool
    /// What weights are multiplied by in the end.
    let scale: Double

    /// What is added to a sum that weights are divided by.
    static let epsilon = 1e-20

    /// Nil for a softmax over all experts, which other operators do.
    init?(_ mixture: ModelConfiguration.Mixture) {
        let isGrouped = mixture.groupCount > mixture.groupsPerToken
        guard isGrouped || mixture.scoring != .softmax || mixture.hasCorrectionBias || mixture.weightScale != 1 else {
            return nil
        }
        (groups, keptGroups) = isGrouped ? (mixture.groupCount, mixture.groupsPerToken) : (1, 1)
        // The operator wants two experts in a group whose two best count; one alone is its best.
        sumsBestTwo = isGrouped && mixture.groupScore == .bestTwo && mixture.expertCount > groups
        isSigmoid = mixture.scoring == .sigmoid
        scale = Double(mixture.weightScale)
    }

    /// What of a choice the operator cannot do, for people; nil for nothing.
    static func obstacle(_ mixture: ModelConfiguration.Mixture) -> String? {
        guard let gating = AscendGating(mixture) else { return nil }
        // Releases before 9.0 divide the weights of sigmoids by their sum and no others.
        guard gating.isSigmoid == mixture.normalizesWeights else {
            return gating.isSigmoid
                ? "experts weighed by sigmoids that are not divided by their sum"
                : "experts chosen by groups, or weights multiplied, where shares of a softmax are divided by their sum"
        }
        let size = mixture.expertCount / gating.groups
        guard (size + 31) / 32 * 32 * gating.groups <= largestPaddedCount else {
            return "\(gating.groups) groups of \(size) experts, which exceed \(largestPaddedCount) where each is "
                + "padded to a multiple of 32"
        }
        return nil
    }

    private static let largestPaddedCount = 2_048
}
