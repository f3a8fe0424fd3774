/// Reads statements: blocks, output and text.
struct Parser {
    private let tokens: [(token: Token, line: Int)]
    private var position = 0
    /// Blocks and brackets around the place.
    private var depth = 0
    private let maxDepth: Int
    /// Loops around the place, within the macro at hand.
    private var loops = 0
    /// Names read in the macro at hand; at the end, in the whole template.
    var names: Set<String> = []

    /// The statements of a whole template, and the names that are read in it.
    static func read(
        _ source: String, limits: TemplateLimits
    ) throws(TemplateError) -> (statements: [Statement], names: Set<String>) {
        guard source.utf8.count <= limits.sourceBytes else {
            throw TemplateError(
                .limit, line: 1,
                "the template has \(source.utf8.count) bytes, limit \(limits.sourceBytes); use a shorter one")
        }
        var parser = Parser(tokens: try Lexer.tokens(of: source), maxDepth: limits.sourceDepth)
        let statements = try parser.body(until: []).statements
        return (statements, parser.names)
    }

    private init(tokens: [(token: Token, line: Int)], maxDepth: Int) {
        self.tokens = tokens
        self.maxDepth = maxDepth
    }

    // MARK: - Tokens

    var current: Token { tokens[position].token }
    var following: Token { tokens[min(position + 1, tokens.count - 1)].token }
    var line: Int { tokens[position].line }

    mutating func advance() { if position + 1 < tokens.count { position += 1 } }

    mutating func skip(_ token: Token) -> Bool {
        guard current == token else { return false }
        advance()
        return true
    }

    mutating func expect(_ token: Token) throws(TemplateError) {
        guard skip(token) else { throw fail("expected \(token.printed), found \(current.printed)") }
    }

    mutating func name() throws(TemplateError) -> String {
        guard case .name(let name) = current else { throw fail("expected a name, found \(current.printed)") }
        advance()
        return name
    }

    func fail(_ message: String) -> TemplateError { TemplateError(.syntax, line: line, message) }

    mutating func enter() throws(TemplateError) {
        depth += 1
        guard depth <= maxDepth else { throw tooDeep() }
    }

    mutating func leave() { depth -= 1 }

    func node(_ kind: Expression.Kind, line: Int) throws(TemplateError) -> Expression {
        let expression = Expression(kind, line: line)
        guard expression.depth <= maxDepth else { throw tooDeep() }
        return expression
    }

    private func tooDeep() -> TemplateError {
        TemplateError(
            .limit, line: line, "more than \(maxDepth) blocks, brackets and operators inside each other; use fewer")
    }

    // MARK: - Statements

    /// Statements up to a block of one of the names, which is passed, or the end of the template.
    private mutating func body(until ends: [String]) throws(TemplateError) -> (statements: [Statement], end: String) {
        try enter()
        defer { leave() }
        let start = tokens[max(0, position - 1)].line
        var statements: [Statement] = []
        while true {
            switch current {
            case .data(let text):
                advance()
                statements.append(.text(text))
            case .outputBegin:
                advance()
                statements.append(.output(try tuple()))
                try expect(.outputEnd)
            case .blockBegin:
                advance()
                if case .name(let name) = current, ends.contains(name) {
                    advance()
                    return (statements, name)
                }
                statements += try statement()
                try expect(.blockEnd)
            default:
                guard ends.isEmpty else {
                    throw TemplateError(
                        .syntax, line: start,
                        "the block that begins here has no end; close it with {% \(ends.last ?? "") %}")
                }
                return (statements, "")
            }
        }
    }

    private mutating func closedBody(_ end: String) throws(TemplateError) -> [Statement] {
        try expect(.blockEnd)
        return try body(until: [end]).statements
    }

    private mutating func statement() throws(TemplateError) -> [Statement] {
        let line = line
        let name = try name()
        switch name {
        case "for": return [.loop(try loop())]
        case "if": return [try condition()]
        case "set": return [try assignment(line)]
        case "macro": return [.macro(try macro(line))]
        case "call": return [try call(line)]
        case "with": return [try with()]
        case "print":
            var outputs: [Statement] = []
            repeat { outputs.append(.output(try expression())) } while skip(.sign(","))
            return outputs
        case "break", "continue":
            guard loops > 0 else { throw TemplateError(.syntax, line: line, "'\(name)' is outside of a loop") }
            return [name == "break" ? .break : .continue]
        case "filter":
            let filter = try filters(nil, startsInline: true)
            return [.filter(filter, try closedBody("endfilter"))]
        case "generation": return [.with([], try closedBody("endgeneration"))]
        default:
            throw TemplateError(
                .syntax, line: line,
                "the block '\(name.prefix(80))' is not supported here; there are for, if, set, macro, call, with, "
                    + "filter, print, break, continue, generation and raw")
        }
    }

    private mutating func loop() throws(TemplateError) -> ForLoop {
        let target = try target(isTupleAllowed: true)
        try expect(.name("in"))
        let iterated = try tuple(hasCondition: false, end: "recursive")
        let filter = skip(.name("if")) ? try expression() : nil
        let isRecursive = skip(.name("recursive"))
        try expect(.blockEnd)
        loops += 1
        let (body, end) = try body(until: ["else", "endfor"])
        loops -= 1
        let otherwise = end == "else" ? try closedBody("endfor") : []
        return ForLoop(
            target: target, iterated: iterated, filter: filter, isRecursive: isRecursive, body: body,
            otherwise: otherwise)
    }

    private mutating func condition() throws(TemplateError) -> Statement {
        var cases: [(test: Expression, body: [Statement])] = []
        while true {
            let test = try tuple(hasCondition: false)
            try expect(.blockEnd)
            let (body, end) = try body(until: ["elif", "else", "endif"])
            cases.append((test, body))
            if end == "endif" { return .condition(cases, otherwise: []) }
            if end == "else" { return .condition(cases, otherwise: try closedBody("endif")) }
        }
    }

    private mutating func assignment(_ line: Int) throws(TemplateError) -> Statement {
        let target = try target(isTupleAllowed: true)
        if skip(.sign("=")) { return .assignment(target, try tuple()) }
        let filter = current == .sign("|") ? try filters(nil, startsInline: false) : nil
        return .capture(target, filter: filter, try closedBody("endset"), line: line)
    }

    private mutating func target(isTupleAllowed: Bool) throws(TemplateError) -> Target {
        var targets: [Target] = []
        var isTuple = false
        repeat {
            if !targets.isEmpty { isTuple = true }
            if isTuple, case .name("in") = current { break }
            if current == .sign("=") || current == .blockEnd { break }
            targets.append(try singleTarget())
        } while isTupleAllowed && skip(.sign(","))
        guard let first = targets.first else { throw fail("expected a name to assign to, found \(current.printed)") }
        return isTuple ? .tuple(targets) : first
    }

    private mutating func singleTarget() throws(TemplateError) -> Target {
        if skip(.sign("(")) {
            try enter()
            defer { leave() }
            let inner = try target(isTupleAllowed: true)
            try expect(.sign(")"))
            return inner
        }
        let name = try name()
        guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
            throw fail("'\(name)' cannot be assigned to")
        }
        return skip(.sign(".")) ? .attribute(name, try self.name()) : .name(name)
    }

    // MARK: - Macros

    private mutating func macro(_ line: Int) throws(TemplateError) -> MacroDefinition {
        let name = try name()
        guard current == .sign("(") else { throw fail("expected '(' after the name of a macro") }
        return try definition(name, end: "endmacro", line)
    }

    private mutating func call(_ line: Int) throws(TemplateError) -> Statement {
        let outerNames = names
        names = []
        let parameters = current == .sign("(") ? try parameters() : []
        let call = try expression()
        guard case .call = call.kind else { throw fail("expected a call") }
        let body = try macroBody("endcall")
        let definition = MacroDefinition(name: "caller", parameters: parameters, body: body, names: names, line: line)
        names.formUnion(outerNames)
        return .call(definition, call)
    }

    private mutating func definition(_ name: String, end: String, _ line: Int) throws(TemplateError) -> MacroDefinition
    {
        let outerNames = names
        names = []
        let parameters = try parameters()
        let body = try macroBody(end)
        defer { names.formUnion(outerNames) }
        return MacroDefinition(name: name, parameters: parameters, body: body, names: names, line: line)
    }

    private mutating func macroBody(_ end: String) throws(TemplateError) -> [Statement] {
        let outerLoops = loops
        loops = 0
        defer { loops = outerLoops }
        return try closedBody(end)
    }

    private mutating func parameters() throws(TemplateError) -> [(name: String, value: Expression?)] {
        try expect(.sign("("))
        var parameters: [(name: String, value: Expression?)] = []
        while !skip(.sign(")")) {
            if !parameters.isEmpty { try expect(.sign(",")) }
            let name = try name()
            let value = skip(.sign("=")) ? try expression() : nil
            if value == nil, parameters.last?.value != nil {
                throw fail("a parameter without a default after one with")
            }
            parameters.append((name, value))
        }
        return parameters
    }

    private mutating func with() throws(TemplateError) -> Statement {
        var members: [(target: Target, value: Expression)] = []
        while current != .blockEnd {
            if !members.isEmpty { try expect(.sign(",")) }
            let target = try target(isTupleAllowed: false)
            try expect(.sign("="))
            members.append((target, try expression()))
        }
        return .with(members, try closedBody("endwith"))
    }
}
