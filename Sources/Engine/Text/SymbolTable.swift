/// What merging starts from: the token of each byte or of each character.
package struct SymbolTable: Sendable {
    /// (256) the token of each single byte; -1 where the vocabulary has none. Empty if there is no such fallback.
    private let byteTokens: [Int32]
    /// The tokens of single characters; nil when bytes are the symbols.
    private let characterTokens: IntegerTable?
    /// Stands for what has no token; without it such things vanish, as in the reference.
    private let unknown: Int32?
    /// Whether unknown things in a row are one token.
    private let fusesUnknown: Bool

    /// Bytes are the symbols; (256) tokens of theirs, -1 for none.
    package init(byteTokens: [Int32], unknown: Int32? = nil, fusesUnknown: Bool = false) {
        precondition(byteTokens.count == 256, "SymbolTable: one token per byte value")
        self.byteTokens = byteTokens
        self.characterTokens = nil
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
    }

    /// Characters are the symbols, and bytes where one has no token, if (256) tokens of theirs are given.
    init(characterTokens: IntegerTable, fallback byteTokens: [Int32]?, unknown: Int32?, fusesUnknown: Bool) {
        self.byteTokens = byteTokens ?? []
        self.characterTokens = characterTokens
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
    }

    /// Appends the symbols of a piece.
    @inline(__always)
    func appendSymbols(of piece: UnsafeBufferPointer<UInt8>, to symbols: inout [Int32]) {
        guard let characterTokens else { return appendBytes(of: piece, to: &symbols) }
        let text = ScalarReader(piece)
        var held: Int32?
        var index = 0
        while index < piece.count {
            let (value, length) = text.scalar(at: index)
            if let token = characterTokens[UInt64(value)] {
                if let unknown = held { symbols.append(unknown) }
                held = nil
                symbols.append(Int32(truncatingIfNeeded: token))
            } else if !appendFallback(piece[index..<index + length], to: &symbols) {
                addUnknown(&held, to: &symbols)
            }
            index += length
        }
        if let unknown = held { symbols.append(unknown) }
    }

    private func appendBytes(of piece: UnsafeBufferPointer<UInt8>, to symbols: inout [Int32]) {
        var held: Int32?
        for byte in piece {
            let token = byteTokens[Int(byte)]
            if token >= 0 {
                if let unknown = held { symbols.append(unknown) }
                held = nil
                symbols.append(token)
            } else {
                addUnknown(&held, to: &symbols)
            }
        }
        if let unknown = held { symbols.append(unknown) }
    }

    /// The unknown token waits, so that one more can join it.
    private func addUnknown(_ held: inout Int32?, to symbols: inout [Int32]) {
        if let unknown = held, !fusesUnknown { symbols.append(unknown) }
        held = unknown
    }

    private func appendFallback(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, to symbols: inout [Int32]) -> Bool {
        guard !byteTokens.isEmpty, bytes.allSatisfy({ byteTokens[Int($0)] >= 0 }) else { return false }
        for byte in bytes { symbols.append(byteTokens[Int(byte)]) }
        return true
    }
}
