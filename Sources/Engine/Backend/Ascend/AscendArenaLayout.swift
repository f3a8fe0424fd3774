/// Where ranges lie in device memory: each begins at a multiple of 64 bytes, and has 32 to spare behind it, which
/// operators may read.
struct AscendArenaLayout: Sendable {
    private(set) var byteCount = 0

    private static let padding = 31 + 32 + 63

    /// What a range of `count` bytes takes.
    static func room(for count: Int) -> Int { (count + padding) / 64 * 64 }

    /// The offset of a new range of `count` bytes.
    ///
    /// - Throws: `EngineError.insufficientMemory` when the sum passes what 63 bits count.
    mutating func reserve(_ count: Int) throws(EngineError) -> Int {
        let offset = byteCount
        let (_, overflow) = count.addingReportingOverflow(Self.padding)
        let (end, overflowsToo) = offset.addingReportingOverflow(overflow ? 0 : Self.room(for: count))
        guard count >= 0, !overflow, !overflowsToo else {
            throw EngineError(.insufficientMemory, "tensors on the NPU of more than 2^63 bytes together")
        }
        byteCount = end
        return offset
    }

    /// The offset of a new range for `counts` multiplied, of `element`.
    ///
    /// - Throws: as `reserve(_:)`.
    mutating func reserve(_ element: AscendElement, _ counts: Int...) throws(EngineError) -> Int {
        var product = element.byteCount
        for count in counts {
            let (next, overflow) = product.multipliedReportingOverflow(by: count)
            guard !overflow else {
                throw EngineError(.insufficientMemory, "a tensor on the NPU of more than 2^63 bytes")
            }
            product = next
        }
        return try reserve(product)
    }
}
