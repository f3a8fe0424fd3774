/// Filters that work on text, numbers and dictionaries; `SequenceFilters.swift` has those of lists.
extension Interpreter {
    func applyFilter(_ name: String, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        try enter()
        defer { leave() }
        if let result = try textFilter(name, value, arguments) { return result }
        if let result = try valueFilter(name, value, arguments) { return result }
        if let result = try sequenceFilter(name, value, arguments) { return result }
        if let result = try choiceFilter(name, value, arguments) { return result }
        throw fail("there is no filter '\(name.prefix(80))'")
    }

    private func textFilter(
        _ name: String, _ value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value? {
        switch name {
        case "upper", "lower", "title", "capitalize":
            _ = try bind(name, arguments, [])
            let text = try printed(value)
            try allocate(text.cost)
            try charge(text.bytes.count / 8)
            switch name {
            case "upper": return try made(text.uppercased)
            case "lower": return try made(text.lowercased)
            case "title": return try made(text.titledWords)
            default: return try made(text.capitalized)
            }
        case "trim":
            let characters = try bind(name, arguments, ["chars"])[0]
            return try strip(try printed(value), characters, leading: true, trailing: true)
        case "string", "safe": return .text(try printed(value))
        case "replace":
            let values = try bind(name, arguments, ["old", "new", "count"])
            guard let old = values[0], let new = values[1] else { throw fail("replace takes the old and the new text") }
            return try replace(try printed(value), try printed(old), try printed(new), try count(values[2]))
        case "escape", "e": return try escaped(try printed(value))
        case "indent": return try indented(try printed(value), arguments)
        case "format":
            guard arguments.named.isEmpty else { throw fail("format takes no named arguments here") }
            return try made(try percentFormat(try printed(value), try made(.tuple, arguments.positional)))
        case "wordcount":
            let text = try printed(value)
            try allocate(text.cost * 2)
            return .integer(text.words(limit: -1).count)
        default: return nil
        }
    }

    private func valueFilter(
        _ name: String, _ value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value? {
        switch name {
        case "default", "d":
            let values = try bind(name, arguments, ["default_value", "boolean"])
            let replaces = value.isUndefined || (values[1]?.isTrue == true && !value.isTrue)
            return replaces ? values[0] ?? .text(Text()) : value
        case "int": return try integer(value, arguments)
        case "float":
            let fallback = try bind(name, arguments, ["default"])[0] ?? .number(0)
            if case .undefined(let what) = value { throw fail(what) }
            if let number = value.asNumber { return .number(number) }
            return value.asText.flatMap(parsedNumber).map(Value.number) ?? fallback
        case "abs":
            if let integer = value.asInteger { return integer < 0 ? try negated(.integer(integer)) : .integer(integer) }
            guard case .number(let number) = value else { throw fail("abs takes a number, not '\(value.typeName)'") }
            return .number(abs(number))
        case "round": return try rounded(value, arguments)
        case "tojson": return try json(value, arguments)
        case "items":
            if value.isUndefined { return try made(.generator, []) }
            guard case .mapping(let mapping) = value else {
                throw fail("items takes a dictionary, not '\(value.typeName)'")
            }
            return try made(.generator, try pairs(mapping))
        case "attr":
            guard case .text(let attribute)? = try bind(name, arguments, ["name"])[0] else {
                throw fail("attr takes a name")
            }
            if case .mapping = value, !hasMethod(attribute.string, value) {
                return .undefined("there is no such attribute")
            }
            return try self.attribute(attribute.string, of: value)
        default: return nil
        }
    }

    func pairs(_ mapping: Mapping) throws(TemplateError) -> [Value] {
        var pairs: [Value] = []
        for (key, value) in mapping.entries { pairs.append(try made(.tuple, [key, value])) }
        return pairs
    }

    /// A count of replacements or cuts; negative and absent ones mean no limit.
    func count(_ value: Value?) throws(TemplateError) -> Int {
        guard let value else { return .max }
        if case .none = value { return .max }
        guard let count = value.asInteger else { throw fail("a count is an integer, not '\(value.typeName)'") }
        return count < 0 ? .max : count
    }

    private func escaped(_ text: Text) throws(TemplateError) -> Value {
        try allocate(text.cost * 6)
        return .text(
            text.mapped { scalar, _ in
                switch scalar {
                case "&": "&amp;"
                case "<": "&lt;"
                case ">": "&gt;"
                case "'": "&#39;"
                case "\"": "&#34;"
                default: String(scalar)
                }
            })
    }

    private func indented(_ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("indent", arguments, ["width", "first", "blank"])
        var width = Text("    ")
        if case .text(let text)? = values[0] {
            width = text
        } else if let count = values[0]?.asInteger, case .text(let text) = try repeated(Text(" "), count) {
            width = text
        }
        try allocate(text.cost * 2 + text.bytes.count * 16)
        let isBlank = values[2]?.isTrue == true
        // An end of a line at the end of the text stays.
        let lines = text.appending(Text("\n")).lines()
        var result = values[1]?.isTrue == true ? width : Text()
        for (index, line) in lines.enumerated() {
            if index > 0 {
                try allocate(width.cost + 1)
                result.append("\n")
                if isBlank || !line.isEmpty { result.append(width) }
            }
            result.append(line)
        }
        return try made(result)
    }

    // MARK: - Numbers

    private func integer(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("int", arguments, ["default", "base"])
        let fallback = values[0] ?? .integer(0)
        let base = values[1]?.asInteger ?? 10
        guard (2...36).contains(base) else { throw fail("the base of int is from 2 to 36") }
        switch value {
        case .undefined(let what): throw fail(what)
        case .text(let text):
            try scan(text)
            var digits = text.stripped(leading: true, trailing: true, where: \.isPythonSpace).string.replacing(
                "_", with: "")
            for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)]
            where radix == base && digits.lowercased().hasPrefix(prefix) {
                digits = String(digits.dropFirst(2))
            }
            if let integer = Int(digits, radix: base) { return .integer(integer) }
            guard base == 10, let number = parsedNumber(text), let integer = Int(exactly: number.rounded(.towardZero))
            else {
                return fallback
            }
            return .integer(integer)
        case .number(let number): return Int(exactly: number.rounded(.towardZero)).map(Value.integer) ?? fallback
        default: return value.asInteger.map(Value.integer) ?? fallback
        }
    }

    /// Python's `float` of a string.
    private func parsedNumber(_ text: Text) -> Double? {
        let text = text.stripped(leading: true, trailing: true, where: \.isPythonSpace).string.lowercased()
        let isPlain = text.utf8.allSatisfy { "0123456789+-.e".utf8.contains($0) }
        let body = text.first == "+" || text.first == "-" ? String(text.dropFirst()) : text
        guard isPlain || ["inf", "infinity", "nan"].contains(body) else { return nil }
        if isPlain, text.hasSuffix(".") { return Double(text + "0") }
        return isPlain && body.hasPrefix(".") ? Double(text.replacing(".", with: "0.")) : Double(text)
    }

    private func rounded(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("round", arguments, ["precision", "method"])
        let precision = values[0]?.asInteger ?? 0
        let method = values[1].flatMap(\.asText)?.string ?? "common"
        guard let number = value.asNumber else { throw fail("round takes a number, not '\(value.typeName)'") }
        guard (0...15).contains(precision) else { throw fail("the precision of round is from 0 to 15") }
        switch method {
        case "common":
            if value.asInteger != nil { return value }
            return .number(roundedHalfEven(number, digits: precision))
        case "ceil", "floor":
            let scale = powerOfTen(precision)
            return .number((number * scale).rounded(method == "ceil" ? .up : .down) / scale)
        default: throw fail("the method of round is common, ceil or floor")
        }
    }

    private func powerOfTen(_ exponent: Int) -> Double { (0..<exponent).reduce(1.0) { scale, _ in scale * 10 } }

    /// The nearest decimal of so many digits, judged by the exact value.
    func roundedHalfEven(_ value: Double, digits: Int) -> Double {
        let scale = powerOfTen(digits)
        let scaled = value * scale
        guard abs(scaled) < 0x1p52 else { return value }
        var nearest = scaled.rounded(.toNearestOrEven)
        // The product was rounded itself; what it lost decides when it looks like a tie.
        let lost = (-scaled).addingProduct(value, scale)
        if abs(scaled - scaled.rounded(.towardZero)) == 0.5 && lost != 0 {
            nearest = lost > 0 ? scaled.rounded(.up) : scaled.rounded(.down)
        }
        return nearest / scale
    }

    // MARK: - JSON

    private func json(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("tojson", arguments, ["ensure_ascii", "indent", "separators", "sort_keys"])
        var indent: Text?
        if case .text(let text)? = values[1] {
            indent = text
        } else if let width = values[1]?.asInteger, case .text(let text) = try repeated(Text(" "), width) {
            indent = text
        }
        var separators: (item: Text, key: Text)?
        if let value = values[2], value.isTrue {
            let parts = try elements(value)
            guard parts.count == 2, let item = parts[0].asText, let key = parts[1].asText else {
                throw fail("the separators of tojson are two strings")
            }
            separators = (item, key)
        }
        return .text(
            try JSONWriter.text(
                of: value, self, isASCII: values[0]?.isTrue == true, indent: indent, separators: separators,
                sortsKeys: values[3]?.isTrue == true))
    }
}
