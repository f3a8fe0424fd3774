extension JSON {
    /// What a text may take before it is refused.
    public struct Limits: Sendable {
        /// Arrays and objects inside each other.
        public var depth = 64
        /// Values in all; each takes about 32 bytes of memory beside its text.
        public var values = 16_000_000

        /// The defaults.
        public init() {}
    }

    /// Reads one value and nothing after it.
    ///
    /// - Parameter utf8: the text; a byte order mark is not JSON.
    /// - Throws: `JSONError` with the offset of the first byte that is wrong. Keys that occur twice, numbers beyond a
    ///   double, unpaired surrogates and invalid UTF-8 are wrong.
    public init(parsing utf8: UnsafeRawBufferPointer, limits: Limits = Limits()) throws(JSONError) {
        var parser = JSONParser(bytes: utf8, limits: limits)
        self = try parser.document()
    }

    /// Reads one value and nothing after it; throws as `init(parsing:)` of bytes does.
    public init(parsing text: String, limits: Limits = Limits()) throws(JSONError) {
        self = try Array(text.utf8).withUnsafeBufferPointer { utf8 throws(JSONError) in
            try JSON(parsing: UnsafeRawBufferPointer(utf8), limits: limits)
        }
    }
}

/// Why a text is not the JSON that was asked for.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes before the first that is wrong.
    public let offset: Int
    /// What was wrong there.
    public let message: String

    /// For `CustomStringConvertible`.
    public var description: String { "byte \(offset): \(message)" }
}

/// Recursive descent; the depth is limited, so the stack is too.
private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    let limits: JSON.Limits
    var position = 0
    var values = 0

    init(bytes: UnsafeRawBufferPointer, limits: JSON.Limits) {
        self.bytes = bytes
        self.limits = limits
    }

    mutating func document() throws(JSONError) -> JSON {
        let result = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw fail("more text after the value") }
        return result
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        values += 1
        guard values <= limits.values else { throw fail("more than \(limits.values) values") }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return .object(try object(depth: depth + 1))
        case UInt8(ascii: "["): return .array(try array(depth: depth + 1))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): return try number()
        case nil: throw fail("the text ends where a value is expected")
        default: throw fail("no value begins like this")
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        try enter(depth)
        var result = JSONObject()
        if skip(UInt8(ascii: "}")) { return result }
        repeat {
            skipSpace()
            let start = position
            guard peek == UInt8(ascii: "\"") else { throw fail("expected a key in quotes") }
            let key = try string()
            guard skip(UInt8(ascii: ":")) else { throw fail("expected ':' after a key") }
            guard result.insert(key, try value(depth: depth)) else {
                throw JSONError(offset: start, message: "the key \"\(key.prefix(80))\" occurs twice")
            }
        } while skip(UInt8(ascii: ","))
        guard skip(UInt8(ascii: "}")) else { throw fail("expected ',' or '}'") }
        return result
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSON] {
        try enter(depth)
        var result: [JSON] = []
        if skip(UInt8(ascii: "]")) { return result }
        repeat { result.append(try value(depth: depth)) } while skip(UInt8(ascii: ","))
        guard skip(UInt8(ascii: "]")) else { throw fail("expected ',' or ']'") }
        return result
    }

    private mutating func enter(_ depth: Int) throws(JSONError) {
        guard depth <= limits.depth else {
            throw fail("more than \(limits.depth) arrays and objects inside each other")
        }
        position += 1
    }

    private mutating func literal(_ name: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let expected = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        guard bytes[position...].starts(with: expected) else { throw fail("expected \(name)") }
        position += expected.count
        return value
    }

    // MARK: - Numbers

    private mutating func number() throws(JSONError) -> JSON {
        let start = position
        var isInteger = true
        if peek == UInt8(ascii: "-") { position += 1 }
        if peek == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if peek == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        let text = Substring(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw JSONError(offset: start, message: "the number does not fit a double")
        }
        return .number(value)
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while let byte = peek, isDigit(byte) { position += 1 }
        guard position > start else { throw fail("expected a digit") }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    // MARK: - Strings

    private mutating func string() throws(JSONError) -> String {
        position += 1
        let start = position
        while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        // Nearly every string has no escape and is taken as it stands.
        if peek == UInt8(ascii: "\"") {
            position += 1
            return try decode(UnsafeRawBufferPointer(rebasing: bytes[start..<position - 1]), from: start)
        }
        var text = Array(bytes[start..<position])
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw fail("a control character in a string; write it as an escape") }
            if byte == UInt8(ascii: "\\") {
                try escape(into: &text)
            } else {
                text.append(byte)
                position += 1
            }
        }
        guard skipByte(UInt8(ascii: "\"")) else {
            throw JSONError(offset: start - 1, message: "the text ends in this string")
        }
        return try text.withUnsafeBufferPointer { text throws(JSONError) in
            try decode(UnsafeRawBufferPointer(text), from: start)
        }
    }

    private func decode(_ utf8: UnsafeRawBufferPointer, from start: Int) throws(JSONError) -> String {
        guard let text = String(validating: utf8, as: UTF8.self) else {
            throw JSONError(offset: start, message: "the string that begins here is not UTF-8")
        }
        return text
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        let start = position
        position += 1
        guard let letter = peek else { throw fail("the text ends in an escape") }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try codeUnit())
            if (0xD800...0xDBFF).contains(code), skipByte(UInt8(ascii: "\\")), skipByte(UInt8(ascii: "u")) {
                let low = UInt32(try codeUnit())
                guard (0xDC00...0xDFFF).contains(low) else {
                    throw JSONError(offset: start, message: "an unpaired surrogate")
                }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw JSONError(offset: start, message: "an unpaired surrogate")
            }
            text += Array(String(Character(scalar)).utf8)
        default: throw JSONError(offset: start, message: "no such escape")
        }
    }

    private mutating func codeUnit() throws(JSONError) -> UInt16 {
        var result: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fail("expected four hexadecimal digits")
            }
            result = result << 4 | UInt16(digit)
            position += 1
        }
        return result
    }

    // MARK: - Bytes

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipByte(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        position += 1
        return true
    }

    /// Skips white space, and then the byte if it stands there.
    private mutating func skip(_ byte: UInt8) -> Bool {
        skipSpace()
        return skipByte(byte)
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func fail(_ message: String) -> JSONError { JSONError(offset: position, message: message) }
}
