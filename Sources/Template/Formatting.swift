/// `"%s" % value` and `"{}".format(value)`, as far as templates use them.
extension Interpreter {
    /// Python's `%` of a string: `%s`, `%r`, `%d`, `%i`, `%f` and `%%`, with width, precision and the
    /// flags `0` and `-`.
    func percentFormat(_ format: Text, _ value: Value) throws(TemplateError) -> Text {
        var values: [Value] =
            if case .items(let items) = value, items.kind == .tuple { items.elements } else { [value] }
        values.reverse()
        try allocate(format.cost)
        var result = Text()
        var reader = format.scalars
        while let (scalar, _, isContent) = reader.next() {
            guard scalar == "%" else {
                result.append(scalar, isContent: isContent)
                continue
            }
            var field = FormatField()
            while let letter = reader.next()?.scalar {
                if try field.take(letter, fail) { break }
            }
            if field.letter == "%" {
                result.append("%", isContent: isContent)
                continue
            }
            guard let value = values.popLast() else { throw fail("not enough values for the format") }
            try append(value, field, to: &result)
        }
        let isSurplusAllowed = if case .mapping = value { true } else { false }
        guard values.isEmpty || isSurplusAllowed else { throw fail("not all values are used by the format") }
        return result
    }

    private func append(_ value: Value, _ field: FormatField, to result: inout Text) throws(TemplateError) {
        var text = Text()
        switch field.letter {
        case "s": text = try printed(value)
        case "r": try represent(value, into: &text)
        case "d", "i":
            guard let number = value.asNumber,
                let integer = value.asInteger ?? Int(exactly: number.rounded(.towardZero))
            else {
                throw fail("%\(field.letter) takes a number, not '\(value.typeName)'")
            }
            text.append(String(integer), isContent: true)
        case "f":
            guard let number = value.asNumber else { throw fail("%f takes a number, not '\(value.typeName)'") }
            text.append(try decimal(number, digits: field.precision ?? 6), isContent: true)
        default: throw fail("the format '%\(field.letter)' is not supported here")
        }
        if field.letter == "s" || field.letter == "r", let precision = field.precision, precision < text.length {
            text = text.slice(0..<text.scalarOffsets[precision])
        }
        let missing = field.width - text.length
        try allocate(text.cost + max(0, missing))
        let isNumber = field.letter != "s" && field.letter != "r"
        let fill = String(
            repeating: field.isZeroPadded && isNumber && !field.isLeft ? "0" : " ", count: max(0, missing))
        if !field.isLeft {
            if fill.first == "0", text.bytes.first == UInt8(ascii: "-") {
                result.append("-", isContent: true)
                text = text.slice(1..<text.bytes.count)
            }
            result.append(fill)
        }
        result.append(text)
        if field.isLeft { result.append(fill) }
    }

    /// A number with a fixed count of digits after the point.
    func decimal(_ value: Double, digits: Int) throws(TemplateError) -> String {
        let rounded = roundedHalfEven(abs(value), digits: digits)
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        guard digits <= 15, let scaled = Int(exactly: (rounded * scale).rounded()) else {
            throw fail("the number has too many digits for a format")
        }
        let text = String(scaled)
        let padded = String(repeating: "0", count: max(0, digits + 1 - text.utf8.count)) + text
        let sign = value.sign == .minus ? "-" : ""
        return digits == 0 ? sign + padded : sign + padded.dropLast(digits) + "." + padded.suffix(digits)
    }

    /// Python's `str.format` with fields `{}`, `{0}` and `{name}`.
    func braceFormat(_ format: Text, _ arguments: CallArguments) throws(TemplateError) -> Text {
        try allocate(format.cost)
        var result = Text()
        var automatic = 0
        var field: String?
        var reader = format.scalars
        var pending = reader.next()
        while let (scalar, _, isContent) = pending {
            pending = reader.next()
            if let name = field {
                field = scalar == "}" ? nil : name + String(scalar)
                guard scalar == "}" else { continue }
                let value = name.isEmpty ? arguments.positional.element(automatic) : self.value(named: name, arguments)
                if name.isEmpty { automatic += 1 }
                guard let value else {
                    throw fail("the format has no value for '{\(name.cut)}'; fields are {}, {0} and {name}")
                }
                let text = try printed(value)
                try allocate(text.cost)
                result.append(text)
            } else if scalar == "{" || scalar == "}" {
                if pending?.scalar == scalar {
                    result.append(scalar, isContent: isContent)
                    pending = reader.next()
                } else {
                    guard scalar == "{" else { throw fail("a single '}' in a format; write it twice") }
                    field = ""
                }
            } else {
                result.append(scalar, isContent: isContent)
            }
        }
        guard field == nil else { throw fail("a single '{' in a format; write it twice") }
        return result
    }

    private func value(named name: String, _ arguments: CallArguments) -> Value? {
        if let index = Int(name) { return arguments.positional.element(index) }
        return arguments.named.last { $0.name == name }?.value
    }
}

/// One `%` field.
private struct FormatField {
    var letter: Unicode.Scalar = "%"
    var width = 0
    var precision: Int?
    var isLeft = false
    var isZeroPadded = false
    private var isInWidth = false

    /// Whether the field ends with this letter.
    mutating func take(_ scalar: Unicode.Scalar, _ fail: (String) -> TemplateError) throws(TemplateError) -> Bool {
        switch scalar {
        case "-" where !isInWidth: isLeft = true
        case "0" where !isInWidth && precision == nil: isZeroPadded = true
        case "0"..."9":
            isInWidth = true
            let digit = Int(scalar.value) - 48
            if let digits = precision { precision = digits * 10 + digit } else { width = width * 10 + digit }
            guard width < 10_000, precision ?? 0 < 10_000 else { throw fail("the width of a format is below 10000") }
        case ".": precision = 0
        default:
            letter = scalar
            return true
        }
        return false
    }
}

extension Array {
    fileprivate func element(_ index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
