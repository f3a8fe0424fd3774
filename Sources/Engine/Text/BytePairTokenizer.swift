/// BPE tokenizers: byte-level ones (GPT-2, Llama 3, Qwen, DeepSeek) and those of SentencePiece (Llama 2, Gemma).
///
/// Added tokens are found first. What lies between is normalized, cut into pieces by the family's pre-tokenizer, and the
/// symbols of each piece are joined by the merges. A text of n bytes costs O(n log n) whatever it holds.
package struct BytePairTokenizer: Tokenizer {
    private let vocabulary: BytePairVocabulary
    private let added: AddedTokenMatchers
    private let normalizer: [NormalizerStep]
    private let preTokenizer: [PreTokenizerStep]
    /// Whether a piece that is a token as a whole is taken as it is, without merging.
    private let takesWholePieces: Bool
    private let output: TokenOutput
    /// Prepended to raw prompts when the model wants it.
    package let beginningOfSequence: Int32?
    /// Ids that end an answer.
    package let endTokens: [Int32]

    /// Added tokens, by whether they are found before or after the text is normalized.
    struct AddedTokenMatchers: Sendable {
        let plain: AddedTokenMatcher
        let normalized: AddedTokenMatcher
    }

    /// Puts the parts together.
    init(
        vocabulary: BytePairVocabulary, added: AddedTokenMatchers, normalizer: [NormalizerStep],
        preTokenizer: [PreTokenizerStep], takesWholePieces: Bool, output: TokenOutput, beginningOfSequence: Int32?,
        endTokens: [Int32]
    ) {
        self.vocabulary = vocabulary
        self.added = added
        self.normalizer = normalizer
        self.preTokenizer = preTokenizer
        self.takesWholePieces = takesWholePieces
        self.output = output
        self.beginningOfSequence = beginningOfSequence
        self.endTokens = endTokens
    }

    /// A byte-level tokenizer with the pre-tokenizer of a family.
    package init(
        vocabulary: BytePairVocabulary, preTokenizer: PreTokenizer, beginningOfSequence: Int32?, endTokens: [Int32]
    ) {
        let table = vocabulary.table
        let added = (0..<table.count).compactMap { token -> AddedToken? in
            let kind = table.kinds[token]
            guard kind == .control || kind == .userDefined else { return nil }
            return AddedToken(
                token: Int32(token), bytes: table.withBytes(of: token, Array.init),
                rules: kind == .control ? .special : [])
        }
        self.init(
            vocabulary: vocabulary,
            added: AddedTokenMatchers(plain: AddedTokenMatcher(added), normalized: AddedTokenMatcher([])),
            normalizer: preTokenizer.normalizes ? [.composed] : [], preTokenizer: [.scan(preTokenizer)],
            takesWholePieces: preTokenizer.takesWholePieces, output: .verbatim,
            beginningOfSequence: beginningOfSequence, endTokens: endTokens)
    }

    // MARK: - Tokens

    /// Number of ids, special ones included.
    package var vocabularySize: Int { vocabulary.table.count }

    /// Whether the token is a control token, not text. Ids out of range count as such.
    package func isSpecial(_ token: Int32) -> Bool {
        switch kind(of: token) {
        case .normal, .userDefined, .byte: false
        case .control, .unknown, .unused, nil: true
        }
    }

    /// Appends the bytes of a token of text; nothing for others.
    package func appendBytes(of token: Int32, to bytes: inout [UInt8]) {
        if isSpecial(token) { return }
        if output.replacements.isEmpty || kind(of: token) == .byte {
            vocabulary.table.appendBytes(of: Int(token), to: &bytes)
        } else {
            bytes += output.text(of: vocabulary.table.withBytes(of: Int(token), Array.init))
        }
    }

    /// The bytes of a whole text, without the space that encoding put before it.
    package func decode(_ tokens: [Int32]) -> [UInt8] {
        var bytes: [UInt8] = []
        var tokens = tokens[...]
        if case .marks(let mark) = output.opening, let first = tokens.firstIndex(where: { !isSpecial($0) }) {
            let token = vocabulary.table.withBytes(of: Int(tokens[first]), Array.init)
            bytes = token.withUnsafeBufferPointer { NormalizerStep.replace(mark, by: [], in: $0) } ?? token
            tokens = tokens[(first + 1)...]
        }
        for token in tokens { appendBytes(of: token, to: &bytes) }
        if case .repeated(let content, let limit) = output.opening {
            var count = 0
            while count < limit, bytes[(count * content.count)...].starts(with: content) { count += 1 }
            bytes.removeFirst(count * content.count)
        }
        return bytes
    }

    private func kind(of token: Int32) -> TokenTable.Kind? {
        let kinds = vocabulary.table.kinds
        return kinds.indices.contains(Int(token)) ? kinds[Int(token)] : nil
    }

    // MARK: - Encoding

    /// Encodes text.
    package func encode(_ utf8: Span<UInt8>, parseSpecial: Bool, into tokens: inout [Int32]) {
        encode(utf8, specialIn: parseSpecial ? [0..<utf8.count] : [], into: &tokens)
    }

    /// Encodes a text of which some parts may hold special tokens.
    package func encode(_ utf8: Span<UInt8>, specialIn ranges: [Range<Int>], into tokens: inout [Int32]) {
        var merger = PieceMerger(vocabulary.merges)
        utf8.withUnsafeBufferPointer { text in
            let ranges = SpecialRanges(ranges, count: text.count)
            added.plain.forEachPart(of: text, specialIn: ranges) { part in
                switch part {
                case .token(let token): tokens.append(token)
                case .text(let range):
                    let part = UnsafeBufferPointer(rebasing: text[range])
                    normalize(part, ranges.inside(range)) { text, ranges in
                        encode(text, specialIn: ranges, startsText: range.lowerBound == 0, &merger, &tokens)
                    }
                }
            }
        }
    }

    /// Calls `body` with a text in normal form, and with where special tokens may be in that.
    private func normalize(
        _ text: UnsafeBufferPointer<UInt8>, _ ranges: SpecialRanges,
        _ body: (UnsafeBufferPointer<UInt8>, SpecialRanges) -> Void
    ) {
        guard let normalized = normalizer.apply(to: text) else { return body(text, ranges) }
        let moved = added.normalized.hasSpecial ? normalizer.move(ranges, in: text) : ranges
        normalized.withUnsafeBufferPointer { body($0, moved) }
    }

    /// Encodes text in normal form.
    private func encode(
        _ text: UnsafeBufferPointer<UInt8>, specialIn ranges: SpecialRanges, startsText: Bool,
        _ merger: inout PieceMerger, _ tokens: inout [Int32]
    ) {
        if added.normalized.isEmpty { return encodePieces(of: text, startsText: startsText, &merger, &tokens) }
        added.normalized.forEachPart(of: text, specialIn: ranges) { part in
            switch part {
            case .token(let token): tokens.append(token)
            case .text(let range):
                encodePieces(
                    of: UnsafeBufferPointer(rebasing: text[range]), startsText: startsText && range.lowerBound == 0,
                    &merger, &tokens)
            }
        }
    }

    private func encodePieces(
        of text: UnsafeBufferPointer<UInt8>, startsText: Bool, _ merger: inout PieceMerger, _ tokens: inout [Int32]
    ) {
        var list = PieceList(text)
        for step in preTokenizer { step.apply(to: &list, startsText: startsText) }
        list.text.withUnsafeBufferPointer { text in
            for piece in list.pieces {
                let piece = UnsafeBufferPointer(rebasing: text[piece])
                if takesWholePieces, let token = vocabulary.token(piece) {
                    tokens.append(token)
                } else {
                    merger.merge(piece, into: &tokens)
                }
            }
        }
    }
}
