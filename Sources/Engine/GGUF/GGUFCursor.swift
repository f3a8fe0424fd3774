/// Reads a GGUF header from front to back. Every read is checked against the end of the file, and every error names
/// the file, what was being read and at which byte.
struct GGUFCursor {
    /// What the bytes belong to, for messages.
    enum Subject {
        case header
        case keyNumber(Int)
        case key(String)
        case tensorNumber(Int)
        case tensor(String)
    }

    let file: MappedFile
    /// The next byte to read; 0...file.bytes.count.
    private(set) var offset = 0
    /// What is being read now.
    var subject = Subject.header

    init(_ file: MappedFile) {
        self.file = file
    }

    /// An error about the current subject at `at`, by default the next byte.
    func invalid(_ problem: String, at position: Int? = nil) -> EngineError {
        EngineError(.invalidModel, "\(file.path): \(subjectName) at byte \(position ?? offset): \(problem)")
    }

    private var subjectName: String {
        switch subject {
        case .header: "header"
        case .keyNumber(let index): "metadata key number \(index)"
        case .key(let name): "metadata key '\(name.printable)'"
        case .tensorNumber(let index): "tensor number \(index)"
        case .tensor(let name): "tensor '\(name.printable)'"
        }
    }

    /// Passes over `count` bytes and returns where they were.
    mutating func skip(_ count: Int) throws(EngineError) -> Range<Int> {
        let remaining = file.bytes.count - offset
        guard count <= remaining else {
            throw invalid("needs \(count) bytes but the file ends after \(remaining); it is truncated or corrupt")
        }
        let range = offset..<offset + count
        offset = range.upperBound
        return range
    }

    /// A little-endian integer.
    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(EngineError) -> T {
        let range = try skip(MemoryLayout<T>.size)
        return T(littleEndian: file.bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
    }

    /// A 64-bit count, which must not exceed `limit`.
    mutating func count(limit: Int, of things: String) throws(EngineError) -> Int {
        let start = offset
        let value = try integer(UInt64.self)
        guard let count = Int(exactly: value), count <= limit else {
            throw invalid("\(value) \(things) exceed the limit of \(limit)", at: start)
        }
        return count
    }

    /// A length and that many bytes of text.
    mutating func string() throws(EngineError) -> String {
        String(decoding: file.bytes[try stringRange()], as: UTF8.self)
    }

    /// Where the bytes of a string are.
    mutating func stringRange() throws(EngineError) -> Range<Int> {
        try skip(try count(limit: GGUFLimits.stringByteCount, of: "bytes of string"))
    }
}

extension String {
    /// The text as it may stand in a message: names come from the file and can be long or hold control characters.
    package var printable: String {
        var text = ""
        for scalar in unicodeScalars.prefix(80) {
            text.unicodeScalars.append((0x20..<0x7F).contains(scalar.value) ? scalar : "?")
        }
        return unicodeScalars.dropFirst(80).isEmpty ? text : text + "…"
    }
}
