internal import LMJSON

extension TokenizerField {
    /// The steps of the component that this field describes: a sequence, in which `key` holds more of them, or one.
    func flattened(_ key: String) throws(EngineError) -> [TokenizerField] {
        var result: [TokenizerField] = []
        var pending = [self]
        while let field = pending.popLast() {
            if try field.member("type").string() == "Sequence" {
                pending += try field.member(key).elements(atMost: TokenizerLimits.steps).reversed()
            } else {
                result.append(field)
            }
            guard result.count + pending.count <= TokenizerLimits.steps else {
                throw invalid("has more than \(TokenizerLimits.steps) steps")
            }
        }
        return result
    }

    /// A `pattern` member, of text or of a regular expression.
    enum PatternSource {
        case text(String)
        /// A string in the syntax of `PatternParser`.
        case expression(TokenizerField)
    }

    func patternSource() throws(EngineError) -> PatternSource {
        let field = try member("pattern")
        if let text = field["String"] ?? (field.value.string != nil ? field : nil) {
            guard try !text.string().isEmpty else { throw text.invalid("is empty") }
            return .text(try text.string())
        }
        return .expression(try field.member("Regex"))
    }

    /// The pattern that a string holds.
    func pattern() throws(EngineError) -> Pattern {
        let source = try string()
        do throws(PatternError) {
            return try Pattern(source)
        } catch {
            throw unsupported(
                "a pattern that is not run: at character \(error.offset) of '\(source.printable)', \(error.message)")
        }
    }

    /// The steps of a `normalizer`.
    func normalizerSteps() throws(EngineError) -> [NormalizerStep] {
        var steps: [NormalizerStep] = []
        var growth = 1
        for field in try flattened("normalizers") {
            let step = try field.normalizerStep()
            growth *= step.growth
            guard growth <= TokenizerLimits.growth else {
                throw field.invalid("may make a text longer than \(TokenizerLimits.growth) times in all")
            }
            steps.append(step)
        }
        return steps
    }

    private func normalizerStep() throws(EngineError) -> NormalizerStep {
        let type = try member("type")
        switch try type.string() {
        case "NFC": return .composed
        case "NFD": return .decomposed
        case "Lowercase": return .lowercase
        case "Strip":
            return .strip(left: try flag("strip_left", absent: true), right: try flag("strip_right", absent: true))
        case "Prepend": return .prepend(Array(try member("prepend").string().utf8))
        case "Replace":
            let content = Array(try member("content").string().utf8)
            return switch try patternSource() {
            case .text(let text): .replace(Array(text.utf8), by: content)
            case .expression(let field): .replaceMatches(try field.pattern(), by: content)
            }
        case let name:
            throw type.unsupported(
                "'\(name.printable)'; supported are NFC, NFD, Lowercase, Strip, Prepend, Replace and Sequence")
        }
    }
}

extension NormalizerStep {
    /// How many times longer the step may make a text, at most.
    fileprivate var growth: Int {
        switch self {
        case .composed, .decomposed, .lowercase: 3
        case .strip: 1
        case .prepend(let bytes): max(1, bytes.count)
        case .replace(let bytes, let content): max(1, (content.count + bytes.count - 1) / bytes.count)
        case .replaceMatches(_, let content): 1 + content.count
        }
    }
}
