extension GGUFFile {
    /// The tokenizer described by the `tokenizer.ggml` keys.
    func tokenizer() throws(EngineError) -> BytePairTokenizer {
        let preTokenizer = try preTokenizer()
        let table = try tokenTable()
        let mergeKey = "tokenizer.ggml.merges"
        let mergeCount = try forEachString(mergeKey) { _ throws(EngineError) in }
        guard let mergeCount else { throw invalid(key: mergeKey, "is missing") }
        var vocabulary = BytePairVocabulary(table, mergeCapacity: mergeCount)
        var number = 0
        _ = try forEachString(mergeKey) { (text) throws(EngineError) in
            guard vocabulary.appendMerge(text) else {
                throw invalid(key: mergeKey, "merge number \(number) does not name two tokens that join to a third")
            }
            number += 1
        }
        return BytePairTokenizer(
            vocabulary: vocabulary, preTokenizer: preTokenizer,
            beginningOfSequence: try beginningOfSequence(table, preTokenizer), endTokens: try endTokens(table))
    }

    private func preTokenizer() throws(EngineError) -> PreTokenizer {
        let model = try string("tokenizer.ggml.model")
        guard model == "gpt2" else {
            throw unsupported(
                "tokenizer.ggml.model", "'\((model ?? "none").printable)'; supported is 'gpt2' (byte-level BPE)")
        }
        let name = try string("tokenizer.ggml.pre") ?? PreTokenizer.default.rawValue
        guard let preTokenizer = PreTokenizer(rawValue: name) else {
            let supported = PreTokenizer.allCases.map(\.rawValue).joined(separator: ", ")
            throw unsupported("tokenizer.ggml.pre", "'\(name.printable)'; supported are \(supported)")
        }
        return preTokenizer
    }

    private func tokenTable() throws(EngineError) -> TokenTable {
        let key = "tokenizer.ggml.tokens"
        let typeKey = "tokenizer.ggml.token_type"
        let types = try int32Array(typeKey)
        var table = TokenTable()
        let count = try forEachString(key) { (text) throws(EngineError) in
            let code = types.map { table.count < $0.count ? $0[table.count] : 0 } ?? TokenTable.Kind.normal.rawValue
            guard let kind = TokenTable.Kind(rawValue: code) else {
                throw invalid(key: typeKey, "token \(table.count) has no type or an unknown one (\(code))")
            }
            let spelling = kind == .normal ? TokenTable.Spelling.byteAlphabet : .verbatim
            guard table.append(text, kind: kind, spelling: spelling) else { throw invalid(key: key, "exceeds 4 GiB") }
        }
        guard count != nil else { throw invalid(key: key, "is missing") }
        return table
    }

    private func beginningOfSequence(
        _ table: TokenTable, _ preTokenizer: PreTokenizer
    ) throws(EngineError) -> Int32? {
        // Llama 3 files of 2024 lack the key and mean true.
        guard try bool("tokenizer.ggml.add_bos_token") ?? (preTokenizer == .llamaBPE) else { return nil }
        return try tokenID("tokenizer.ggml.bos_token_id", table)
    }

    /// The tokens that the file says end an answer, and control tokens of the known names: files name one end token,
    /// but models trained to chat also stop at the other.
    private func endTokens(_ table: TokenTable) throws(EngineError) -> [Int32] {
        var tokens: Set<Int32> = []
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            if let token = try tokenID("tokenizer.ggml." + key, table) { tokens.insert(token) }
        }
        let names: Set = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"]
        for token in 0..<table.count where table.kinds[token] == .control {
            let name = table.withBytes(of: token) { String(decoding: $0, as: UTF8.self) }
            if names.contains(name) { tokens.insert(Int32(token)) }
        }
        return tokens.sorted()
    }

    private func tokenID(_ key: String, _ table: TokenTable) throws(EngineError) -> Int32? {
        guard table.count > 0 else { throw invalid(key: "tokenizer.ggml.tokens", "is empty") }
        return try integer(key, in: 0...table.count - 1).map { Int32($0) }
    }

    /// An error about a key whose value this engine does not run.
    func unsupported(_ key: String, _ problem: String) -> EngineError {
        EngineError(.unsupportedModel, "\(file.path): \(key) is \(problem)")
    }
}
