/// Expressions.
extension Interpreter {
    func evaluate(_ expression: Expression, _ scope: Scope) throws(TemplateError) -> Value {
        try enter()
        defer { leave() }
        line = expression.line
        switch expression.kind {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .number(let value): return .number(value)
        case .text(let text): return .text(text)
        case .name(let name): return variable(name, scope)
        case .attribute(let value, let name): return try attribute(name, of: try evaluate(value, scope))
        case .item(let value, let key): return try item(try evaluate(value, scope), try evaluate(key, scope))
        case .call: return try call(expression, scope, caller: nil)
        case .not(let value): return .bool(!(try evaluate(value, scope).isTrue))
        case .and(let a, let b):
            let left = try evaluate(a, scope)
            return left.isTrue ? try evaluate(b, scope) : left
        case .or(let a, let b):
            let left = try evaluate(a, scope)
            return left.isTrue ? left : try evaluate(b, scope)
        case .conditional(let test, let then, let otherwise):
            if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
            return try otherwise.map { value throws(TemplateError) in try evaluate(value, scope) }
                ?? .undefined("the inline if-expression has no else and its condition is false")
        default: return try evaluateOther(expression, scope)
        }
    }

    /// The rarer half, apart so that the frame of the common one stays small.
    private func evaluateOther(_ expression: Expression, _ scope: Scope) throws(TemplateError) -> Value {
        switch expression.kind {
        case .list(let values): return try made(.list, try evaluate(values, scope))
        case .tuple(let values): return try made(.tuple, try evaluate(values, scope))
        case .mapping(let members): return try mapping(members, scope)
        case .slice(let value, let a, let b, let c): return try slice(value, a, b, c, scope)
        case .filter(let value, let name, let arguments):
            guard let value else { throw fail("the filter '\(name)' has no value") }
            let input = try evaluate(value, scope)
            let arguments = try self.arguments(arguments, scope)
            line = expression.line
            return try applyFilter(name, input, arguments)
        case .test(let value, let name, let arguments):
            let input = try evaluate(value, scope)
            let arguments = try self.arguments(arguments, scope)
            line = expression.line
            return .bool(try applyTest(name, input, arguments))
        case .negative(let value): return try negated(try evaluate(value, scope))
        case .positive(let value): return try positive(try evaluate(value, scope))
        case .binary(let sign, let a, let b):
            let left = try evaluate(a, scope)
            let right = try evaluate(b, scope)
            line = expression.line
            return try apply(sign, left, right)
        case .compare(let first, let others): return try compare(first, others, scope)
        case .concatenation(let parts):
            var result = Text()
            for value in try evaluate(parts, scope) {
                let text = try printed(value)
                try allocate(text.cost)
                result.append(text)
            }
            return .text(result)
        default: preconditionFailure("evaluate handles the others")
        }
    }

    private func evaluate(_ expressions: [Expression], _ scope: Scope) throws(TemplateError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(expressions.count)
        for expression in expressions { values.append(try evaluate(expression, scope)) }
        return values
    }

    func variable(_ name: String, _ scope: Scope) -> Value {
        if let value = scope.find(name) { return value }
        return Value.Function(rawValue: name).map(Value.function) ?? .undefined("'\(name)' is undefined")
    }

    private func mapping(
        _ members: [(key: Expression, value: Expression)], _ scope: Scope
    ) throws(TemplateError) -> Value {
        var mapping = Mapping()
        for (key, value) in members {
            let key = try evaluate(key, scope)
            mapping.set(try self.key(key), key, try evaluate(value, scope))
        }
        return try made(mapping)
    }

    /// A value as the key of a dictionary.
    func key(_ value: Value) throws(TemplateError) -> Mapping.Key {
        if case .text(let text) = value { try scan(text) }
        guard let key = Mapping.Key(value) else { throw fail("'\(value.typeName)' is no key of a dictionary") }
        return key
    }

    // MARK: - Parts of values

    /// `value.name`: a method, or else a member.
    func attribute(_ name: String, of value: Value) throws(TemplateError) -> Value {
        switch value {
        case .undefined(let what): throw fail(what)
        case .namespace(let namespace):
            if let found = namespace.values.first(where: { $0.name == name }) { return found.value }
        case .loop(let loop): return try attribute(name, of: loop)
        default:
            if hasMethod(name, value) { return try makeMethod(value, name) }
            if case .mapping(let mapping) = value, let found = mapping[.text(Text(name))] { return found }
        }
        return missing(name, in: value)
    }

    private func missing(_ name: String, in value: Value) -> Value {
        .undefined("'\(value.typeName) object' has no attribute '\(name.prefix(80))'")
    }

    /// `value[key]`: a member, or else a method.
    func item(_ value: Value, _ key: Value) throws(TemplateError) -> Value {
        switch value {
        case .undefined(let what): throw fail(what)
        case .items(let items) where items.kind.isSequence:
            if let index = key.asInteger {
                guard let position = wrapped(index, items.elements.count) else { break }
                return items.elements[position]
            }
        case .mapping(let mapping):
            if case .text(let text) = key { try scan(text) }
            if let name = Mapping.Key(key), let found = mapping[name] { return found }
        case .text(let text):
            if let index = key.asInteger {
                try scan(text)
                try charge(text.bytes.count / 16)
                guard let position = wrapped(index, text.length) else { break }
                return .text(text.slice(text.range(ofScalar: position)))
            }
        default: break
        }
        guard case .text(let name) = key, name.bytes.count <= 64 else {
            return .undefined("'\(value.typeName) object' has no such element")
        }
        if case .mapping = value, !hasMethod(name.string, value) { return missing(name.string, in: value) }
        return try attribute(name.string, of: value)
    }

    /// An index as Python counts, negative ones from the end; nil outside.
    private func wrapped(_ index: Int, _ count: Int) -> Int? {
        let position = index < 0 ? index.addingReportingOverflow(count).partialValue : index
        return position >= 0 && position < count ? position : nil
    }

    private func slice(
        _ value: Expression, _ start: Expression?, _ stop: Expression?, _ step: Expression?, _ scope: Scope
    ) throws(TemplateError) -> Value {
        let input = try evaluate(value, scope)
        let start = try bound(start, scope)
        let stop = try bound(stop, scope)
        let step = try bound(step, scope) ?? 1
        guard step != 0 else { throw fail("the step of a slice is zero") }
        switch input {
        case .undefined(let what): throw fail(what)
        case .items(let items) where items.kind.isSequence:
            try allocate(items.elements.count * 8)
            let positions = slicePositions(items.elements.count, start, stop, step)
            return try made(items.kind, positions.map { items.elements[$0] })
        case .text(let text):
            try scan(text)
            try allocate(text.bytes.count * 8)
            let offsets = text.scalarOffsets
            let positions = slicePositions(offsets.count - 1, start, stop, step)
            if step == 1 {
                guard let first = positions.first, let last = positions.last else { return .text(Text()) }
                return try made(text.slice(offsets[first]..<offsets[last + 1]))
            }
            try charge(positions.count)
            var result = Text()
            for position in positions { result.append(text.slice(offsets[position]..<offsets[position + 1])) }
            return try made(result)
        default: return .undefined("'\(input.typeName) object' has no parts")
        }
    }

    private func bound(_ expression: Expression?, _ scope: Scope) throws(TemplateError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression, scope)
        if case .none = value { return nil }
        guard let index = value.asInteger else {
            throw fail("slice indices are integers or none, not '\(value.typeName)'")
        }
        return index
    }

    /// The positions of a slice of `count` elements.
    private func slicePositions(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> [Int] {
        let low = step > 0 ? 0 : -1
        let high = step > 0 ? count : count - 1
        func clamp(_ bound: Int) -> Int {
            min(max(bound < 0 ? bound.addingReportingOverflow(count).partialValue : bound, low), high)
        }
        let from = start.map(clamp) ?? (step > 0 ? low : high)
        let to = stop.map(clamp) ?? (step > 0 ? high : low)
        // A longer stride takes the same positions, and one of the least integer has no opposite.
        return Array(stride(from: from, to: to, by: min(max(step, -count - 1), count + 1)))
    }

    // MARK: - Comparisons

    private func compare(
        _ first: Expression, _ others: [(Expression.Comparison, Expression)], _ scope: Scope
    ) throws(TemplateError) -> Value {
        var left = try evaluate(first, scope)
        for (comparison, other) in others {
            let right = try evaluate(other, scope)
            guard try compare(comparison, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }
}

extension Text {
    /// Where the scalar at an index below `length` is.
    func range(ofScalar index: Int) -> Range<Int> {
        var seen = -1
        for (position, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 {
            seen += 1
            if seen == index { return position..<decodeScalar(bytes, at: position).end }
        }
        preconditionFailure("the index is below the length")
    }
}
