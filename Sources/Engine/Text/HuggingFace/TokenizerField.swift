internal import LMJSON

/// A value in a tokenizer's file, which knows where it stands for the message if it is wrong.
struct TokenizerField {
    let value: JSON
    /// The way to it, as in "pre_tokenizer.pretokenizers[1].pattern".
    let path: String
    /// The file, for messages.
    let source: String

    init(root: JSON, source: String) {
        value = root
        path = ""
        self.source = source
    }

    private init(_ value: JSON, path: String, source: String) {
        self.value = value
        self.path = path
        self.source = source
    }

    /// A member that is there and not null.
    subscript(key: String) -> TokenizerField? {
        guard let value = value[key], !value.isNull else { return nil }
        return TokenizerField(value, path: path.isEmpty ? key : "\(path).\(key)", source: source)
    }

    func member(_ key: String) throws(EngineError) -> TokenizerField {
        guard let member = self[key] else { throw invalid("'\(key)' is missing") }
        return member
    }

    /// The values of an array, of which there may be `limit`.
    func values(atMost limit: Int) throws(EngineError) -> [JSON] {
        guard let array = value.array else { throw wrongKind("an array") }
        guard array.count <= limit else { throw invalid("has \(array.count) elements; the limit is \(limit)") }
        return array
    }

    /// The elements of an array, of which there may be `limit`.
    func elements(atMost limit: Int) throws(EngineError) -> [TokenizerField] {
        try values(atMost: limit).indices.compactMap(element)
    }

    /// An element of an array; nil if there is none.
    func element(_ index: Int) -> TokenizerField? {
        guard let array = value.array, array.indices.contains(index) else { return nil }
        return TokenizerField(array[index], path: "\(path)[\(index)]", source: source)
    }

    func string() throws(EngineError) -> String {
        guard let string = value.string else { throw wrongKind("a string") }
        return string
    }

    /// A string of one character.
    func character() throws(EngineError) -> String {
        let text = try string()
        guard text.unicodeScalars.count == 1 else { throw invalid("is '\(text.printable)', not one character") }
        return text
    }

    func integer(in range: ClosedRange<Int>) throws(EngineError) -> Int {
        guard let integer = value.integer, range.contains(integer) else {
            throw invalid("is not an integer in \(range.lowerBound)...\(range.upperBound)")
        }
        return integer
    }

    /// A boolean member; `absent` where there is none.
    func flag(_ key: String, absent: Bool) throws(EngineError) -> Bool {
        guard let member = self[key] else { return absent }
        guard let bool = member.value.bool else { throw member.wrongKind("a boolean") }
        return bool
    }

    /// A member that names one of a closed set; `absent` where there is none.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, absent: Choice? = nil
    ) throws(EngineError) -> Choice where Choice.RawValue == String {
        if self[key] == nil, let absent { return absent }
        let member = try member(key)
        let name = try member.string()
        guard let choice = Choice(rawValue: name) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw member.unsupported("'\(name.printable)'; supported are \(known)")
        }
        return choice
    }

    /// An error about a value that contradicts the format or itself.
    func invalid(_ problem: String) -> EngineError {
        EngineError(.invalidModel, "\(source): \(path.isEmpty ? "the file" : path) \(problem)")
    }

    /// An error about a value that this engine does not run.
    func unsupported(_ problem: String) -> EngineError {
        EngineError(.unsupportedModel, "\(source): \(path.isEmpty ? "the file" : path) is \(problem)")
    }

    func wrongKind(_ expected: String) -> EngineError {
        invalid("is \(value.kind); it must be \(expected)")
    }
}
