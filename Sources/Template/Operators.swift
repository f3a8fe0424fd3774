/// Operators, with Python's meaning and 64-bit integers that do not wrap.
extension Interpreter {
    func apply(_ sign: Expression.Operator, _ a: Value, _ b: Value) throws(TemplateError) -> Value {
        if let left = a.asInteger, let right = b.asInteger { return try integer(sign, left, right) }
        if let left = a.asNumber, let right = b.asNumber { return try number(sign, left, right) }
        switch (sign, a, b) {
        case (_, .undefined(let what), _) where sign != .modulo || !b.isUndefined: throw fail(what)
        case (.modulo, .text(let format), _): return try made(try percentFormat(format, b))
        case (_, _, .undefined(let what)): throw fail(what)
        case (.add, .text(let left), .text(let right)):
            try allocate(left.cost + right.cost)
            return .text(left.appending(right))
        case (.add, .items(let left), .items(let right)) where left.kind == right.kind && left.kind.isSequence:
            return try made(left.kind, left.elements + right.elements)
        case (.multiply, .text(let text), _): if let count = b.asInteger { return try repeated(text, count) }
        case (.multiply, _, .text(let text)): if let count = a.asInteger { return try repeated(text, count) }
        case (.multiply, .items(let items), _): if let count = b.asInteger { return try repeated(items, count) }
        case (.multiply, _, .items(let items)): if let count = a.asInteger { return try repeated(items, count) }
        default: break
        }
        throw fail("'\(sign.rawValue)' takes no '\(a.typeName)' and '\(b.typeName)'")
    }

    private func integer(_ sign: Expression.Operator, _ a: Int, _ b: Int) throws(TemplateError) -> Value {
        let result: (partialValue: Int, overflow: Bool)
        switch sign {
        case .add: result = a.addingReportingOverflow(b)
        case .subtract: result = a.subtractingReportingOverflow(b)
        case .multiply: result = a.multipliedReportingOverflow(by: b)
        case .divide: return try number(sign, Double(a), Double(b))
        case .floorDivide, .modulo:
            guard b != 0 else { throw fail("division by zero") }
            let quotient = a.dividedReportingOverflow(by: b)
            let remainder = a.remainderReportingOverflow(dividingBy: b).partialValue
            let rounds = remainder != 0 && (remainder < 0) != (b < 0)
            if sign == .modulo { return .integer(rounds ? remainder + b : remainder) }
            result = (rounds ? quotient.partialValue - 1 : quotient.partialValue, quotient.overflow)
        case .power:
            if b < 0 { return try number(sign, Double(a), Double(b)) }
            result = power(a, b)
        }
        guard !result.overflow else { throw fail("\(a) \(sign.rawValue) \(b) does not fit 64 bits") }
        return .integer(result.partialValue)
    }

    private func power(_ base: Int, _ exponent: Int) -> (partialValue: Int, overflow: Bool) {
        if base == 0 || base == 1 { return (exponent == 0 ? 1 : base, false) }
        if base == -1 { return (exponent % 2 == 0 ? 1 : -1, false) }
        var result = 1
        // Any other base leaves 64 bits after 63 rounds.
        for _ in 0..<min(exponent, 64) {
            let (product, overflow) = result.multipliedReportingOverflow(by: base)
            if overflow { return (0, true) }
            result = product
        }
        return (result, false)
    }

    private func number(_ sign: Expression.Operator, _ a: Double, _ b: Double) throws(TemplateError) -> Value {
        switch sign {
        case .add: return .number(a + b)
        case .subtract: return .number(a - b)
        case .multiply: return .number(a * b)
        case .divide, .floorDivide, .modulo:
            guard b != 0 else { throw fail("division by zero") }
            if sign == .divide { return .number(a / b) }
            var remainder = a.truncatingRemainder(dividingBy: b)
            if remainder != 0 && (remainder < 0) != (b < 0) { remainder += b }
            return .number(sign == .modulo ? remainder : ((a - remainder) / b).rounded())
        case .power:
            guard let exponent = Int(exactly: b), abs(b) <= 1024 else {
                throw fail("'**' takes whole exponents up to 1024 here")
            }
            var result = 1.0
            for _ in 0..<abs(exponent) { result *= a }
            guard exponent >= 0 || result != 0 else { throw fail("division by zero") }
            return .number(exponent < 0 ? 1 / result : result)
        }
    }

    func repeated(_ text: Text, _ count: Int) throws(TemplateError) -> Value {
        let count = text.isEmpty ? 0 : max(0, count)
        let (cost, overflow) = text.cost.multipliedReportingOverflow(by: count)
        try allocate(overflow ? .max : cost)
        var result = Text()
        for _ in 0..<count { result.append(text) }
        return .text(result)
    }

    private func repeated(_ items: Items, _ count: Int) throws(TemplateError) -> Value {
        let count = items.elements.isEmpty ? 0 : max(0, count)
        let (cost, overflow) = (items.elements.count * MemoryLayout<Value>.stride).multipliedReportingOverflow(
            by: count)
        try allocate(overflow ? .max : cost)
        return try made(items.kind, Array(repeatElement(items.elements, count: count).joined()))
    }

    func negated(_ value: Value) throws(TemplateError) -> Value {
        if case .number(let number) = value { return .number(-number) }
        guard let integer = value.asInteger else { throw unary("-", value) }
        let (result, overflow) = (0).subtractingReportingOverflow(integer)
        guard !overflow else { throw fail("-(\(integer)) does not fit 64 bits") }
        return .integer(result)
    }

    func positive(_ value: Value) throws(TemplateError) -> Value {
        if case .number = value { return value }
        guard let integer = value.asInteger else { throw unary("+", value) }
        return .integer(integer)
    }

    private func unary(_ sign: String, _ value: Value) -> TemplateError {
        if case .undefined(let what) = value { return fail(what) }
        return fail("'\(sign)' takes no '\(value.typeName)'")
    }

    // MARK: - Comparisons

    func compare(_ comparison: Expression.Comparison, _ a: Value, _ b: Value) throws(TemplateError) -> Bool {
        switch comparison {
        case .equal: try equal(a, b)
        case .notEqual: !(try equal(a, b))
        case .less: try order(a, b) == .before
        case .lessOrEqual: [.before, .same].contains(try order(a, b))
        case .greater: try order(a, b) == .after
        case .greaterOrEqual: [.after, .same].contains(try order(a, b))
        case .isIn: try contains(b, a)
        case .isNotIn: !(try contains(b, a))
        }
    }

    func equal(_ a: Value, _ b: Value) throws(TemplateError) -> Bool {
        try charge()
        if let left = a.asInteger, let right = b.asInteger { return left == right }
        if let left = a.asNumber, let right = b.asNumber { return left == right }
        switch (a, b) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let left), .text(let right)):
            if left.bytes.count != right.bytes.count { return false }
            try scan(left)
            return left == right
        case (.items(let left), .items(let right)):
            guard left.kind == right.kind, left.elements.count == right.elements.count else { return false }
            for (one, other) in zip(left.elements, right.elements) where !(try equal(one, other)) { return false }
            return true
        case (.mapping(let left), .mapping(let right)):
            guard left.entries.count == right.entries.count else { return false }
            for (key, value) in left.entries {
                guard let other = right[try self.key(key)], try equal(value, other) else { return false }
            }
            return true
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.loop(let left), .loop(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        case (.function(let left), .function(let right)): return left == right
        default: return false
        }
    }

    enum Order {
        case before, same, after
        /// Of a number and one that is none.
        case apart
    }

    func order(_ a: Value, _ b: Value) throws(TemplateError) -> Order {
        try charge()
        if let left = a.asInteger, let right = b.asInteger {
            return left < right ? .before : left == right ? .same : .after
        }
        if let left = a.asNumber, let right = b.asNumber {
            return left < right ? .before : left == right ? .same : left > right ? .after : .apart
        }
        switch (a, b) {
        case (.undefined(let what), _), (_, .undefined(let what)): throw fail(what)
        case (.text(let left), .text(let right)):
            try charge(min(left.bytes.count, right.bytes.count) / 64)
            if left == right { return .same }
            return left.bytes.lexicographicallyPrecedes(right.bytes) ? .before : .after
        case (.items(let left), .items(let right)) where left.kind == right.kind:
            for (one, other) in zip(left.elements, right.elements) where !(try equal(one, other)) {
                return try order(one, other)
            }
            return try order(.integer(left.elements.count), .integer(right.elements.count))
        default: throw fail("'\(a.typeName)' and '\(b.typeName)' have no order")
        }
    }

    /// `element in container`
    func contains(_ container: Value, _ element: Value) throws(TemplateError) -> Bool {
        switch (container, element) {
        case (.text(let text), .text(let part)):
            try scan(text)
            try allocate(part.bytes.count * 8)
            return text.contains(part)
        case (.text, .undefined(let what)): throw fail(what)
        case (.text, _): throw fail("'in' a string takes a string, not '\(element.typeName)'")
        case (.mapping(let mapping), _): return mapping[try key(element)] != nil
        default:
            for candidate in try elements(container) where try equal(candidate, element) { return true }
            return false
        }
    }
}
