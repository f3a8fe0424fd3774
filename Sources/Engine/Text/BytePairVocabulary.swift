/// Tokens and merges of a BPE vocabulary.
package struct BytePairVocabulary: Sendable {
    /// All tokens.
    let table: TokenTable
    /// The merges added so far.
    package private(set) var merges: MergeTable
    private let index: TokenTable.Index
    private let spelling: TokenTable.Spelling
    private var mergeCount = 0
    private var scratch: [UInt8] = []

    /// A byte-level vocabulary that still lacks its merges, of which there will be at most `mergeCapacity`.
    ///
    /// - Parameter unknown: the token of bytes that have none; without it they vanish.
    package init(_ table: TokenTable, mergeCapacity: Int, unknown: Int32? = nil, fusesUnknown: Bool = false) {
        let index = table.makeIndex()
        let byteTokens = (0..<256).map { value in
            [UInt8(value)].withUnsafeBufferPointer { index.token($0, in: table) } ?? -1
        }
        self.table = table
        self.index = index
        spelling = .byteAlphabet
        merges = MergeTable(
            symbols: SymbolTable(byteTokens: byteTokens, unknown: unknown, fusesUnknown: fusesUnknown),
            capacity: mergeCapacity)
    }

    /// A vocabulary whose merges begin with characters.
    ///
    /// - Parameter fallback: (256) the tokens of bytes, for characters that have none.
    init(
        characters table: TokenTable, mergeCapacity: Int, fallback: [Int32]?, unknown: Int32?, fusesUnknown: Bool
    ) {
        let single = (0..<table.count).compactMap { token -> (scalar: UInt32, token: Int)? in
            guard table.isMergeable[token] else { return nil }
            return table.withBytes(of: token) { bytes in
                guard !bytes.isEmpty, bytes.count <= 4 else { return nil }
                let (scalar, length) = ScalarReader(bytes).scalar(at: 0)
                return length == bytes.count ? (scalar, token) : nil
            }
        }
        var characterTokens = IntegerTable(capacity: single.count)
        for (scalar, token) in single { characterTokens.insert(UInt64(token), for: UInt64(scalar)) }
        self.table = table
        index = table.makeIndex()
        spelling = .characters
        merges = MergeTable(
            symbols: SymbolTable(
                characterTokens: characterTokens, fallback: fallback, unknown: unknown, fusesUnknown: fusesUnknown),
            capacity: mergeCapacity)
    }

    /// The token that merging can produce with exactly these bytes.
    func token(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
        index.token(bytes, in: table)
    }

    /// Adds the next merge, "left right" as the vocabulary spells tokens, best first. Returns false, and adds nothing,
    /// when it does not name two tokens that join to a third.
    package mutating func appendMerge(_ text: UnsafeRawBufferPointer) -> Bool {
        guard let space = text.firstIndex(of: UInt8(ascii: " ")) else { return false }
        return appendMerge(
            UnsafeRawBufferPointer(rebasing: text[..<space]), UnsafeRawBufferPointer(rebasing: text[(space + 1)...]))
    }

    /// Adds the next merge as `appendMerge` of one text does.
    mutating func appendMerge(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        scratch.removeAll(keepingCapacity: true)
        guard spell(left) else { return false }
        let border = scratch.count
        guard spell(right) else { return false }
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

    private mutating func spell(_ text: UnsafeRawBufferPointer) -> Bool {
        if spelling == .byteAlphabet { return ByteAlphabet.decode(text, to: &scratch) }
        scratch.append(contentsOf: text)
        return true
    }
}
