/// Batch sizes that decoding steps are padded to, so that each is prepared once.
public struct BatchBuckets: Sendable, Equatable {
    /// Ascending, without repeats.
    public let sizes: [Int]

    /// What serves most loads.
    public static let standard = BatchBuckets(validated: [1, 2, 4, 8, 16, 32])
    /// No step is padded.
    public static let none = BatchBuckets(validated: [])
    /// The largest size that is accepted: each prepared size holds streams of the device.
    public static let largest = 512
    /// Most sizes.
    public static let maximumCount = 32

    private init(validated sizes: [Int]) { self.sizes = sizes }

    /// Sorts sizes and drops repeats.
    ///
    /// - Throws: `EngineError.invalidRequest` for a size out of range, or too many.
    public init(_ sizes: [Int]) throws(EngineError) {
        let ordered = Set(sizes).sorted()
        if let wrong = ordered.first(where: { !(1...Self.largest).contains($0) }) {
            throw EngineError(
                .invalidRequest, "--graph-batch-sizes names \(wrong); sizes lie in 1...\(Self.largest)")
        }
        guard ordered.count <= Self.maximumCount else {
            throw EngineError(
                .invalidRequest,
                "--graph-batch-sizes names \(ordered.count) sizes; at most \(Self.maximumCount) can be prepared")
        }
        self.init(validated: ordered)
    }

    /// The smallest size that holds `count` sequences; nil when none does.
    package func size(for count: Int) -> Int? { sizes.first { $0 >= count } }
}
