/// Filters of lists and of whatever else can be gone through.
extension Interpreter {
    func sequenceFilter(
        _ name: String, _ value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value? {
        switch name {
        case "length", "count": return .integer(try length(value))
        case "first": return try elements(value).first ?? .undefined("there is no first item: the sequence is empty")
        case "last": return try elements(value).last ?? .undefined("there is no last item: the sequence is empty")
        case "list": return try made(.list, try elements(value))
        case "join":
            let values = try bind(name, arguments, ["d", "attribute"])
            return try join(try elements(value), try printed(values[0] ?? .text(Text())), attribute: values[1])
        case "reverse":
            if case .text(let text) = value {
                var result = Text()
                for part in try elements(.text(text)).reversed() { result.append(try printed(part)) }
                return try made(result)
            }
            return try made(.generator, try elements(value).reversed())
        case "unique": return try unique(value, arguments)
        case "sum":
            let values = try bind(name, arguments, ["attribute", "start"])
            var sum = values[1] ?? .integer(0)
            for element in try elements(value) { sum = try apply(.add, sum, try member(values[0], of: element)) }
            return sum
        case "min", "max":
            let values = try bind(name, arguments, ["case_sensitive", "attribute"])
            let sorted = try sorted(
                try keyed(try elements(value), values[1], isCaseSensitive: values[0]?.isTrue == true),
                reversed: name == "max"
            ) { ($0.key, $1.key) }
            return sorted.first?.value ?? .undefined("the sequence is empty")
        case "sort":
            let values = try bind(name, arguments, ["reverse", "case_sensitive", "attribute"])
            let sorted = try sorted(
                try keyed(try elements(value), values[2], isCaseSensitive: values[1]?.isTrue == true),
                reversed: values[0]?.isTrue == true
            ) { ($0.key, $1.key) }
            return try made(.list, sorted.map(\.value))
        case "dictsort": return try dictionarySorted(value, arguments)
        case "batch": return try batches(value, arguments)
        default: return nil
        }
    }

    func length(_ value: Value) throws(TemplateError) -> Int {
        switch value {
        case .undefined: return 0
        case .text(let text):
            try scan(text)
            return text.length
        case .items(let items) where items.kind != .generator: return items.elements.count
        case .mapping(let mapping): return mapping.entries.count
        case .loop(let loop): return loop.elements.count
        default: throw fail("'\(value.typeName)' object has no length; add '| list' after a filter")
        }
    }

    func join(_ values: [Value], _ separator: Text, attribute: Value?) throws(TemplateError) -> Value {
        var result = Text()
        for (index, value) in values.enumerated() {
            let text = try printed(try member(attribute, of: value))
            try allocate(text.cost + separator.cost)
            if index > 0 { result.append(separator) }
            result.append(text)
        }
        return .text(result)
    }

    /// The part of a value that an `attribute` argument names, such as `function.name`; the value itself without one.
    private func member(_ attribute: Value?, of value: Value) throws(TemplateError) -> Value {
        guard let attribute, !attribute.isUndefined else { return value }
        if case .none = attribute { return value }
        guard case .text(let path) = attribute else { return try item(value, attribute) }
        try allocate(path.cost * 2)
        var result = value
        for part in path.split(at: path.offsets(of: Text(".")), width: 1) {
            result = try item(result, Int(part.string).map(Value.integer) ?? .text(part))
        }
        return result
    }

    // MARK: - Choosing

    func choiceFilter(
        _ name: String, _ value: Value, _ arguments: CallArguments
    ) throws(TemplateError) -> Value? {
        switch name {
        case "map": return try mapped(value, arguments)
        case "select", "reject": return try chosen(value, arguments, attribute: nil, keeps: name == "select")
        case "selectattr", "rejectattr":
            guard let attribute = arguments.positional.first else {
                throw fail("\(name) takes the name of an attribute")
            }
            var rest = arguments
            rest.positional.removeFirst()
            return try chosen(value, rest, attribute: attribute, keeps: name == "selectattr")
        default: return nil
        }
    }

    private func chosen(
        _ value: Value, _ arguments: CallArguments, attribute: Value?, keeps: Bool
    ) throws(TemplateError) -> Value {
        var rest = arguments
        let test = rest.positional.isEmpty ? nil : try name(rest.positional.removeFirst(), "test")
        var kept: [Value] = []
        for element in try elements(value) {
            let part = try member(attribute, of: element)
            let isTrue = try test.map { test throws(TemplateError) in try applyTest(test, part, rest) } ?? part.isTrue
            try charge()
            if isTrue == keeps { kept.append(element) }
        }
        return try made(.generator, kept)
    }

    private func mapped(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        var results: [Value] = []
        if arguments.positional.isEmpty {
            let values = try bind("map", arguments, ["attribute", "default"])
            guard let attribute = values[0] else { throw fail("map takes a filter or an attribute") }
            for element in try elements(value) {
                let part = try member(attribute, of: element)
                results.append(part.isUndefined ? values[1] ?? part : part)
            }
        } else {
            var rest = arguments
            let filter = try name(rest.positional.removeFirst(), "filter")
            for element in try elements(value) { results.append(try applyFilter(filter, element, rest)) }
        }
        return try made(.generator, results)
    }

    private func name(_ value: Value, _ what: String) throws(TemplateError) -> String {
        guard case .text(let name) = value else {
            throw fail("the name of a \(what) is a string, not '\(value.typeName)'")
        }
        return name.string
    }

    // MARK: - Order

    /// Values with what they are sorted by.
    private func keyed(
        _ values: [Value], _ attribute: Value?, isCaseSensitive: Bool
    ) throws(TemplateError) -> [(key: Value, value: Value)] {
        var result: [(key: Value, value: Value)] = []
        for value in values {
            let key = try member(attribute, of: value)
            result.append((isCaseSensitive ? key : try folded(key), value))
        }
        return result
    }

    private func folded(_ value: Value) throws(TemplateError) -> Value {
        guard case .text(let text) = value else { return value }
        try charge(text.bytes.count / 8)
        return try made(text.lowercased)
    }

    /// Merge sort: stable, and every comparison is a step.
    func sorted<Element>(
        _ elements: [Element], reversed: Bool = false, by keys: (Element, Element) -> (Value, Value)
    ) throws(TemplateError) -> [Element] {
        guard elements.count > 1 else { return elements }
        let middle = elements.count / 2
        let left = try sorted(Array(elements[..<middle]), reversed: reversed, by: keys)
        let right = try sorted(Array(elements[middle...]), reversed: reversed, by: keys)
        try allocate(elements.count * MemoryLayout<Element>.stride)
        var result: [Element] = []
        var taken = 0
        for element in right {
            while taken < left.count {
                let (one, other) = keys(left[taken], element)
                if try order(one, other) == (reversed ? .before : .after) { break }
                result.append(left[taken])
                taken += 1
            }
            result.append(element)
        }
        return result + left[taken...]
    }

    private func dictionarySorted(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("dictsort", arguments, ["case_sensitive", "by", "reverse"])
        guard case .mapping(let mapping) = value else {
            throw fail("dictsort takes a dictionary, not '\(value.typeName)'")
        }
        let by = values[1].flatMap(\.asText)?.string ?? "key"
        guard by == "key" || by == "value" else { throw fail("dictsort sorts by 'key' or 'value'") }
        let pairs = try keyed(
            try self.pairs(mapping), .integer(by == "key" ? 0 : 1), isCaseSensitive: values[0]?.isTrue == true)
        return try made(.list, try sorted(pairs, reversed: values[2]?.isTrue == true) { ($0.key, $1.key) }.map(\.value))
    }

    private func unique(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("unique", arguments, ["case_sensitive", "attribute"])
        let candidates = try keyed(try elements(value), values[1], isCaseSensitive: values[0]?.isTrue == true)
        var seen: Set<Mapping.Key> = []
        var kept: [Value] = []
        for (key, value) in candidates where seen.insert(try self.key(key)).inserted { kept.append(value) }
        return try made(.generator, kept)
    }

    private func batches(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = try bind("batch", arguments, ["linecount", "fill_with"])
        guard let size = values[0]?.asInteger, size > 0 else { throw fail("batch takes a positive number of items") }
        let elements = try elements(value)
        var batches: [Value] = []
        var start = 0
        while start < elements.count {
            let count = min(size, elements.count - start)
            var batch = Array(elements[start..<start + count])
            if let fill = values[1], count < size {
                if case .none = fill { break }
                try allocate(min(size, 1 << 40) * MemoryLayout<Value>.stride)
                batch += repeatElement(fill, count: size - count)
            }
            batches.append(try made(.list, batch))
            start += count
        }
        return try made(.generator, batches)
    }
}
