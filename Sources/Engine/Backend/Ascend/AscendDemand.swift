/// What the host wants of a step besides the likeliest token of each sampled row.
struct AscendDemand: Sendable {
    /// What the device finds out about the logits of every sampled row.
    var findings = AscendFindings.likeliest
    /// The samples whose logits are wanted, all of each row.
    var logits = RangeSet<Int>()
}

/// What the device finds out about the logits of a step, each with what is above.
enum AscendFindings: Comparable, Hashable, Sendable {
    /// The token of the largest of each row.
    case likeliest
    /// The largest few, with their tokens.
    case candidates
    /// The sums over all, as `LogSums` has them.
    case sums
}

extension AscendDemand {
    /// What samples are chosen from.
    init(_ sources: [SampleSource]) {
        findings = sources.lazy.map(\.findings).max() ?? .likeliest
        logits = RangeSet(sources.indices.lazy.filter { sources[$0] == .logits }.map { $0..<$0 + 1 })
    }
}

extension SampleSource {
    /// What a row of it takes of the device, its logits aside.
    fileprivate var findings: AscendFindings {
        switch self {
        case .likeliest, .logits: .likeliest
        case .candidates: .candidates
        case .candidatesAndSums: .sums
        }
    }
}
