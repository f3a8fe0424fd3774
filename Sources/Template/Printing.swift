/// Values as text: Python's `str` and `repr`.
extension Interpreter {
    /// What `{{ value }}` writes. Digits and words of values count as content: a template writes no special token
    /// with them.
    func printed(_ value: Value) throws(TemplateError) -> Text {
        switch value {
        case .text(let text): return text
        case .undefined: return Text()
        default:
            var result = Text()
            try represent(value, into: &result)
            return result
        }
    }

    /// Appends Python's `repr` of a value.
    func represent(_ value: Value, into result: inout Text) throws(TemplateError) {
        try charge()
        switch value {
        case .undefined: result.append("Undefined")
        case .none: result.append("None", isContent: true)
        case .bool(let value): result.append(value ? "True" : "False", isContent: true)
        case .integer(let value): result.append(String(value), isContent: true)
        case .number(let value): result.append("\(value)", isContent: true)
        case .text(let text): try represent(text, into: &result)
        case .items(let items): try represent(items, into: &result)
        case .mapping(let mapping):
            result.append("{")
            for (index, (key, value)) in mapping.entries.enumerated() {
                if index > 0 { result.append(", ") }
                try represent(key, into: &result)
                result.append(": ")
                try represent(value, into: &result)
            }
            result.append("}")
        case .namespace, .loop, .macro, .function, .method:
            throw fail("a '\(value.typeName)' cannot be written as text")
        }
    }

    private func represent(_ items: Items, into result: inout Text) throws(TemplateError) {
        guard items.kind != .generator else {
            throw fail("the result of a filter cannot be written as text; add '| list'")
        }
        let isTuple = items.kind == .tuple
        let isView = !items.kind.isSequence
        if isView { result.append(items.kind.rawValue + "(") }
        result.append(isTuple ? "(" : "[")
        for (index, value) in items.elements.enumerated() {
            if index > 0 { result.append(", ") }
            try represent(value, into: &result)
        }
        result.append(isTuple ? items.elements.count == 1 ? ",)" : ")" : "]")
        if isView { result.append(")") }
    }

    private func represent(_ text: Text, into result: inout Text) throws(TemplateError) {
        try allocate(text.cost * 2)
        let quote: Unicode.Scalar =
            text.bytes.contains(UInt8(ascii: "'")) && !text.bytes.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        result.append(quote, isContent: false)
        for (scalar, _, isContent) in text.scalars {
            switch scalar {
            case quote, "\\": result.append("\\\(scalar)", isContent: isContent)
            case "\n": result.append("\\n", isContent: isContent)
            case "\r": result.append("\\r", isContent: isContent)
            case "\t": result.append("\\t", isContent: isContent)
            default:
                if scalar.isPrintable {
                    result.append(scalar, isContent: isContent)
                } else {
                    result.append(scalar.pythonEscape, isContent: isContent)
                }
            }
        }
        result.append(quote, isContent: false)
    }
}

extension Unicode.Scalar {
    /// Whether Python's `repr` shows it as it is.
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: self == " "
        default: true
        }
    }

    fileprivate var pythonEscape: String {
        if value < 0x100 { return "\\x" + hexadecimal(value, digits: 2) }
        return value < 0x10000 ? "\\u" + hexadecimal(value, digits: 4) : "\\U" + hexadecimal(value, digits: 8)
    }
}

/// Lower-case hexadecimal digits, zeros before them.
func hexadecimal(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
