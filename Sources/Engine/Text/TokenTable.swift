/// The tokens of a vocabulary: what each one is and which bytes it stands for, in one flat array.
package struct TokenTable: Sendable {
    /// What a token is for; numbered as in `tokenizer.ggml.token_type`.
    package enum Kind: Int32, Sendable {
        case normal = 1
        case unknown = 2
        /// Steers the model; never text.
        case control = 3
        /// Added to a trained vocabulary; its text stands for itself.
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    /// (count) what each token is.
    private(set) var kinds: [Kind] = []
    /// Bytes of all tokens, one after the other.
    private var bytes: [UInt8] = []
    /// (count + 1) where each token's bytes begin.
    private var starts: [UInt32] = [0]
    /// (count) whether merging can produce the token.
    private(set) var isMergeable: [Bool] = []

    /// An empty table.
    package init() {}

    /// How the text of a token is to be read.
    package enum Spelling: Sendable {
        /// In the byte alphabet: merging bytes can produce it. Text outside the alphabet is verbatim.
        case byteAlphabet
        /// As it is: merging characters can produce it.
        case characters
        /// As it is, and no merge produces it.
        case verbatim
    }

    /// Number of tokens.
    package var count: Int { kinds.count }

    /// Adds the next token from the text that a file gives it. Returns false when the table's 4 GiB are
    /// full; it is of no use then.
    package mutating func append(_ text: UnsafeRawBufferPointer, kind: Kind, spelling: Spelling) -> Bool {
        let decoded = spelling == .byteAlphabet && ByteAlphabet.decode(text, to: &bytes)
        if !decoded { bytes.append(contentsOf: text) }
        guard let end = UInt32(exactly: bytes.count) else { return false }
        starts.append(end)
        kinds.append(kind)
        isMergeable.append(decoded || spelling == .characters)
        return true
    }

    /// Calls `body` with the bytes of a token, which must be in 0..<count.
    func withBytes<R>(of token: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        bytes.withUnsafeBufferPointer {
            body(UnsafeBufferPointer(rebasing: $0[Int(starts[token])..<Int(starts[token + 1])]))
        }
    }

    /// Appends the bytes of a token, which must be in 0..<count.
    func appendBytes(of token: Int, to output: inout [UInt8]) {
        output.append(contentsOf: bytes[Int(starts[token])..<Int(starts[token + 1])])
    }

    /// A way from bytes to the tokens that merging can produce.
    func makeIndex() -> Index { Index(self) }

    /// Finds tokens that merging can produce by their bytes. Control tokens are not among them, so that no text yields one.
    struct Index: Sendable {
        /// Hash of the bytes -> first token of that hash; further ones follow in `next`.
        private var heads: IntegerTable
        /// (count) the next token of the same hash; -1 at the end.
        private var next: [Int32]

        fileprivate init(_ table: borrowing TokenTable) {
            heads = IntegerTable(capacity: table.count)
            next = Array(repeating: -1, count: table.count)
            for token in (0..<table.count).reversed() where table.isMergeable[token] {
                let hash = table.withBytes(of: token) { Self.hash($0) }
                if let head = heads[hash] { next[token] = Int32(truncatingIfNeeded: head) }
                heads.insert(UInt64(token), for: hash)
            }
        }

        /// The token with exactly these bytes; the lowest id if several have them.
        func token(_ bytes: UnsafeBufferPointer<UInt8>, in table: borrowing TokenTable) -> Int32? {
            guard let head = heads[Self.hash(bytes)] else { return nil }
            var token = Int32(truncatingIfNeeded: head)
            while token >= 0 {
                if table.withBytes(of: Int(token), { $0.elementsEqual(bytes) }) { return token }
                token = next[Int(token)]
            }
            return nil
        }

        /// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>; one bit is given up for the table's reserved key.
        private static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            return hash >> 1
        }
    }
}
