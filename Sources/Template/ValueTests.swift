/// Tests: what stands after `is`.
extension Interpreter {
    func applyTest(_ name: String, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Bool {
        try charge()
        if let result = kindTest(name, value) {
            _ = try bind(name, arguments, [])
            return result
        }
        switch name {
        case "true":
            guard case .bool(true) = value else { return false }
            return true
        case "false":
            guard case .bool(false) = value else { return false }
            return true
        case "odd", "even":
            guard let integer = value.asInteger else {
                throw fail("'\(name)' takes an integer, not '\(value.typeName)'")
            }
            return (integer % 2 == 0) == (name == "even")
        case "lower", "upper":
            let text = try printed(value)
            try charge(text.bytes.count / 8)
            return isCased(text, upper: name == "upper")
        case "filter", "test": throw fail("the test '\(name)' is not supported here")
        default: break
        }
        guard let other = try bind("test '\(name.prefix(80))'", arguments, ["other"])[0] else {
            throw fail("there is no test '\(name.prefix(80))' without an argument")
        }
        switch name {
        case "divisibleby":
            let remainder = try apply(.modulo, value, other)
            return try equal(remainder, .integer(0))
        case "sameas": return value.typeName == other.typeName ? try equal(value, other) : false
        default: break
        }
        guard let comparison = Self.comparisons[name] else { throw fail("there is no test '\(name.prefix(80))'") }
        return try compare(comparison, value, other)
    }

    private func kindTest(_ name: String, _ value: Value) -> Bool? {
        switch (name, value) {
        case ("defined", _): !value.isUndefined
        case ("undefined", _): value.isUndefined
        case ("none", .none), ("boolean", .bool), ("integer", .integer), ("float", .number), ("string", .text),
            ("mapping", .mapping):
            true
        case ("none", _), ("boolean", _), ("integer", _), ("float", _), ("string", _), ("mapping", _): false
        case ("number", _): value.asNumber != nil
        case ("sequence", .text), ("sequence", .mapping), ("sequence", .undefined): true
        case ("sequence", .items(let items)): items.kind.isSequence
        case ("iterable", .text), ("iterable", .mapping), ("iterable", .undefined), ("iterable", .items),
            ("iterable", .loop):
            true
        case ("callable", .function), ("callable", .method), ("callable", .macro), ("callable", .undefined),
            ("callable", .loop):
            true
        case ("sequence", _), ("iterable", _), ("callable", _), ("escaped", _): false
        default: nil
        }
    }

    private static let comparisons: [String: Expression.Comparison] = [
        "eq": .equal, "equalto": .equal, "==": .equal, "ne": .notEqual, "!=": .notEqual,
        "lt": .less, "lessthan": .less, "<": .less, "le": .lessOrEqual, "<=": .lessOrEqual,
        "gt": .greater, "greaterthan": .greater, ">": .greater, "ge": .greaterOrEqual, ">=": .greaterOrEqual,
        "in": .isIn,
    ]

    /// Whether a text has cased letters, all of one case.
    func isCased(_ text: Text, upper: Bool) -> Bool {
        var hasCased = false
        for (scalar, _, _) in text.scalars where scalar.properties.isCased {
            hasCased = true
            if !(upper ? scalar.properties.isUppercase : scalar.properties.isLowercase) { return false }
        }
        return hasCased
    }
}
