/// Methods of strings, lists and dictionaries. Those that change their value do not exist: values do not change.
extension Interpreter {
    private static let textMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "startswith", "endswith", "upper", "lower", "title",
        "capitalize",
        "casefold", "swapcase", "replace", "find", "rfind", "index", "rindex", "count", "join", "format", "splitlines",
        "removeprefix", "removesuffix", "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace", "isupper",
        "islower", "zfill", "ljust", "rjust", "center", "partition", "rpartition",
    ]
    private static let itemMethods: Set<String> = ["index", "count"]
    private static let mappingMethods: Set<String> = ["get", "items", "keys", "values", "copy"]

    func hasMethod(_ name: String, _ value: Value) -> Bool {
        switch value {
        case .text: Self.textMethods.contains(name)
        case .items: Self.itemMethods.contains(name)
        case .mapping: Self.mappingMethods.contains(name)
        default: false
        }
    }

    func callMethod(_ name: String, _ receiver: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        try enter()
        defer { leave() }
        switch receiver {
        case .text(let text):
            try scan(text)
            return try callText(name, text, arguments)
        case .items(let items): return try callItems(name, items, arguments)
        case .mapping(let mapping): return try callMapping(name, mapping, arguments)
        case .loop(let loop): return try callLoop(name, loop, arguments)
        default: preconditionFailure("only these have methods")
        }
    }

    private func callItems(_ name: String, _ items: Items, _ arguments: CallArguments) throws(TemplateError) -> Value {
        guard let wanted = try bind(name, arguments, ["value"])[0] else { throw fail("\(name) takes a value") }
        var count = 0
        for (index, element) in items.elements.enumerated() where try equal(element, wanted) {
            if name == "index" { return .integer(index) }
            count += 1
        }
        guard name == "count" else { throw fail("the value is not in the list") }
        return .integer(count)
    }

    private func callMapping(_ name: String, _ mapping: Mapping, _ arguments: CallArguments) throws(TemplateError)
        -> Value
    {
        if name == "get" {
            let values = try bind(name, arguments, ["key", "default"])
            guard let wanted = values[0] else { throw fail("get takes a key") }
            return mapping[try key(wanted)] ?? values[1] ?? .none
        }
        _ = try bind(name, arguments, [])
        switch name {
        case "items": return try made(.pairs, try pairs(mapping))
        case "keys": return try made(.keys, mapping.entries.map(\.key))
        case "values": return try made(.values, mapping.entries.map(\.value))
        default: return .mapping(mapping)
        }
    }

    // MARK: - Strings

    private func callText(_ name: String, _ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch name {
        case "strip", "lstrip", "rstrip":
            let characters = try bind(name, arguments, ["chars"])[0]
            return try strip(text, characters, leading: name != "rstrip", trailing: name != "lstrip")
        case "split", "rsplit": return try split(name, text, arguments)
        case "splitlines":
            let keepEnds = try bind(name, arguments, ["keepends"])[0]?.isTrue == true
            try allocate(text.cost * 2 + text.bytes.count * 16)
            return try made(.list, text.lines(keepEnds: keepEnds).map(Value.text))
        case "replace":
            let values = try bind(name, arguments, ["old", "new", "count"])
            return try replace(
                text, try self.text(values[0], name), try self.text(values[1], name), try count(values[2]))
        case "startswith", "endswith": return try hasAffix(name, text, arguments)
        case "find", "rfind", "index", "rindex", "count": return try search(name, text, arguments)
        case "removeprefix", "removesuffix":
            let affix = try self.text(try bind(name, arguments, ["affix"])[0], name)
            let isPrefix = name == "removeprefix"
            guard isPrefix ? text.hasPrefix(affix) : text.hasSuffix(affix) else { return .text(text) }
            let width = affix.bytes.count
            return try made(text.slice(isPrefix ? width..<text.bytes.count : 0..<text.bytes.count - width))
        case "join":
            guard let values = try bind(name, arguments, ["iterable"])[0] else { throw fail("join takes what to join") }
            for value in try elements(values) where value.asText == nil {
                throw fail("join takes strings, not '\(value.typeName)'; use the filter join")
            }
            return try join(try elements(values), text, attribute: nil)
        case "format": return try made(try braceFormat(text, arguments))
        case "partition", "rpartition": return try partition(name, text, arguments)
        case "zfill", "ljust", "rjust", "center": return try padded(name, text, arguments)
        case "upper", "lower", "title", "capitalize", "casefold", "swapcase":
            _ = try bind(name, arguments, [])
            return try changeCase(name, text)
        default:
            _ = try bind(name, arguments, [])
            try charge(text.bytes.count / 8)
            return .bool(isAll(name, text))
        }
    }

    func text(_ value: Value?, _ what: String) throws(TemplateError) -> Text {
        guard case .text(let text)? = value else {
            throw fail("\(what) takes a string, not '\(value?.typeName ?? "nothing")'")
        }
        return text
    }

    func strip(_ text: Text, _ characters: Value?, leading: Bool, trailing: Bool) throws(TemplateError) -> Value {
        try scan(text)
        if let characters, !characters.isNone {
            let set = try self.text(characters, "strip")
            try allocate(set.bytes.count * 16)
            let scalars = Set(set.scalars.map(\.scalar))
            return try made(text.stripped(leading: leading, trailing: trailing) { scalars.contains($0) })
        }
        return try made(text.stripped(leading: leading, trailing: trailing, where: \.isPythonSpace))
    }

    private func split(_ name: String, _ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind(name, arguments, ["sep", "maxsplit"])
        let limit = try count(values[1])
        try allocate(text.cost * 2)
        guard let separator = values[0], !separator.isNone else {
            try allocate(text.bytes.count * 32)
            try charge(text.bytes.count / 8)
            guard name == "rsplit", limit != .max else {
                return try made(.list, text.words(limit: limit == .max ? -1 : limit).map(Value.text))
            }
            throw fail("rsplit takes a separator when the number of cuts is limited")
        }
        let pattern = try self.text(separator, name)
        guard !pattern.isEmpty else { throw fail("the separator of \(name) is empty") }
        try allocate(pattern.bytes.count * 8)
        var offsets = try self.offsets(of: pattern, in: text)
        if limit < offsets.count { offsets = Array(name == "split" ? offsets.prefix(limit) : offsets.suffix(limit)) }
        try allocate(offsets.count * 80)
        return try made(.list, text.split(at: offsets, width: pattern.bytes.count).map(Value.text))
    }

    /// Where a pattern stands, none overlapping another.
    private func offsets(of pattern: Text, in text: Text) throws(TemplateError) -> [Int] {
        try scan(text)
        try allocate(pattern.bytes.count * 8)
        let offsets = text.offsets(of: pattern)
        try allocate(offsets.count * 8)
        return offsets
    }

    func replace(_ text: Text, _ old: Text, _ new: Text, _ limit: Int) throws(TemplateError) -> Value {
        try allocate(text.cost)
        // An empty text stands before every character and at the end.
        let offsets = old.isEmpty ? text.scalarOffsets : try self.offsets(of: old, in: text)
        let used = offsets.prefix(limit)
        let (growth, overflow) = new.cost.multipliedReportingOverflow(by: used.count)
        try allocate(overflow ? .max : growth)
        try charge(used.count)
        var result = Text()
        var start = 0
        for offset in used {
            result.append(text.slice(start..<offset))
            result.append(new)
            start = offset + old.bytes.count
        }
        result.append(text.slice(start..<text.bytes.count))
        return .text(result)
    }

    private func hasAffix(_ name: String, _ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let wanted = try bind(name, arguments, ["affix"])[0] ?? .none
        let candidates: [Value] =
            if case .items(let items) = wanted, items.kind == .tuple { items.elements } else { [wanted] }
        for candidate in candidates {
            let affix = try self.text(candidate, name)
            try scan(affix)
            if name == "startswith" ? text.hasPrefix(affix) : text.hasSuffix(affix) { return .bool(true) }
        }
        return .bool(false)
    }

    private func search(_ name: String, _ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let pattern = try self.text(try bind(name, arguments, ["sub"])[0], name)
        if pattern.isEmpty {
            return .integer(name == "count" ? text.length + 1 : name.hasPrefix("r") ? text.length : 0)
        }
        let offsets = try self.offsets(of: pattern, in: text)
        if name == "count" { return .integer(offsets.count) }
        guard var offset = offsets.first else {
            guard name.hasSuffix("find") else { throw fail("the text is not found by \(name)") }
            return .integer(-1)
        }
        if name.hasPrefix("r") {
            // The last place may overlap the one before it, which the search from the front passed over.
            offset = try lastOffset(of: pattern, in: text, atLeast: offsets[offsets.count - 1])
        }
        return .integer(text.slice(0..<offset).length)
    }

    private func lastOffset(of pattern: Text, in text: Text, atLeast found: Int) throws(TemplateError) -> Int {
        var last = found
        while let next = text.offsets(of: pattern, from: last + 1, limit: 1).first {
            try charge(1 + pattern.bytes.count)
            last = next
        }
        return last
    }

    private func partition(_ name: String, _ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let separator = try self.text(try bind(name, arguments, ["sep"])[0], name)
        guard !separator.isEmpty else { throw fail("the separator of \(name) is empty") }
        let offsets = try self.offsets(of: separator, in: text)
        try allocate(text.cost)
        guard let first = offsets.first, let last = offsets.last else {
            let parts = name == "partition" ? [text, Text(), Text()] : [Text(), Text(), text]
            return try made(.tuple, parts.map(Value.text))
        }
        let start = name == "partition" ? first : try lastOffset(of: separator, in: text, atLeast: last)
        let end = start + separator.bytes.count
        let parts = [text.slice(0..<start), separator, text.slice(end..<text.bytes.count)]
        return try made(.tuple, parts.map(Value.text))
    }

    private func padded(_ name: String, _ text: Text, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind(name, arguments, name == "zfill" ? ["width"] : ["width", "fillchar"])
        guard let width = values[0]?.asInteger else { throw fail("\(name) takes a width") }
        let fill = name == "zfill" ? Text("0") : values[1]?.asText ?? Text(" ")
        guard fill.length == 1 else { throw fail("the fill of \(name) is one character") }
        let length = text.length
        guard width > length else { return .text(text) }
        let missing = width - length
        var before = name == "ljust" ? 0 : missing
        if name == "center" { before = missing / 2 + (missing & width & 1) }
        guard case .text(var result) = try repeated(fill, before),
            case .text(let after) = try repeated(fill, missing - before)
        else { return .text(text) }
        if name == "zfill", let sign = text.bytes.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            return try made(text.slice(0..<1).appending(result).appending(text.slice(1..<text.bytes.count)))
        }
        result.append(text)
        result.append(after)
        return try made(result)
    }

    private func changeCase(_ name: String, _ text: Text) throws(TemplateError) -> Value {
        try allocate(text.cost)
        try charge(text.bytes.count / 8)
        switch name {
        case "upper": return try made(text.uppercased)
        case "title": return try made(text.titled)
        case "capitalize": return try made(text.capitalized)
        case "swapcase":
            return try made(
                text.mapped { scalar, _ in
                    scalar.properties.isUppercase
                        ? scalar.properties.lowercaseMapping : scalar.properties.uppercaseMapping
                })
        default: return try made(text.lowercased)
        }
    }

    /// Python's `isdigit` and its like: false for empty text.
    private func isAll(_ name: String, _ text: Text) -> Bool {
        if name == "isupper" || name == "islower" { return isCased(text, upper: name == "isupper") }
        return !text.isEmpty
            && text.scalars.allSatisfy { scalar, _, _ in
                let type = scalar.properties.numericType
                switch name {
                case "isdecimal": return type == .decimal
                case "isdigit": return type == .decimal || type == .digit
                case "isnumeric": return type != nil
                case "isspace": return scalar.isPythonSpace
                case "isalpha": return scalar.isPythonLetter
                default: return scalar.isPythonLetter || type != nil
                }
            }
    }
}

extension Value {
    var isNone: Bool { if case .none = self { true } else { false } }
}

extension Unicode.Scalar {
    fileprivate var isPythonLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }
}
