/// Statements.
extension Interpreter {
    /// How a list of statements ended.
    enum Flow {
        case next, `break`, `continue`
    }

    func execute(_ statements: [Statement], _ scope: Scope) throws(TemplateError) -> Flow {
        try enter()
        defer { leave() }
        for statement in statements {
            try charge()
            let flow = try execute(statement, scope)
            if flow != .next { return flow }
        }
        return .next
    }

    private func execute(_ statement: Statement, _ scope: Scope) throws(TemplateError) -> Flow {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try printed(try evaluate(expression, scope)))
        case .loop(let loop): try run(loop, over: try evaluate(loop.iterated, scope), nesting: 0, scope)
        case .condition(let cases, let otherwise):
            for (test, body) in cases where try evaluate(test, scope).isTrue { return try execute(body, scope) }
            return try execute(otherwise, scope)
        case .assignment(let target, let expression): try assign(target, try evaluate(expression, scope), scope)
        case .capture(let target, let filter, let body, let line):
            let text = try capture(body, Scope(scope))
            self.line = line
            try assign(target, try filtered(.text(text), filter, scope), scope)
        case .macro(let definition): scope.set(definition.name, try makeMacro(definition, scope))
        case .call(let definition, let call):
            let caller = try makeMacro(definition, scope)
            try write(try printed(try self.call(call, scope, caller: caller)))
        case .filter(let filter, let body):
            let text = try capture(body, Scope(scope))
            try write(try printed(try filtered(.text(text), filter, scope)))
        case .with(let members, let body):
            let inner = Scope(scope)
            for (target, value) in members { try assign(target, try evaluate(value, scope), inner) }
            return try execute(body, inner)
        case .break: return .break
        case .continue: return .continue
        }
        return .next
    }

    /// The value after the filters of a block.
    private func filtered(_ value: Value, _ filter: Expression?, _ scope: Scope) throws(TemplateError) -> Value {
        guard let filter, case .filter(let inner, let name, let arguments) = filter.kind else { return value }
        let value = try filtered(value, inner, scope)
        line = filter.line
        return try applyFilter(name, value, try self.arguments(arguments, scope))
    }

    func run(_ loop: ForLoop, over value: Value, nesting: Int, _ scope: Scope) throws(TemplateError) {
        var elements = try self.elements(value)
        if let filter = loop.filter {
            var kept: [Value] = []
            for element in elements {
                let inner = Scope(scope)
                try assign(loop.target, element, inner)
                if try evaluate(filter, inner).isTrue { kept.append(element) }
            }
            elements = kept
        }
        let state = try makeLoop(elements, nesting: nesting, loop.isRecursive ? (loop, scope) : nil)
        for (index, element) in elements.enumerated() {
            try charge()
            state.index = index
            let inner = Scope(scope)
            inner.set("loop", .loop(state))
            try assign(loop.target, element, inner)
            if try execute(loop.body, inner) == .break { break }
        }
        if elements.isEmpty { _ = try execute(loop.otherwise, Scope(scope)) }
    }

    func assign(_ target: Target, _ value: Value, _ scope: Scope) throws(TemplateError) {
        switch target {
        case .name(let name): scope.set(name, value)
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace)? = scope.find(name) else {
                throw fail("'\(name)' is no namespace, so its attribute cannot be set; make it with namespace()")
            }
            try set(attribute, of: namespace, value)
        case .tuple(let targets):
            let values = try elements(value)
            guard values.count == targets.count else {
                throw fail("\(values.count) values cannot be unpacked into \(targets.count) names")
            }
            for (target, value) in zip(targets, values) { try assign(target, value, scope) }
        }
    }

    func set(_ name: String, of namespace: Namespace, _ value: Value) throws(TemplateError) {
        guard !name.hasPrefix("_") else { throw fail("'\(name)': attributes of a namespace do not begin with '_'") }
        if let position = namespace.values.firstIndex(where: { $0.name == name }) {
            namespace.values[position].value = value
        } else {
            try allocate(64)
            namespace.values.append((name, value))
        }
    }

    /// What a loop goes through.
    func elements(_ value: Value) throws(TemplateError) -> [Value] {
        switch value {
        case .undefined: return []
        case .items(let items): return items.elements
        case .mapping(let mapping):
            try allocate(mapping.entries.count * MemoryLayout<Value>.stride)
            return mapping.entries.map(\.key)
        case .text(let text):
            try allocate(text.bytes.count * (MemoryLayout<Value>.stride + 64))
            try charge(text.bytes.count)
            return text.scalars.map { .text(text.slice($0.range)) }
        case .loop(let loop): return loop.elements
        default: throw fail("'\(value.typeName)' object is not iterable")
        }
    }
}
