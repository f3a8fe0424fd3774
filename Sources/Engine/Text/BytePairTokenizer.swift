/// Byte-level BPE: GPT-2's tokenizer and its descendants (Llama 3, Qwen2, SmolLM2).
///
/// Text is cut into pieces by the family's pre-tokenizer, and the bytes of each piece are joined by the merges. A text of
/// n bytes costs O(n log n) whatever it holds.
package struct BytePairTokenizer: Tokenizer {
    private let vocabulary: BytePairVocabulary
    private let special: SpecialTokenTrie
    private let preTokenizer: PreTokenizer
    /// Prepended to raw prompts when the model wants it.
    package let beginningOfSequence: Int32?
    /// Ids that end an answer.
    package let endTokens: [Int32]

    /// Puts the parts together.
    package init(
        vocabulary: BytePairVocabulary, preTokenizer: PreTokenizer, beginningOfSequence: Int32?, endTokens: [Int32]
    ) {
        self.vocabulary = vocabulary
        self.special = SpecialTokenTrie(vocabulary.table)
        self.preTokenizer = preTokenizer
        self.beginningOfSequence = beginningOfSequence
        self.endTokens = endTokens
    }

    /// Number of ids, special ones included.
    package var vocabularySize: Int { vocabulary.table.count }

    /// Whether the token is a control token, not text. Ids out of range count as such.
    package func isSpecial(_ token: Int32) -> Bool {
        guard let kind = kind(of: token) else { return true }
        return kind != .normal && kind != .userDefined
    }

    /// Appends the bytes of a token of text; nothing for others.
    package func appendBytes(of token: Int32, to bytes: inout [UInt8]) {
        if !isSpecial(token) { vocabulary.table.appendBytes(of: Int(token), to: &bytes) }
    }

    private func kind(of token: Int32) -> TokenTable.Kind? {
        let kinds = vocabulary.table.kinds
        return kinds.indices.contains(Int(token)) ? kinds[Int(token)] : nil
    }

    /// Encodes text.
    package func encode(_ utf8: Span<UInt8>, parseSpecial: Bool, into tokens: inout [Int32]) {
        utf8.withUnsafeBufferPointer { text in
            var merger = PieceMerger(vocabulary.merges)
            var start = 0
            while parseSpecial, let match = special.firstMatch(in: text, from: start) {
                encode(UnsafeBufferPointer(rebasing: text[start..<match.range.lowerBound]), &merger, &tokens)
                tokens.append(match.token)
                start = match.range.upperBound
            }
            encode(UnsafeBufferPointer(rebasing: text[start...]), &merger, &tokens)
        }
    }

    /// Encodes text without special tokens.
    private func encode(_ text: UnsafeBufferPointer<UInt8>, _ merger: inout PieceMerger, _ tokens: inout [Int32]) {
        if preTokenizer.normalizes, let normalized = Normalization.composed(text) {
            normalized.withUnsafeBufferPointer { encodePieces($0, &merger, &tokens) }
        } else {
            encodePieces(text, &merger, &tokens)
        }
    }

    private func encodePieces(
        _ text: UnsafeBufferPointer<UInt8>, _ merger: inout PieceMerger, _ tokens: inout [Int32]
    ) {
        preTokenizer.forEachPiece(of: text) { piece in
            if preTokenizer.takesWholePieces, let token = vocabulary.token(piece) {
                tokens.append(token)
            } else {
                merger.merge(piece, into: &tokens)
            }
        }
    }
}
