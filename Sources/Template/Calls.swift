/// Arguments as they reach a function, a filter, a test or a macro.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []
}

/// Calls of macros and functions.
extension Interpreter {
    func arguments(_ arguments: Arguments, _ scope: Scope) throws(TemplateError) -> CallArguments {
        var result = CallArguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument, scope)) }
        if let spread = arguments.spread { result.positional += try elements(try evaluate(spread, scope)) }
        for (name, value) in arguments.named { result.named.append((name, try evaluate(value, scope))) }
        if let spread = arguments.namedSpread {
            guard case .mapping(let mapping) = try evaluate(spread, scope) else {
                throw fail("'**' takes a dictionary")
            }
            try charge(mapping.entries.count)
            for (key, value) in mapping.entries {
                guard case .text(let name) = key else { throw fail("names of arguments are strings") }
                result.named.append((name.string, value))
            }
        }
        try charge(result.positional.count + result.named.count)
        return result
    }

    /// The values of parameters, nil for those that are not given.
    func bind(_ what: String, _ arguments: CallArguments, _ names: [String]) throws(TemplateError) -> [Value?] {
        guard arguments.positional.count <= names.count else {
            throw fail("\(what) takes at most \(names.count) arguments, not \(arguments.positional.count)")
        }
        var values: [Value?] = arguments.positional.map { $0 }
        values += repeatElement(nil, count: names.count - values.count)
        for (name, value) in arguments.named {
            guard let index = names.firstIndex(of: name) else {
                throw fail("\(what) has no argument '\(name.prefix(80))'")
            }
            guard values[index] == nil else { throw fail("\(what) is given '\(name)' twice") }
            values[index] = value
        }
        return values
    }

    /// Evaluates a call; `caller` is the body of a call block.
    func call(_ expression: Expression, _ scope: Scope, caller: Value?) throws(TemplateError) -> Value {
        guard case .call(let callee, let arguments) = expression.kind else {
            preconditionFailure("the parser checked it")
        }
        // A method is called without being made a value first.
        if case .attribute(let receiver, let name) = callee.kind {
            let receiver = try evaluate(receiver, scope)
            line = callee.line
            if hasMethod(name, receiver) {
                let arguments = try self.arguments(arguments, scope)
                line = expression.line
                return try callMethod(name, receiver, arguments)
            }
            let function = try attribute(name, of: receiver)
            return try call(function, try self.arguments(arguments, scope), caller, expression.line)
        }
        let function = try evaluate(callee, scope)
        return try call(function, try self.arguments(arguments, scope), caller, expression.line)
    }

    private func call(
        _ function: Value, _ arguments: CallArguments, _ caller: Value?, _ line: Int
    ) throws(TemplateError) -> Value {
        self.line = line
        switch function {
        case .undefined(let what): throw fail(what)
        case .macro(let macro): return try call(macro, arguments, caller)
        case .method(let method): return try callMethod(method.name, method.receiver, arguments)
        case .loop(let loop): return try recurse(loop, arguments)
        case .function(let function): return try call(function, arguments)
        default: throw fail("'\(function.typeName)' object is not callable")
        }
    }

    private func call(_ macro: Macro, _ arguments: CallArguments, _ caller: Value?) throws(TemplateError) -> Value {
        let definition = macro.definition
        let what = "macro '\(definition.name)'"
        let scope = Scope(macro.scope)
        let parameters = definition.parameters
        for (parameter, value) in zip(parameters, arguments.positional) { scope.set(parameter.name, value) }
        let given = min(parameters.count, arguments.positional.count)
        let surplus = arguments.positional.dropFirst(given)
        guard surplus.isEmpty || definition.takesSurplus else {
            throw fail("\(what) takes \(parameters.count) arguments, not \(arguments.positional.count)")
        }
        var named = Mapping()
        var caller = caller
        for (name, value) in arguments.named {
            if let index = parameters.firstIndex(where: { $0.name == name }) {
                guard index >= given else { throw fail("\(what) is given '\(name)' twice") }
                scope.set(name, value)
            } else if name == "caller" {
                caller = value
            } else {
                guard definition.takesNamedSurplus else { throw fail("\(what) has no argument '\(name.prefix(80))'") }
                named.set(.text(Text(name)), .text(Text(name)), value)
            }
        }
        if definition.takesSurplus { scope.set("varargs", try made(.tuple, Array(surplus))) }
        if definition.takesNamedSurplus { scope.set("kwargs", try made(named)) }
        if definition.takesCaller {
            scope.set("caller", caller ?? .undefined("'caller' is undefined: the macro was not called by a call block"))
        } else if caller != nil {
            throw fail("\(what) has no 'caller', so no call block can use it")
        }
        try fillDefaults(parameters, what, scope)
        return .text(try capture(definition.body, scope))
    }

    private func fillDefaults(
        _ parameters: [(name: String, value: Expression?)], _ what: String, _ scope: Scope
    ) throws(TemplateError) {
        for (name, value) in parameters where !scope.values.contains(where: { $0.name == name }) {
            let missing = Value.undefined("\(what) was not given '\(name)'")
            scope.set(name, try value.map { value throws(TemplateError) in try evaluate(value, scope) } ?? missing)
        }
    }

    private func recurse(_ loop: LoopState, _ arguments: CallArguments) throws(TemplateError) -> Value {
        guard let (body, scope) = loop.recursion else { throw fail("only a loop marked 'recursive' can be called") }
        guard let value = try bind("loop", arguments, ["iterable"])[0] else {
            throw fail("loop() takes what to go through")
        }
        let outer = output
        output = Text()
        defer { output = outer }
        try enter()
        defer { leave() }
        try run(body, over: value, nesting: loop.nesting + 1, scope)
        return .text(output)
    }

    private func call(_ function: Value.Function, _ arguments: CallArguments) throws(TemplateError) -> Value {
        switch function {
        case .range: return try range(arguments)
        case .dict: return try made(try members("dict", arguments))
        case .namespace:
            let namespace = try makeNamespace()
            for (key, value) in try members("namespace", arguments).entries {
                try set(try printed(key).string, of: namespace, value)
            }
            return .namespace(namespace)
        case .raise:
            let message = try bind(function.rawValue, arguments, ["message"])[0] ?? .none
            throw TemplateError(.raised, line: line, try printed(message).string.cut)
        case .time:
            guard case .text(let format)? = try bind(function.rawValue, arguments, ["format"])[0] else {
                throw fail("strftime_now takes a format")
            }
            try allocate(format.bytes.count * 8)
            guard let text = clock.formatted(format.string) else {
                throw fail("the date format '\(format.string.cut)' is not supported")
            }
            return .text(Text(text))
        }
    }

    private func range(_ arguments: CallArguments) throws(TemplateError) -> Value {
        var bounds: [Int] = []
        for value in try bind("range", arguments, ["start", "stop", "step"]) {
            guard let value else { continue }
            guard let bound = value.asInteger else { throw fail("range takes integers, not '\(value.typeName)'") }
            bounds.append(bound)
        }
        guard !bounds.isEmpty else { throw fail("range takes one to three integers") }
        let start = bounds.count == 1 ? 0 : bounds[0]
        let stop = bounds.count == 1 ? bounds[0] : bounds[1]
        let step = bounds.count == 3 ? bounds[2] : 1
        guard step != 0 else { throw fail("the step of a range is zero") }
        let (distance, overflow) = stop.subtractingReportingOverflow(start)
        // The limit of Jinja's own sandbox.
        guard !overflow, distance / step <= 100_000 else { throw fail("a range has more than 100000 numbers") }
        return try made(.list, stride(from: start, to: stop, by: step).map(Value.integer))
    }

    private func members(_ what: String, _ arguments: CallArguments) throws(TemplateError) -> Mapping {
        var result = Mapping()
        guard arguments.positional.count <= 1 else { throw fail("\(what) takes one dictionary and named values") }
        if let value = arguments.positional.first {
            if case .mapping(let mapping) = value {
                result = mapping
            } else {
                for pair in try elements(value) {
                    let parts = try elements(pair)
                    guard parts.count == 2 else { throw fail("\(what) takes pairs of a key and a value") }
                    result.set(try key(parts[0]), parts[0], parts[1])
                }
            }
        }
        for (name, value) in arguments.named { result.set(.text(Text(name)), .text(Text(name)), value) }
        return result
    }

    // MARK: - Loops

    func attribute(_ name: String, of loop: LoopState) throws(TemplateError) -> Value {
        let count = loop.elements.count
        switch name {
        case "index": return .integer(loop.index + 1)
        case "index0": return .integer(loop.index)
        case "revindex": return .integer(count - loop.index)
        case "revindex0": return .integer(count - loop.index - 1)
        case "first": return .bool(loop.index == 0)
        case "last": return .bool(loop.index == count - 1)
        case "length": return .integer(count)
        case "depth": return .integer(loop.nesting + 1)
        case "depth0": return .integer(loop.nesting)
        case "previtem": return loop.index > 0 ? loop.elements[loop.index - 1] : .undefined("there is no previous item")
        case "nextitem":
            return loop.index + 1 < count ? loop.elements[loop.index + 1] : .undefined("there is no next item")
        case "cycle", "changed": return try makeMethod(.loop(loop), name)
        default: return .undefined("'loop' has no attribute '\(name.prefix(80))'")
        }
    }

    func callLoop(_ name: String, _ loop: LoopState, _ arguments: CallArguments) throws(TemplateError) -> Value {
        let values = arguments.positional
        guard name == "changed" else {
            guard !values.isEmpty else { throw fail("loop.cycle takes at least one value") }
            return values[loop.index % values.count]
        }
        defer { loop.lastChanged = values }
        guard let last = loop.lastChanged, last.count == values.count else { return .bool(true) }
        for (one, other) in zip(last, values) where !(try equal(one, other)) { return .bool(true) }
        return .bool(false)
    }
}

extension String {
    /// At most 200 bytes of it, for messages.
    var cut: String { String(decoding: utf8.prefix(200), as: UTF8.self) }
}
