/// Reads expressions with the precedence of Jinja: conditions, or, and, not, comparisons, `+ -`, `~`, `* / // %`, `**`,
/// signs, and last what follows a value.
extension Parser {
    /// One expression, or several with commas between them.
    mutating func tuple(hasCondition: Bool = true, end: String? = nil, isInBrackets: Bool = false) throws(TemplateError)
        -> Expression
    {
        let line = line
        var values: [Expression] = []
        var isTuple = false
        repeat {
            if !values.isEmpty { isTuple = true }
            if isTupleEnd(end) { break }
            values.append(try expression(hasCondition: hasCondition))
        } while skip(.sign(","))
        if !isTuple, let first = values.first { return first }
        guard isTuple || isInBrackets else { throw fail("expected an expression, found \(current.printed)") }
        return try node(.tuple(values), line: line)
    }

    private func isTupleEnd(_ end: String?) -> Bool {
        switch current {
        case .outputEnd, .blockEnd, .sign(")"): true
        case .name(let name): name == end
        default: false
        }
    }

    mutating func expression(hasCondition: Bool = true) throws(TemplateError) -> Expression {
        try enter()
        defer { leave() }
        var result = try or()
        while hasCondition {
            let line = line
            guard skip(.name("if")) else { break }
            let test = try or()
            let otherwise = skip(.name("else")) ? try expression() : nil
            result = try node(.conditional(test: test, then: result, otherwise: otherwise), line: line)
        }
        return result
    }

    private mutating func or() throws(TemplateError) -> Expression {
        var left = try and()
        while case let line = line, skip(.name("or")) { left = try node(.or(left, try and()), line: line) }
        return left
    }

    private mutating func and() throws(TemplateError) -> Expression {
        var left = try not()
        while case let line = line, skip(.name("and")) { left = try node(.and(left, try not()), line: line) }
        return left
    }

    private mutating func not() throws(TemplateError) -> Expression {
        let line = line
        guard skip(.name("not")) else { return try comparison() }
        try enter()
        defer { leave() }
        return try node(.not(try not()), line: line)
    }

    private mutating func comparison() throws(TemplateError) -> Expression {
        let line = line
        let first = try sum()
        var others: [(Expression.Comparison, Expression)] = []
        while let comparison = takeComparison() { others.append((comparison, try sum())) }
        return others.isEmpty ? first : try node(.compare(first, others), line: line)
    }

    private mutating func takeComparison() -> Expression.Comparison? {
        switch current {
        case .sign(let sign):
            guard let comparison = Expression.Comparison(rawValue: sign) else { return nil }
            advance()
            return comparison
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where following == .name("in"):
            advance()
            advance()
            return .isNotIn
        default: return nil
        }
    }

    private mutating func takeOperator(_ signs: [String]) -> Expression.Operator? {
        guard case .sign(let sign) = current, signs.contains(sign) else { return nil }
        advance()
        return Expression.Operator(rawValue: sign)
    }

    private mutating func sum() throws(TemplateError) -> Expression {
        var left = try concatenation()
        while case let line = line, let sign = takeOperator(["+", "-"]) {
            left = try node(.binary(sign, left, try concatenation()), line: line)
        }
        return left
    }

    private mutating func concatenation() throws(TemplateError) -> Expression {
        let line = line
        var parts = [try product()]
        while skip(.sign("~")) { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : try node(.concatenation(parts), line: line)
    }

    private mutating func product() throws(TemplateError) -> Expression {
        var left = try power()
        while case let line = line, let sign = takeOperator(["*", "/", "//", "%"]) {
            left = try node(.binary(sign, left, try power()), line: line)
        }
        return left
    }

    private mutating func power() throws(TemplateError) -> Expression {
        var left = try unary()
        while case let line = line, let sign = takeOperator(["**"]) {
            left = try node(.binary(sign, left, try unary()), line: line)
        }
        return left
    }

    private mutating func unary(hasFilter: Bool = true) throws(TemplateError) -> Expression {
        try enter()
        defer { leave() }
        let line = line
        var result: Expression
        if skip(.sign("-")) {
            result = try node(.negative(try unary(hasFilter: false)), line: line)
        } else if skip(.sign("+")) {
            result = try node(.positive(try unary(hasFilter: false)), line: line)
        } else {
            result = try primary()
        }
        result = try postfix(result)
        return hasFilter ? try filtered(result) : result
    }

    // MARK: - Values

    private mutating func primary() throws(TemplateError) -> Expression {
        let line = line
        switch current {
        case .name(let name):
            advance()
            return try node(constant(name), line: line)
        case .string:
            var text = Text()
            while case .string(let part) = current {
                text.append(part)
                advance()
            }
            return try node(.text(text), line: line)
        case .integer(let value):
            advance()
            return try node(.integer(value), line: line)
        case .number(let value):
            advance()
            return try node(.number(value), line: line)
        case .sign("("):
            advance()
            let result = try tuple(isInBrackets: true)
            try expect(.sign(")"))
            return result
        case .sign("["):
            advance()
            var values: [Expression] = []
            while !skip(.sign("]")) {
                if !values.isEmpty { try expect(.sign(",")) }
                if skip(.sign("]")) { break }
                values.append(try expression())
            }
            return try node(.list(values), line: line)
        case .sign("{"): return try mapping()
        default: throw fail("expected a value, found \(current.printed)")
        }
    }

    private mutating func constant(_ name: String) -> Expression.Kind {
        switch name {
        case "true", "True": return .bool(true)
        case "false", "False": return .bool(false)
        case "none", "None": return .none
        default:
            names.insert(name)
            return .name(name)
        }
    }

    private mutating func mapping() throws(TemplateError) -> Expression {
        let line = line
        try expect(.sign("{"))
        var members: [(key: Expression, value: Expression)] = []
        while !skip(.sign("}")) {
            if !members.isEmpty { try expect(.sign(",")) }
            if skip(.sign("}")) { break }
            let key = try expression()
            try expect(.sign(":"))
            members.append((key, try expression()))
        }
        return try node(.mapping(members), line: line)
    }

    // MARK: - What follows a value

    private mutating func postfix(_ value: Expression) throws(TemplateError) -> Expression {
        var value = value
        while true {
            switch current {
            case .sign("."): value = try attribute(value)
            case .sign("["): value = try item(value)
            case .sign("("): value = try node(.call(value, try arguments()), line: line)
            default: return value
            }
        }
    }

    private mutating func filtered(_ value: Expression) throws(TemplateError) -> Expression {
        var value = value
        while true {
            switch current {
            case .sign("|"): value = try filters(value, startsInline: false)
            case .name("is"): value = try test(value)
            case .sign("("): value = try node(.call(value, try arguments()), line: line)
            default: return value
            }
        }
    }

    private mutating func attribute(_ value: Expression) throws(TemplateError) -> Expression {
        let line = line
        advance()
        switch current {
        case .name(let name):
            advance()
            return try node(.attribute(value, name), line: line)
        case .integer(let index):
            advance()
            return try node(.item(value, try node(.integer(index), line: line)), line: line)
        default: throw fail("expected a name or a number after '.', found \(current.printed)")
        }
    }

    private mutating func item(_ value: Expression) throws(TemplateError) -> Expression {
        let line = line
        advance()
        let first = current == .sign(":") ? nil : try expression()
        if let first, skip(.sign("]")) { return try node(.item(value, first), line: line) }
        guard skip(.sign(":")) else { throw fail("expected ']' or ':', found \(current.printed)") }
        let second = try sliceBound()
        let third = skip(.sign(":")) ? try sliceBound() : nil
        try expect(.sign("]"))
        return try node(.slice(value, first, second, third), line: line)
    }

    private mutating func sliceBound() throws(TemplateError) -> Expression? {
        current == .sign(":") || current == .sign("]") ? nil : try expression()
    }

    /// A value's filters; without a value those of a block.
    mutating func filters(_ value: Expression?, startsInline: Bool) throws(TemplateError) -> Expression {
        var value = value
        var isFirst = startsInline
        while isFirst || skip(.sign("|")) {
            isFirst = false
            let line = line
            let name = try name()
            let arguments = current == .sign("(") ? try arguments() : Arguments()
            value = try node(.filter(value, name, arguments), line: line)
        }
        guard let value else { throw fail("expected a filter") }
        return value
    }

    private mutating func test(_ value: Expression) throws(TemplateError) -> Expression {
        let line = line
        advance()
        let isNegated = skip(.name("not"))
        let name = try name()
        let test = try node(.test(value, name, try testArguments()), line: line)
        return isNegated ? try node(.not(test), line: line) : test
    }

    private mutating func testArguments() throws(TemplateError) -> Arguments {
        switch current {
        case .sign("("): return try arguments()
        case .name("else"), .name("or"), .name("and"): return Arguments()
        case .name("is"): throw fail("tests cannot be chained with 'is'")
        case .name, .string, .integer, .number, .sign("["), .sign("{"):
            return Arguments(positional: [try postfix(try primary())])
        default: return Arguments()
        }
    }

    private mutating func arguments() throws(TemplateError) -> Arguments {
        try expect(.sign("("))
        var result = Arguments()
        var isFirst = true
        while !skip(.sign(")")) {
            if !isFirst {
                try expect(.sign(","))
                if skip(.sign(")")) { break }
            }
            isFirst = false
            try argument(into: &result)
        }
        return result
    }

    private mutating func argument(into result: inout Arguments) throws(TemplateError) {
        if skip(.sign("*")) {
            guard result.spread == nil && result.namedSpread == nil else { throw fail("more than one '*' in a call") }
            result.spread = try expression()
        } else if skip(.sign("**")) {
            guard result.namedSpread == nil else { throw fail("more than one '**' in a call") }
            result.namedSpread = try expression()
        } else if case .name(let name) = current, following == .sign("=") {
            advance()
            advance()
            result.named.append((name, try expression()))
        } else {
            guard result.named.isEmpty && result.spread == nil && result.namedSpread == nil else {
                throw fail("a positional argument after a named one")
            }
            result.positional.append(try expression())
        }
    }
}
