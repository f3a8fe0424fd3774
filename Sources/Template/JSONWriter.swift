/// The `tojson` filter as transformers defines it: `json.dumps` that keeps Unicode and the order of keys.
struct JSONWriter {
    private let interpreter: Interpreter
    private let isASCII: Bool
    private let sortsKeys: Bool
    private let itemSeparator: Text
    private let keySeparator: Text
    private let indent: Text?
    private var result = Text()

    static func text(
        of value: Value, _ interpreter: Interpreter, isASCII: Bool, indent: Text?, separators: (item: Text, key: Text)?,
        sortsKeys: Bool
    ) throws(TemplateError) -> Text {
        var writer = JSONWriter(
            interpreter: interpreter, isASCII: isASCII, sortsKeys: sortsKeys,
            itemSeparator: separators?.item ?? Text(indent == nil ? ", " : ","),
            keySeparator: separators?.key ?? Text(": "), indent: indent)
        try writer.write(value, depth: 0)
        return writer.result
    }

    private mutating func write(_ value: Value, depth: Int) throws(TemplateError) {
        try interpreter.charge()
        switch value {
        case .none: result.append("null", isContent: true)
        case .bool(let value): result.append(value ? "true" : "false", isContent: true)
        case .integer(let value): result.append(String(value), isContent: true)
        case .number(let value): result.append(number(value), isContent: true)
        case .text(let text): try write(text)
        case .items(let items) where items.kind.isSequence:
            guard !items.elements.isEmpty else { return result.append("[]") }
            result.append("[")
            for (index, element) in items.elements.enumerated() {
                try separate(isFirst: index == 0, depth: depth + 1)
                try write(element, depth: depth + 1)
            }
            try breakLine(depth)
            result.append("]")
        case .mapping(let mapping): try write(mapping, depth)
        default: throw interpreter.fail("a value of type '\(value.typeName)' has no JSON")
        }
    }

    private mutating func write(_ mapping: Mapping, _ depth: Int) throws(TemplateError) {
        guard !mapping.entries.isEmpty else { return result.append("{}") }
        var entries = mapping.entries
        if sortsKeys {
            entries = try interpreter.sorted(entries) { ($0.key, $1.key) }
        }
        result.append("{")
        for (index, (key, value)) in entries.enumerated() {
            try separate(isFirst: index == 0, depth: depth + 1)
            switch key {
            case .text(let text): try write(text)
            default:
                result.append("\"")
                try write(key, depth: depth)
                result.append("\"")
            }
            try append(keySeparator)
            try write(value, depth: depth + 1)
        }
        try breakLine(depth)
        result.append("}")
    }

    private mutating func separate(isFirst: Bool, depth: Int) throws(TemplateError) {
        if !isFirst { try append(itemSeparator) }
        try breakLine(depth)
    }

    private mutating func breakLine(_ depth: Int) throws(TemplateError) {
        guard let indent else { return }
        result.append("\n")
        for _ in 0..<depth { try append(indent) }
    }

    private mutating func append(_ text: Text) throws(TemplateError) {
        try interpreter.allocate(text.cost)
        result.append(text)
    }

    private func number(_ value: Double) -> String {
        value.isNaN ? "NaN" : value.isInfinite ? value < 0 ? "-Infinity" : "Infinity" : "\(value)"
    }

    private mutating func write(_ text: Text) throws(TemplateError) {
        try interpreter.allocate(text.cost * 2)
        result.append("\"")
        for (scalar, _, isContent) in text.scalars {
            switch scalar {
            case "\"": result.append("\\\"", isContent: isContent)
            case "\\": result.append("\\\\", isContent: isContent)
            case "\n": result.append("\\n", isContent: isContent)
            case "\r": result.append("\\r", isContent: isContent)
            case "\t": result.append("\\t", isContent: isContent)
            case "\u{8}": result.append("\\b", isContent: isContent)
            case "\u{C}": result.append("\\f", isContent: isContent)
            default:
                if scalar.value < 0x20 || (isASCII && scalar.value > 0x7E) {
                    for unit in String(scalar).utf16 {
                        result.append("\\u" + hexadecimal(UInt32(unit), digits: 4), isContent: isContent)
                    }
                } else {
                    result.append(scalar, isContent: isContent)
                }
            }
        }
        result.append("\"")
    }
}
