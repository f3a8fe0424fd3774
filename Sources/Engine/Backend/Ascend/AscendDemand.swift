/// What the host wants of a step besides the likeliest token of each sampled row.
struct AscendDemand: Sendable {
    /// Whether the largest logits of every sampled row are wanted, with their tokens.
    var candidates = false
    /// The samples whose logits are wanted, all of each row.
    var logits = RangeSet<Int>()
}

extension AscendDemand {
    /// What samples are chosen from.
    init(_ sources: [SampleSource]) {
        candidates = sources.contains(.candidates)
        logits = RangeSet(sources.indices.lazy.filter { sources[$0] == .logits }.map { $0..<$0 + 1 })
    }
}
