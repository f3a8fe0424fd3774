/// An expression and where it stands. Its depth is limited when it is made, so that walking and freeing it is, too.
package final class Expression: Sendable {
    enum Kind: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case number(Double)
        case text(Text)
        case name(String)
        case list([Expression])
        case tuple([Expression])
        case mapping([(key: Expression, value: Expression)])
        case attribute(Expression, String)
        case item(Expression, Expression)
        case slice(Expression, Expression?, Expression?, Expression?)
        case call(Expression, Arguments)
        /// The value is nil in a block's filter: it is the block's text.
        case filter(Expression?, String, Arguments)
        case test(Expression, String, Arguments)
        case not(Expression)
        case and(Expression, Expression)
        case or(Expression, Expression)
        case negative(Expression)
        case positive(Expression)
        case binary(Operator, Expression, Expression)
        case compare(Expression, [(Comparison, Expression)])
        case concatenation([Expression])
        case conditional(test: Expression, then: Expression, otherwise: Expression?)
    }

    enum Operator: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case modulo = "%"
        case power = "**"
    }

    enum Comparison: String, Sendable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case isIn = "in"
        case isNotIn = "not in"
    }

    let kind: Kind
    let line: Int
    let depth: Int

    init(_ kind: Kind, line: Int) {
        self.kind = kind
        self.line = line
        depth = 1 + kind.children.reduce(0) { max($0, $1.depth) }
    }
}

/// What a call is given.
struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
    /// `*list`
    var spread: Expression?
    /// `**dictionary`
    var namedSpread: Expression?

    var children: [Expression] { positional + named.map(\.value) + [spread, namedSpread].compactMap { $0 } }
}

extension Expression.Kind {
    var children: [Expression] {
        switch self {
        case .none, .bool, .integer, .number, .text, .name: []
        case .list(let values), .tuple(let values), .concatenation(let values): values
        case .mapping(let members): members.flatMap { [$0.key, $0.value] }
        case .attribute(let value, _), .not(let value), .negative(let value), .positive(let value): [value]
        case .item(let a, let b), .and(let a, let b), .or(let a, let b), .binary(_, let a, let b): [a, b]
        case .slice(let value, let a, let b, let c): [value] + [a, b, c].compactMap { $0 }
        case .call(let value, let arguments), .test(let value, _, let arguments): [value] + arguments.children
        case .filter(let value, _, let arguments): [value].compactMap { $0 } + arguments.children
        case .compare(let value, let others): [value] + others.map(\.1)
        case .conditional(let test, let then, let otherwise): [test, then] + [otherwise].compactMap { $0 }
        }
    }
}

/// What is assigned to.
indirect enum Target: Sendable {
    case name(String)
    /// An attribute of a namespace.
    case attribute(String, String)
    case tuple([Target])
}

indirect enum Statement: Sendable {
    case text(Text)
    case output(Expression)
    case loop(ForLoop)
    case condition([(test: Expression, body: [Statement])], otherwise: [Statement])
    case assignment(Target, Expression)
    /// `{% set name | filter %}…{% endset %}`
    case capture(Target, filter: Expression?, [Statement], line: Int)
    case macro(MacroDefinition)
    /// `{% call(parameters) macro(…) %}…{% endcall %}`
    case call(MacroDefinition, Expression)
    case filter(Expression, [Statement])
    /// `{% with name = value %}…{% endwith %}`
    case with([(target: Target, value: Expression)], [Statement])
    case `break`
    case `continue`
}

package final class ForLoop: Sendable {
    let target: Target
    let iterated: Expression
    let filter: Expression?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]

    init(
        target: Target, iterated: Expression, filter: Expression?, isRecursive: Bool, body: [Statement],
        otherwise: [Statement]
    ) {
        self.target = target
        self.iterated = iterated
        self.filter = filter
        self.isRecursive = isRecursive
        self.body = body
        self.otherwise = otherwise
    }
}

package final class MacroDefinition: Sendable {
    let name: String
    let parameters: [(name: String, value: Expression?)]
    let body: [Statement]
    /// Whether the body reads `varargs` and `kwargs`: otherwise surplus arguments are an error.
    let takesSurplus: Bool
    let takesNamedSurplus: Bool
    let takesCaller: Bool
    let line: Int

    init(
        name: String, parameters: [(name: String, value: Expression?)], body: [Statement], names: Set<String>, line: Int
    ) {
        self.name = name
        self.parameters = parameters
        self.body = body
        takesSurplus = names.contains("varargs")
        takesNamedSurplus = names.contains("kwargs")
        takesCaller = names.contains("caller")
        self.line = line
    }
}
