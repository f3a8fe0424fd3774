/// Finds special tokens in text: the longest one that begins at a position.
struct SpecialTokenTrie: Sendable {
    /// node << 8 | byte -> child node; node 0 is the root
    private var children: IntegerTable
    /// (nodes) the token that ends at each node; -1 for none.
    private var ends: [Int32] = [-1]
    /// (256) whether any token begins with the byte.
    private var begins = [Bool](repeating: false, count: 256)

    init(_ tokens: [AddedToken]) {
        children = IntegerTable(capacity: tokens.reduce(0) { $0 + $1.bytes.count })
        for token in tokens { insert(token.token, token.bytes) }
    }

    private mutating func insert(_ token: Int32, _ bytes: [UInt8]) {
        guard let first = bytes.first else { return }
        begins[Int(first)] = true
        var node: UInt64 = 0
        for byte in bytes {
            let key = node << 8 | UInt64(byte)
            if let child = children[key] {
                node = child
            } else {
                node = UInt64(ends.count)
                children.insert(node, for: key)
                ends.append(-1)
            }
        }
        ends[Int(node)] = token
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
            if ends[Int(node)] >= 0 { longest = (index + 1, ends[Int(node)]) }
        }
        return longest
    }
}
