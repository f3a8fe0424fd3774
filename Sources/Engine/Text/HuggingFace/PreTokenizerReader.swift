extension TokenizerField {
    /// The steps of a `pre_tokenizer`, and whether its last one turns pieces to bytes.
    func preTokenizerSteps() throws(EngineError) -> (steps: [PreTokenizerStep], isByteLevel: Bool) {
        let fields = try flattened("pretokenizers")
        var steps: [PreTokenizerStep] = []
        for (index, field) in fields.enumerated() {
            let type = try field.member("type")
            if try type.string() == "ByteLevel" {
                guard index == fields.count - 1 else { throw type.unsupported("'ByteLevel' before other steps") }
                steps += try field.byteLevelSteps()
                return (try isSingleDigits(fields) && steps.count == 2 ? [.scan(.smollm)] : steps, true)
            }
            steps += try field.preTokenizerStep(type)
        }
        return (steps, false)
    }

    /// Whether the steps are digits by themselves and GPT-2's pattern, which have a scanner of their own.
    private func isSingleDigits(_ fields: [TokenizerField]) throws(EngineError) -> Bool {
        guard fields.count == 2, try fields[0].member("type").string() == "Digits" else { return false }
        let hasPrefix = try fields[1].flag("add_prefix_space", absent: true)
        return try fields[0].flag("individual_digits", absent: false) && !hasPrefix
    }

    private func byteLevelSteps() throws(EngineError) -> [PreTokenizerStep] {
        try (flag("add_prefix_space", absent: true) ? [.prefixSpace] : [])
            + (flag("use_regex", absent: true) ? [.scan(.gpt2)] : [])
    }

    private func preTokenizerStep(_ type: TokenizerField) throws(EngineError) -> [PreTokenizerStep] {
        switch try type.string() {
        case "Split": return [try splitStep()]
        case "Digits":
            return [
                .split(
                    TextSplit(
                        pattern: try pattern(#"\p{N}"#),
                        behavior: try flag("individual_digits", absent: false) ? .isolated : .contiguous,
                        isInverted: false))
            ]
        case "Punctuation":
            // Rust's ASCII punctuation has symbols that Unicode's has not.
            return [
                .split(
                    TextSplit(
                        pattern: try pattern(#"[\p{P}$+<=>^`|~]"#),
                        behavior: try choice("behavior", absent: .isolated), isInverted: false))
            ]
        case "WhitespaceSplit":
            return [.split(TextSplit(pattern: try pattern(#"\s"#), behavior: .removed, isInverted: false))]
        case "Whitespace":
            // Rust's `\w`.
            return [
                .split(
                    TextSplit(
                        pattern: try pattern(#"[\w\x{200C}\x{200D}]+|[^\w\x{200C}\x{200D}\s]+"#), behavior: .removed,
                        isInverted: true))
            ]
        case "Metaspace": return try metaspaceSteps()
        case let name:
            throw type.unsupported(
                "'\(name.printable)'; supported are Split, ByteLevel, Digits, Punctuation, Metaspace, Whitespace, "
                    + "WhitespaceSplit and Sequence")
        }
    }

    private func splitStep() throws(EngineError) -> PreTokenizerStep {
        let behavior: TextSplit.Behavior = try choice("behavior")
        let isInverted = try flag("invert", absent: false)
        switch try patternSource() {
        case .text(let text):
            return .split(TextSplit(pattern: try literal(text), behavior: behavior, isInverted: isInverted))
        case .expression(let field):
            // Those patterns match everything, so that nothing is left between the matches.
            if let scanner = PreTokenizer(pattern: try field.string()),
                behavior == .isolated || (behavior == .removed && isInverted)
            {
                return .scan(scanner)
            }
            return .split(TextSplit(pattern: try field.pattern(), behavior: behavior, isInverted: isInverted))
        }
    }

    private func metaspaceSteps() throws(EngineError) -> [PreTokenizerStep] {
        let mark = try metaspaceMark()
        let metaspace = PreTokenizerStep.Metaspace(mark: Array(mark.utf8), prepending: try metaspacePrepending())
        let split = TextSplit(pattern: try literal(mark), behavior: .mergedWithNext, isInverted: false)
        return [.metaspace(metaspace)] + (try flag("split", absent: true) ? [.split(split)] : [])
    }

    /// The `replacement` of a Metaspace.
    func metaspaceMark() throws(EngineError) -> String { try member("replacement").character() }

    /// The `prepend_scheme` of a Metaspace, or what older files have in its place.
    func metaspacePrepending() throws(EngineError) -> PreTokenizerStep.Metaspace.Prepending {
        try flag("add_prefix_space", absent: true) ? choice("prepend_scheme", absent: .always) : .never
    }

    private func pattern(_ source: String) throws(EngineError) -> Pattern {
        do throws(PatternError) { return try Pattern(source) } catch { throw unsupported(error.message) }
    }

    private func literal(_ text: String) throws(EngineError) -> Pattern {
        do throws(PatternError) { return try Pattern(literal: text) } catch { throw unsupported(error.message) }
    }
}
