/// Finds special tokens in text: the longest one that begins at a position.
struct SpecialTokenTrie: Sendable {
    /// node << 8 | byte -> child node; node 0 is the root
    private var children: IntegerTable
    /// (nodes) the token that ends at each node; -1 for none.
    private var tokens: [Int32] = [-1]
    /// (256) whether any token begins with the byte.
    private var begins = [Bool](repeating: false, count: 256)

    /// Collects the control and added tokens of a table.
    init(_ table: TokenTable) {
        let special = (0..<table.count).filter { table.kinds[$0] == .control || table.kinds[$0] == .userDefined }
        children = IntegerTable(capacity: special.reduce(0) { $0 + table.withBytes(of: $1) { $0.count } })
        for token in special { insert(Int32(token), table) }
    }

    private mutating func insert(_ token: Int32, _ table: TokenTable) {
        var bytes: [UInt8] = []
        table.appendBytes(of: Int(token), to: &bytes)
        guard let first = bytes.first else { return }
        begins[Int(first)] = true
        var node: UInt64 = 0
        for byte in bytes {
            let key = node << 8 | UInt64(byte)
            if let child = children[key] {
                node = child
            } else {
                node = UInt64(tokens.count)
                children.insert(node, for: key)
                tokens.append(-1)
            }
        }
        tokens[Int(node)] = token
    }

    /// The first place at or after `start` where a special token stands, and its end and id.
    func firstMatch(
        in text: UnsafeBufferPointer<UInt8>, from start: Int
    ) -> (range: Range<Int>, token: Int32)? {
        for index in start..<text.count where begins[Int(text[index])] {
            if let (end, token) = longestMatch(in: text, at: index) { return (index..<end, token) }
        }
        return nil
    }

    private func longestMatch(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> (end: Int, token: Int32)? {
        var longest: (end: Int, token: Int32)?
        var node: UInt64 = 0
        for index in start..<text.count {
            guard let child = children[node << 8 | UInt64(text[index])] else { break }
            node = child
            if tokens[Int(node)] >= 0 { longest = (index + 1, tokens[Int(node)]) }
        }
        return longest
    }
}
