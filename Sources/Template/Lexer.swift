/// Cuts a source into tokens the way Jinja does with `trim_blocks` and `lstrip_blocks`, as templates of models are
/// meant: the line break after a block, and the space before it on its line, are no text.
struct Lexer {
    private let source: [UInt8]
    private var position = 0
    private var line = 1
    private var brackets: [UInt8] = []
    private var tokens: [(token: Token, line: Int)] = []

    /// All tokens of a source, the last of them `end`.
    static func tokens(of source: String) throws(TemplateError) -> [(token: Token, line: Int)] {
        var lexer = Lexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ source: String) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(source.utf8.count)
        var previous: UInt8 = 0
        for byte in source.utf8 {
            if byte != UInt8(ascii: "\n") || previous != UInt8(ascii: "\r") {
                bytes.append(byte == UInt8(ascii: "\r") ? UInt8(ascii: "\n") : byte)
            }
            previous = byte
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        self.source = bytes
    }

    private mutating func run() throws(TemplateError) {
        while position < source.count {
            let start = position
            guard let tag = nextTag() else {
                addData(start..<source.count)
                break
            }
            position = tag + 2
            let kind = source[tag + 1]
            let sign = peek.flatMap { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") ? $0 : nil }
            if sign != nil { position += 1 }
            addData(start..<textEnd(start..<tag, sign, isOutput: kind == UInt8(ascii: "{")))
            line += newlines(in: start..<tag)
            switch kind {
            case UInt8(ascii: "{"): try code(.outputBegin, .outputEnd, "}}")
            case UInt8(ascii: "%"):
                if let body = rawBody() { try raw(body) } else { try code(.blockBegin, .blockEnd, "%}") }
            default: try comment()
            }
        }
        tokens.append((.end, line))
    }

    // MARK: - Text

    private func nextTag() -> Int? {
        var index = position
        while index + 1 < source.count {
            if source[index] == UInt8(ascii: "{"),
                [UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "#")].contains(source[index + 1])
            {
                return index
            }
            index += 1
        }
        return nil
    }

    /// Where the text before a tag ends, once the tag has taken the space it strips.
    private func textEnd(_ text: Range<Int>, _ sign: UInt8?, isOutput: Bool) -> Int {
        if sign == UInt8(ascii: "-") {
            return text.lowerBound
                + Text(String(decoding: source[text], as: UTF8.self))
                .stripped(leading: false, trailing: true, where: \.isPythonSpace).bytes.count
        }
        if sign == UInt8(ascii: "+") || isOutput { return text.upperBound }
        let lineStart = source[text].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? text.lowerBound
        let beginsLine = lineStart == 0 || source[lineStart - 1] == UInt8(ascii: "\n")
        return beginsLine && skipSpace(from: lineStart) >= text.upperBound ? lineStart : text.upperBound
    }

    private mutating func addData(_ range: Range<Int>) {
        if !range.isEmpty { tokens.append((.data(Text(String(decoding: source[range], as: UTF8.self))), line)) }
    }

    private func newlines(in range: Range<Int>) -> Int {
        source[range].reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
    }

    private func skipSpace(from start: Int) -> Int {
        var index = start
        while index < source.count {
            let (scalar, end) = decodeScalar(source, at: index)
            if !scalar.isPythonSpace { break }
            index = end
        }
        return index
    }

    private var peek: UInt8? { position < source.count ? source[position] : nil }

    private func hasPrefix(_ text: String, at index: Int) -> Bool {
        index <= source.count && source[index...].starts(with: text.utf8)
    }

    /// Passes the end of a tag if it stands here, with the space that it strips.
    private mutating func passEnd(_ end: String) -> Bool {
        let start = position
        if hasPrefix("-" + end, at: position) {
            position = skipSpace(from: position + 3)
        } else if end != "}}" && hasPrefix("+" + end, at: position) {
            position += 3
        } else if hasPrefix(end, at: position) {
            position += 2
            if end != "}}" && peek == UInt8(ascii: "\n") { position += 1 }
        } else {
            return false
        }
        line += newlines(in: start..<position)
        return true
    }

    private mutating func comment() throws(TemplateError) {
        let start = line
        while position < source.count {
            if passEnd("#}") { return }
            if peek == UInt8(ascii: "\n") { line += 1 }
            position += 1
        }
        throw TemplateError(.syntax, line: start, "the comment that begins here has no end; close it with #}")
    }

    // MARK: - Raw blocks

    /// Where the text of a raw block begins, when the tag at hand opens one.
    private func rawBody() -> Int? {
        let name = skipSpace(from: position)
        guard hasPrefix("raw", at: name) else { return nil }
        let end = skipSpace(from: name + 3)
        if hasPrefix("-%}", at: end) { return skipSpace(from: end + 3) }
        return hasPrefix("%}", at: end) ? end + 2 : nil
    }

    private mutating func raw(_ start: Int) throws(TemplateError) {
        let opening = line
        line += newlines(in: position..<start)
        position = start
        while let tag = source[position...].indices.first(where: { hasPrefix("{%", at: $0) }) {
            var index = tag + 2
            let sign =
                index < source.count && [UInt8(ascii: "-"), UInt8(ascii: "+")].contains(source[index])
                ? source[index] : nil
            if sign != nil { index += 1 }
            index = skipSpace(from: index)
            position = hasPrefix("endraw", at: index) ? skipSpace(from: index + 6) : tag + 2
            let end = position
            if hasPrefix("endraw", at: index), passEnd("%}") {
                line -= newlines(in: end..<position)
                addData(start..<textEnd(start..<tag, sign, isOutput: false))
                line += newlines(in: start..<position)
                return
            }
        }
        throw TemplateError(
            .syntax, line: opening, "the raw block that begins here has no end; close it with {% endraw %}")
    }

    // MARK: - Code

    private mutating func code(_ begin: Token, _ endToken: Token, _ end: String) throws(TemplateError) {
        let opening = line
        tokens.append((begin, line))
        brackets = []
        while position < source.count {
            if brackets.isEmpty {
                let endLine = line
                if passEnd(end) {
                    tokens.append((endToken, endLine))
                    return
                }
            }
            try word()
        }
        throw TemplateError(.syntax, line: opening, "the tag that begins here has no end; close it with \(end)")
    }

    private mutating func word() throws(TemplateError) {
        let start = position
        let byte = source[position]
        position = skipSpace(from: position)
        if position > start {
            line += newlines(in: start..<position)
        } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
            try string(quote: byte)
        } else if isDigit(byte) {
            try number()
        } else if isNameByte(byte) {
            while let byte = peek, isNameByte(byte) { position += 1 }
            add(.name(String(decoding: source[start..<position], as: UTF8.self)))
        } else {
            try sign()
        }
    }

    private mutating func add(_ token: Token) { tokens.append((token, line)) }

    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private func isNameByte(_ byte: UInt8) -> Bool {
        let letter = byte | 0x20
        return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter) || byte == UInt8(ascii: "_") || isDigit(byte)
    }

    private static let signs = Set("+-*/%~[](){}<>=.:|,;".utf8)
    private static let pairs: Set<String> = ["//", "**", "==", "!=", ">=", "<="]

    private mutating func sign() throws(TemplateError) {
        let pair = String(decoding: source[position..<min(position + 2, source.count)], as: UTF8.self)
        let byte = source[position]
        if Self.pairs.contains(pair) {
            add(.sign(pair))
            position += 2
            return
        }
        guard Self.signs.contains(byte) else {
            let scalar = decodeScalar(source, at: position).0
            throw TemplateError(.syntax, line: line, "unexpected character '\(scalar)'")
        }
        switch byte {
        case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): brackets.append(byte)
        case UInt8(ascii: ")"): try close(UInt8(ascii: "("))
        case UInt8(ascii: "]"): try close(UInt8(ascii: "["))
        case UInt8(ascii: "}"): try close(UInt8(ascii: "{"))
        default: break
        }
        position += 1
        add(.sign(String(Unicode.Scalar(byte))))
    }

    private mutating func close(_ opening: UInt8) throws(TemplateError) {
        guard brackets.popLast() == opening else {
            throw TemplateError(
                .syntax, line: line,
                "unexpected '\(Unicode.Scalar(source[position]))': it closes no bracket of its kind")
        }
    }

    // MARK: - Literals

    private mutating func number() throws(TemplateError) {
        let start = position
        let afterDot = start > 0 && source[start - 1] == UInt8(ascii: ".")
        var radix = 10
        if source[start] == UInt8(ascii: "0"), start + 1 < source.count {
            radix = [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2][source[start + 1] | 0x20] ?? 10
        }
        var isInteger = true
        if radix != 10 {
            position += 2
            while let byte = peek, isNameByte(byte) { position += 1 }
        } else {
            digits()
            if !afterDot, peek == UInt8(ascii: "."), position + 1 < source.count, isDigit(source[position + 1]) {
                isInteger = false
                position += 1
                digits()
            }
            if !afterDot, let byte = peek, byte | 0x20 == UInt8(ascii: "e") { isInteger = !exponent() && isInteger }
        }
        let text = String(
            decoding: source[(radix == 10 ? start : start + 2)..<position].filter { $0 != UInt8(ascii: "_") },
            as: UTF8.self)
        if radix == 10, isInteger, text.hasPrefix("0"), text.contains(where: { $0 != "0" }) {
            throw TemplateError(.syntax, line: line, "the integer \(text.prefix(80)) begins with 0")
        }
        if isInteger, let value = Int(text, radix: radix) { return add(.integer(value)) }
        guard radix == 10, !isInteger, let value = Double(text) else {
            throw TemplateError(.syntax, line: line, "the number \(text.prefix(80)) does not fit 64 bits")
        }
        add(.number(value))
    }

    private mutating func digits() {
        while let byte = peek, isDigit(byte) || byte == UInt8(ascii: "_") { position += 1 }
    }

    private mutating func exponent() -> Bool {
        var index = position + 1
        if index < source.count, source[index] == UInt8(ascii: "+") || source[index] == UInt8(ascii: "-") { index += 1 }
        guard index < source.count, isDigit(source[index]) else { return false }
        position = index
        digits()
        return true
    }

    private mutating func string(quote: UInt8) throws(TemplateError) {
        let opening = line
        var bytes: [UInt8] = []
        position += 1
        while let byte = peek, byte != quote {
            if byte == UInt8(ascii: "\n") { line += 1 }
            position += 1
            if byte == UInt8(ascii: "\\") { try escape(into: &bytes) } else { bytes.append(byte) }
        }
        guard peek == quote else {
            throw TemplateError(.syntax, line: opening, "the string that begins here has no end")
        }
        position += 1
        tokens.append((.string(String(decoding: bytes, as: UTF8.self)), opening))
    }

    private mutating func escape(into bytes: inout [UInt8]) throws(TemplateError) {
        guard let letter = peek else { return }
        position += 1
        switch letter {
        case UInt8(ascii: "\n"): line += 1
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): bytes.append(letter)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "a"): bytes.append(0x07)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "v"): bytes.append(0x0B)
        case UInt8(ascii: "x"): try code(digits: 2, radix: 16, &bytes)
        case UInt8(ascii: "u"): try code(digits: 4, radix: 16, &bytes)
        case UInt8(ascii: "U"): try code(digits: 8, radix: 16, &bytes)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            position -= 1
            let count = source[position...].prefix(3).prefix { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
                .count
            try code(digits: count, radix: 8, &bytes)
        default: bytes += [UInt8(ascii: "\\"), letter]
        }
    }

    private mutating func code(digits: Int, radix: Int, _ bytes: inout [UInt8]) throws(TemplateError) {
        let text = source[position...].prefix(digits)
        guard text.count == digits, text.allSatisfy(isNameByte),
            let value = UInt32(String(decoding: text, as: UTF8.self), radix: radix), let scalar = Unicode.Scalar(value)
        else { throw TemplateError(.syntax, line: line, "an escape in a string names no character") }
        position += digits
        bytes += Array(String(scalar).utf8)
    }
}
