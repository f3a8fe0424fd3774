import LMEngine

extension Tokenizer {
    /// The ids of a text.
    func encode(_ text: String, parseSpecial: Bool) -> [Int32] {
        encode(Array(text.utf8), parseSpecial: parseSpecial)
    }

    /// The ids of bytes that need not be UTF-8.
    func encode(_ bytes: [UInt8], parseSpecial: Bool) -> [Int32] {
        var tokens: [Int32] = []
        encode(bytes.span, parseSpecial: parseSpecial, into: &tokens)
        return tokens
    }
}

extension BytePairTokenizer {
    /// A tokenizer from the texts of its tokens and merges, in the byte alphabet; the first tokens are control tokens.
    init(tokens: [String], merges: [String], controlTokens: Int, preTokenizer: PreTokenizer) throws {
        var table = TokenTable()
        for (index, token) in tokens.enumerated() {
            let kind = index < controlTokens ? TokenTable.Kind.control : .normal
            _ = Array(token.utf8).withUnsafeBytes {
                table.append($0, kind: kind, spelling: kind == .normal ? .byteAlphabet : .verbatim)
            }
        }
        var vocabulary = BytePairVocabulary(table, mergeCapacity: merges.count)
        for merge in merges {
            guard Array(merge.utf8).withUnsafeBytes({ vocabulary.appendMerge($0) }) else {
                throw EngineError(.invalidModel, "merge '\(merge)'")
            }
        }
        self.init(
            vocabulary: vocabulary, preTokenizer: preTokenizer, beginningOfSequence: nil, endTokens: [])
    }
}
