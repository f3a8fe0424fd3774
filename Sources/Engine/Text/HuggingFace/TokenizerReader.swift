internal import LMJSON

/// Reads the vocabulary, merges and added tokens of `tokenizer.json`.
struct TokenizerReader {
    /// "▁", SentencePiece's space.
    static let wordMark = Array("▁".utf8)

    private let root: TokenizerField
    private let model: TokenizerField
    private let vocabularyField: TokenizerField
    /// `model.vocab`
    private let ids: JSONObject
    private let added: [Added]
    /// `model.ignore_merges`
    let takesWholePieces: Bool

    /// An element of `added_tokens`.
    private struct Added {
        let content: String
        let id: Int32
        let rules: AddedToken.Rules
        /// What is looked for in normalized text; nil when it is looked for before that.
        let normalized: String?
        var isSpecial: Bool { rules.contains(.special) }
    }

    init(_ root: TokenizerField, normalizer: [NormalizerStep]) throws(EngineError) {
        self.root = root
        model = try root.member("model")
        try Self.checkModel(model)
        vocabularyField = try model.member("vocab")
        guard let ids = vocabularyField.value.object else { throw vocabularyField.wrongKind("an object") }
        guard ids.count <= TokenizerLimits.tokens else {
            throw vocabularyField.invalid("has \(ids.count) tokens; the limit is \(TokenizerLimits.tokens)")
        }
        self.ids = ids
        takesWholePieces = try model.flag("ignore_merges", absent: false)
        added = try Self.added(root, ids, normalizer)
    }

    /// The model must be BPE without what no family here uses.
    private static func checkModel(_ model: TokenizerField) throws(EngineError) {
        if let type = model["type"], try type.string() != "BPE" {
            throw type.unsupported("'\(try type.string().printable)'; supported is BPE")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let field = model[key], try !field.string().isEmpty { throw field.unsupported("not empty") }
        }
        if let dropout = model["dropout"], dropout.value.number != 0 { throw dropout.unsupported("not 0") }
    }

    private static func added(
        _ root: TokenizerField, _ ids: JSONObject, _ normalizer: [NormalizerStep]
    ) throws(EngineError) -> [Added] {
        var result: [Added] = []
        for field in try root["added_tokens"]?.elements(atMost: TokenizerLimits.tokens) ?? [] {
            let contentField = try field.member("content")
            let content = try contentField.string()
            guard content.utf8.count <= TokenizerLimits.addedTokenBytes else {
                throw contentField.invalid(
                    "has \(content.utf8.count) bytes; the limit is \(TokenizerLimits.addedTokenBytes)")
            }
            let id = try field.member("id").integer(in: 0...TokenizerLimits.tokens - 1)
            if let known = ids[content]?.integer, known != id {
                throw field.invalid("has id \(id), and model.vocab gives '\(content.printable)' id \(known)")
            }
            if content.isEmpty { continue }
            var rules: AddedToken.Rules = []
            if try field.flag("special", absent: false) { rules.insert(.special) }
            if try field.flag("lstrip", absent: false) { rules.insert(.stripsLeft) }
            if try field.flag("rstrip", absent: false) { rules.insert(.stripsRight) }
            if try field.flag("single_word", absent: false) { rules.insert(.singleWord) }
            let isNormalized = try field.flag("normalized", absent: !rules.contains(.special))
            let normalized = isNormalized ? try Self.normalized(content, normalizer, rules, field) : nil
            result.append(Added(content: content, id: Int32(id), rules: rules, normalized: normalized))
        }
        return result
    }

    /// An added token in normal form. Nil for a special one that normalizing leaves alone: it is looked for before that,
    /// where a user's part of a text is still known exactly.
    private static func normalized(
        _ content: String, _ normalizer: [NormalizerStep], _ rules: AddedToken.Rules, _ field: TokenizerField
    ) throws(EngineError) -> String? {
        let changed = Array(content.utf8).withUnsafeBufferPointer { normalizer.apply(to: $0) } ?? Array(content.utf8)
        guard rules.contains(.special) else { return String(decoding: changed, as: UTF8.self) }
        if changed.elementsEqual(content.utf8) { return nil }
        guard normalizer.allSatisfy(\.movesExactly) else {
            throw field.unsupported(
                "a special token that is changed by a normalizer other than Prepend and Replace of one character")
        }
        return String(decoding: changed, as: UTF8.self)
    }

    /// The id of a token by its text.
    func id(of text: String) -> Int32? {
        added.first { $0.content.utf8.elementsEqual(text.utf8) }?.id ?? ids[text]?.integer.flatMap(Int32.init(exactly:))
    }

    // MARK: - Vocabulary

    func vocabulary(isByteLevel: Bool) throws(EngineError) -> BytePairVocabulary {
        let mergesField = try model.member("merges")
        let merges = try mergesField.values(atMost: TokenizerLimits.tokens)
        let fallback = try model.flag("byte_fallback", absent: false) ? fallbackTokens() : nil
        let (table, unknown) = (try table(isByteLevel: isByteLevel, hasFallback: fallback != nil), try unknownToken())
        let fusesUnknown = try model.flag("fuse_unk", absent: false)
        var vocabulary =
            isByteLevel
            ? BytePairVocabulary(table, mergeCapacity: merges.count, unknown: unknown, fusesUnknown: fusesUnknown)
            : BytePairVocabulary(
                characters: table, mergeCapacity: merges.count, fallback: fallback, unknown: unknown,
                fusesUnknown: fusesUnknown)
        for (number, merge) in merges.enumerated() {
            if let problem = append(merge, to: &vocabulary) {
                throw (mergesField.element(number) ?? mergesField).invalid(problem)
            }
        }
        return vocabulary
    }

    private func unknownToken() throws(EngineError) -> Int32? {
        guard let field = model["unk_token"], try !field.string().isEmpty else { return nil }
        guard let id = id(of: try field.string()) else {
            throw field.invalid("is '\(try field.string().printable)', which model.vocab does not have")
        }
        return id
    }

    /// (256) the tokens `<0x00>`...`<0xFF>`; -1 for none.
    private func fallbackTokens() -> [Int32] {
        (0..<256).map { ids[Self.fallbackName(UInt8($0))]?.integer.flatMap(Int32.init(exactly:)) ?? -1 }
    }

    private static func fallbackName(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.utf8.count == 1 ? "<0x0\(digits)>" : "<0x\(digits)>"
    }

    /// All tokens by id; ids that nothing has are unused.
    private func table(isByteLevel: Bool, hasFallback: Bool) throws(EngineError) -> TokenTable {
        var entries: [(text: String, kind: TokenTable.Kind, spelling: TokenTable.Spelling)?] = []
        func set(_ id: Int, _ text: String, _ kind: TokenTable.Kind, _ spelling: TokenTable.Spelling) {
            while entries.count <= id { entries.append(nil) }
            entries[id] = (text, kind, spelling)
        }
        let spelling = isByteLevel ? TokenTable.Spelling.byteAlphabet : .characters
        for (text, value) in ids.members {
            guard let id = value.integer, (0..<TokenizerLimits.tokens).contains(id) else {
                throw vocabularyField.invalid(
                    "gives '\(text.printable)' no id in 0...\(TokenizerLimits.tokens - 1)")
            }
            if id < entries.count, let other = entries[id] {
                throw vocabularyField.invalid(
                    "gives id \(id) to '\(text.printable)' and to '\(other.text.printable)'")
            }
            set(id, text, .normal, spelling)
        }
        if hasFallback {
            for byte in UInt8.min...UInt8.max {
                guard let id = ids[Self.fallbackName(byte)]?.integer else { continue }
                set(id, String(UnicodeScalar(byte)), .byte, .verbatim)
            }
        }
        for token in added {
            let inVocabulary = ids[token.content] != nil
            if !inVocabulary, Int(token.id) < entries.count, let other = entries[Int(token.id)],
                !other.text.utf8.elementsEqual(token.content.utf8)
            {
                throw root.invalid(
                    "gives id \(token.id) to '\(token.content.printable)' in added_tokens and to '\(other.text.printable)'"
                )
            }
            set(
                Int(token.id), inVocabulary || token.isSpecial ? token.content : token.normalized ?? token.content,
                token.isSpecial ? .control : .userDefined,
                inVocabulary && !token.isSpecial ? spelling : .verbatim)
        }
        guard !entries.isEmpty else { throw vocabularyField.invalid("is empty") }
        var table = TokenTable()
        for entry in entries {
            guard append(entry ?? ("", .unused, .verbatim), to: &table) else {
                throw vocabularyField.invalid("exceeds 4 GiB")
            }
        }
        return table
    }

    private func append(
        _ entry: (text: String, kind: TokenTable.Kind, spelling: TokenTable.Spelling), to table: inout TokenTable
    ) -> Bool {
        if entry.kind == .byte {
            let bytes = entry.text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
            return bytes.withUnsafeBytes { table.append($0, kind: .byte, spelling: .verbatim) }
        }
        var text = entry.text
        return text.withUTF8 {
            table.append(UnsafeRawBufferPointer($0), kind: entry.kind, spelling: entry.spelling)
        }
    }

    // MARK: - Merges

    /// Adds a merge, "left right" or, in newer files, ["left", "right"].
    ///
    /// - Returns: what is wrong with it, if anything is.
    private func append(_ merge: JSON, to vocabulary: inout BytePairVocabulary) -> String? {
        if var text = merge.string {
            guard text.withUTF8({ $0.count { $0 == UInt8(ascii: " ") } == 1 }) else { return "is not two tokens" }
            if text.withUTF8({ vocabulary.appendMerge(UnsafeRawBufferPointer($0)) }) { return nil }
            let parts = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            return unknownToken(of: String(Substring(parts[0])), String(Substring(parts[1])))
        }
        guard let pair = merge.array, pair.count == 2, var left = pair[0].string, var right = pair[1].string else {
            return "is not two tokens"
        }
        let isKnown = left.withUTF8 { left in
            right.withUTF8 { right in
                vocabulary.appendMerge(UnsafeRawBufferPointer(left), UnsafeRawBufferPointer(right))
            }
        }
        return isKnown ? nil : unknownToken(of: left, right)
    }

    /// What is wrong with a merge that the vocabulary did not take. Nothing, if the tokens are there: one that no text
    /// yields, as special ones and such that are spelled in no byte alphabet, is never merged.
    private func unknownToken(of left: String, _ right: String) -> String? {
        [left, right, left + right].first { ids[$0] == nil }.map {
            "names '\($0.printable)', which model.vocab does not have"
        }
    }

    // MARK: - Added tokens

    /// What finds the added tokens.
    var matchers: BytePairTokenizer.AddedTokenMatchers {
        func matcher(_ tokens: [Added]) -> AddedTokenMatcher {
            AddedTokenMatcher(
                tokens.map {
                    AddedToken(token: $0.id, bytes: Array(($0.normalized ?? $0.content).utf8), rules: $0.rules)
                })
        }
        return .init(
            plain: matcher(added.filter { $0.normalized == nil }),
            normalized: matcher(added.filter { $0.normalized != nil }))
    }
}
