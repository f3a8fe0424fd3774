package import LMJSON

extension BytePairTokenizer {
    /// The tokenizer of a Hugging Face folder.
    ///
    /// - Parameter tokenizerJSON: the content of `tokenizer.json`. Components outside the closed set that BPE families use
    ///   are refused, as are patterns that cannot run in linear time.
    /// - Parameter configuration: the content of `tokenizer_config.json`, of which `add_bos_token`, `bos_token` and
    ///   `eos_token` count.
    /// - Parameter endTokens: `eos_token_id` of `generation_config.json` or `config.json`.
    /// - Parameter source: the path of `tokenizer.json`, for messages.
    /// - Throws: `unsupportedModel` or `invalidModel` that name file, key and limit.
    package init(
        tokenizerJSON: JSON, configuration: JSON?, endTokens: [Int32], source: String
    ) throws(EngineError) {
        let root = TokenizerField(root: tokenizerJSON, source: source)
        let normalizer = try root["normalizer"]?.normalizerSteps() ?? []
        let reader = try TokenizerReader(root, normalizer: normalizer)
        var (steps, isByteLevel) = try root["pre_tokenizer"]?.preTokenizerSteps() ?? ([], false)
        let decoder = try root.member("decoder")
        if isByteLevel { try decoder.requireByteLevelDecoder() }
        let vocabulary = try reader.vocabulary(isByteLevel: isByteLevel)
        if !isByteLevel, !reader.takesWholePieces, vocabulary.keepsWordsApart(by: TokenizerReader.wordMark) {
            steps.append(.words(mark: TokenizerReader.wordMark))
        }
        let settings = TokenizerSettings(
            configuration.map { TokenizerField(root: $0, source: "tokenizer_config.json beside \(source)") }, reader)
        let last = Int32(vocabulary.table.count - 1)
        guard endTokens.allSatisfy({ (0...last).contains($0) }) else {
            throw root.invalid("has ids 0...\(last), and the folder's 'eos_token_id' is another")
        }
        self.init(
            vocabulary: vocabulary, added: reader.matchers, normalizer: normalizer,
            preTokenizer: steps, takesWholePieces: reader.takesWholePieces,
            output: isByteLevel ? .verbatim : try decoder.tokenOutput(),
            beginningOfSequence: try settings.beginningOfSequence(root["post_processor"]),
            endTokens: try settings.endTokens(endTokens))
    }
}

extension BytePairVocabulary {
    /// Whether no merge joins a mark to something other than marks before it, so that words can be merged by themselves.
    fileprivate func keepsWordsApart(by mark: [UInt8]) -> Bool {
        mark.withUnsafeBufferPointer { token($0) } != nil
            && (0..<table.count).allSatisfy { token in
                guard table.isMergeable[token] else { return true }
                return table.withBytes(of: token) { bytes in
                    var rest = bytes[...]
                    while rest.starts(with: mark) { rest = rest.dropFirst(mark.count) }
                    // In UTF-8 the mark's first byte begins a character; few other characters begin with it.
                    return !rest.indices.contains { rest[$0] == mark[0] && rest[$0...].starts(with: mark) }
                }
            }
    }
}
