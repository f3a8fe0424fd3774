/// The merges of a BPE vocabulary, by pair of tokens, and the symbols they begin with.
package struct MergeTable: Sendable {
    /// What a piece is before the first merge.
    let symbols: SymbolTable
    /// left << 32 | right -> rank << 32 | joined token
    private var joined: IntegerTable

    /// - Parameter count: the number of merges that will be added.
    package init(symbols: SymbolTable, capacity count: Int) {
        self.symbols = symbols
        joined = IntegerTable(capacity: count)
    }

    /// Adds the merge of two tokens into a third; lower ranks are joined first.
    package mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, token: Int32) {
        joined.insert(UInt64(rank) << 32 | UInt64(UInt32(bitPattern: token)), for: Self.key(left, right))
    }

    /// The rank and result of joining two tokens.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> (rank: UInt32, token: Int32)? {
        guard let value = joined[Self.key(left, right)] else { return nil }
        return (UInt32(value >> 32), Int32(bitPattern: UInt32(truncatingIfNeeded: value)))
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }
}
