/// Tokens and merges of a byte-level BPE vocabulary.
package struct BytePairVocabulary: Sendable {
    /// All tokens.
    let table: TokenTable
    /// The merges added so far.
    package private(set) var merges: MergeTable
    private let index: TokenTable.Index
    private var mergeCount = 0
    private var scratch: [UInt8] = []

    /// A vocabulary that still lacks its merges, of which there will be at most `mergeCapacity`.
    package init(_ table: TokenTable, mergeCapacity: Int) {
        let index = table.makeIndex()
        let byteTokens = (0..<256).map { value in
            [UInt8(value)].withUnsafeBufferPointer { index.token($0, in: table) } ?? -1
        }
        self.table = table
        self.index = index
        self.merges = MergeTable(byteTokens: byteTokens, capacity: mergeCapacity)
    }

    /// The normal token with exactly these bytes.
    func token(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
        index.token(bytes, in: table)
    }

    /// Adds the next merge, "left right" in the byte alphabet, best first. Returns false, and adds nothing, when it does
    /// not name two tokens that join to a third.
    package mutating func appendMerge(_ text: UnsafeRawBufferPointer) -> Bool {
        scratch.removeAll(keepingCapacity: true)
        guard let space = text.firstIndex(of: UInt8(ascii: " ")),
            ByteAlphabet.decode(UnsafeRawBufferPointer(rebasing: text[..<space]), to: &scratch)
        else { return false }
        let border = scratch.count
        guard ByteAlphabet.decode(UnsafeRawBufferPointer(rebasing: text[(space + 1)...]), to: &scratch) else {
            return false
        }
        let tokens = scratch.withUnsafeBufferPointer { bytes -> (left: Int32, right: Int32, joined: Int32)? in
            guard let left = token(UnsafeBufferPointer(rebasing: bytes[..<border])),
                let right = token(UnsafeBufferPointer(rebasing: bytes[border...])), let joined = token(bytes)
            else { return nil }
            return (left, right, joined)
        }
        guard let tokens else { return false }
        merges.insert(tokens.left, tokens.right, rank: UInt32(mergeCount), token: tokens.joined)
        mergeCount += 1
        return true
    }
}
