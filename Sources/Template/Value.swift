package import LMJSON

/// A value of the template language.
package enum Value {
    /// Nothing, and what was looked for: prints as empty text, and most else that is done with it is an error.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(Text)
    case items(Items)
    case mapping(Mapping)
    case namespace(Namespace)
    case loop(LoopState)
    case macro(Macro)
    case function(Function)
    case method(BoundMethod)

    /// What a global name calls.
    package enum Function: String, CaseIterable {
        case range, dict, namespace
        case raise = "raise_exception"
        case time = "strftime_now"
    }
}

/// Namespaces and loops change while a template runs.
@available(*, unavailable)
extension Value: Sendable {}

extension Value {
    /// Text of the host itself, such as the token that begins a sequence: it may become a special token.
    package static func trusted(_ string: String) -> Value { .text(Text(string)) }

    /// A value of the request: none of its text becomes a special token.
    package static func content(_ json: JSON) -> Value {
        switch json {
        case .null: .none
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(Int(value))
        case .number(let value): .number(value)
        case .string(let value): .text(Text(value, isContent: true))
        case .array(let values): .list(values.map(content))
        case .object(let object):
            .mapping(Mapping(object.members.map { (.text(Text($0.key, isContent: true)), content($0.value)) }))
        }
    }

    /// A list.
    package static func list(_ values: [Value]) -> Value { .items(Items(.list, values)) }

    /// A dictionary; of members with the same key the last counts.
    package static func object(_ members: [(key: String, value: Value)]) -> Value {
        .mapping(Mapping(members.map { (.trusted($0.key), $0.value) }))
    }

    /// Lists, dictionaries and what refers to them inside each other.
    var depth: Int {
        switch self {
        case .items(let items): items.depth
        case .mapping(let mapping): mapping.depth
        case .loop(let loop): loop.depth
        case .method(let method): method.depth
        default: 0
        }
    }

    /// Bytes of text in it, and some for each value.
    var inputBytes: Int {
        switch self {
        case .text(let text): text.bytes.count + 32
        case .items(let items): items.elements.reduce(32) { $0 + $1.inputBytes }
        case .mapping(let mapping): mapping.entries.reduce(32) { $0 + $1.key.inputBytes + $1.value.inputBytes }
        default: 32
        }
    }

    /// Python's name of the type.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .integer: "int"
        case .number: "float"
        case .text: "str"
        case .items(let items): items.kind.rawValue
        case .mapping: "dict"
        case .namespace: "Namespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .function, .method: "function"
        }
    }

    /// Python's truth of a value.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .number(let value): value != 0
        case .text(let text): !text.isEmpty
        case .items(let items): items.kind == .generator || !items.elements.isEmpty
        case .mapping(let mapping): !mapping.entries.isEmpty
        case .namespace, .loop, .macro, .function, .method: true
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }
    /// An integer, also one written as a truth.
    var asInteger: Int? {
        switch self {
        case .integer(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }
    /// Any number.
    var asNumber: Double? { if case .number(let value) = self { value } else { asInteger.map(Double.init) } }
    var asText: Text? { if case .text(let text) = self { text } else { nil } }
}

/// Values in order.
package struct Items {
    enum Kind: String {
        case list, tuple
        /// What a filter yields one by one: it has no length and is always true.
        case generator
        /// What a dictionary shows of itself: it has a length and no positions.
        case pairs = "dict_items"
        case keys = "dict_keys"
        case values = "dict_values"

        /// Whether elements have positions.
        var isSequence: Bool { self == .list || self == .tuple }
    }

    let kind: Kind
    let elements: [Value]
    let depth: Int

    init(_ kind: Kind, _ elements: [Value]) {
        self.kind = kind
        self.elements = elements
        depth = 1 + elements.reduce(0) { max($0, $1.depth) }
    }
}

/// A dictionary that keeps the order of its keys.
package struct Mapping {
    private(set) var entries: [(key: Value, value: Value)] = []
    private(set) var depth = 1
    private var positions: [Key: Int] = [:]

    enum Key: Hashable {
        case none
        case integer(Int)
        case number(Double)
        case text(Text)

        /// Nil for values that Python cannot hash, and for those that no template uses as a key.
        init?(_ value: Value) {
            switch value {
            case .none: self = .none
            case .bool(let value): self = .integer(value ? 1 : 0)
            case .integer(let value): self = .integer(value)
            case .number(let value): self = Int(exactly: value).map(Key.integer) ?? .number(value)
            case .text(let text): self = .text(text)
            default: return nil
            }
        }
    }

    init() {}

    init(_ members: [(key: Value, value: Value)]) {
        for (key, value) in members {
            if let name = Key(key) { set(name, key, value) }
        }
    }

    subscript(key: Key) -> Value? { positions[key].map { entries[$0].value } }

    mutating func set(_ name: Key, _ key: Value, _ value: Value) {
        depth = max(depth, 1 + value.depth)
        if let position = positions[name] {
            entries[position].value = value
        } else {
            positions[name] = entries.count
            entries.append((key, value))
        }
    }
}

/// The one value that a template can change. The interpreter keeps them all and empties them at the end: they may
/// refer to each other in circles and in chains of any length.
package final class Namespace {
    var values: [(name: String, value: Value)] = []
}

/// A function taken from a value: `text.strip`.
package final class BoundMethod {
    let receiver: Value
    let name: String
    let depth: Int

    init(_ receiver: Value, _ name: String) {
        self.receiver = receiver
        self.name = name
        depth = 1 + receiver.depth
    }
}

/// A macro, and the names it was defined among.
package final class Macro {
    let definition: MacroDefinition
    let scope: Scope

    init(_ definition: MacroDefinition, _ scope: Scope) {
        self.definition = definition
        self.scope = scope
    }
}

/// What `loop` is inside a loop.
package final class LoopState {
    let elements: [Value]
    let depth: Int
    /// Loops around it that called it, from 0.
    let nesting: Int
    /// What `loop(…)` runs again, and among which names; nil unless the loop is recursive.
    let recursion: (loop: ForLoop, scope: Scope)?
    var index = 0
    var lastChanged: [Value]?

    init(_ elements: [Value], nesting: Int, recursion: (loop: ForLoop, scope: Scope)?) {
        self.elements = elements
        self.nesting = nesting
        self.recursion = recursion
        depth = 1 + elements.reduce(0) { max($0, $1.depth) }
    }
}

/// Names and their values, innermost first.
package final class Scope {
    let parent: Scope?
    var values: [(name: String, value: Value)] = []

    init(_ parent: Scope?) { self.parent = parent }

    func find(_ name: String) -> Value? {
        var scope: Scope? = self
        while let current = scope {
            if let found = current.values.first(where: { $0.name == name }) { return found.value }
            scope = current.parent
        }
        return nil
    }

    func set(_ name: String, _ value: Value) {
        if let position = values.firstIndex(where: { $0.name == name }) {
            values[position].value = value
        } else {
            values.append((name, value))
        }
    }
}
