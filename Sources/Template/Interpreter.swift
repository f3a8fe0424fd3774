/// Runs one rendering of a template within its budgets.
final class Interpreter {
    let limits: TemplateLimits
    let clock: TemplateClock
    private let memoryLimit: Int
    /// Steps taken and bytes allocated so far.
    private(set) var steps = 0
    private(set) var memory = 0
    private var depth = 0
    /// Line of the source at hand, for errors.
    var line = 1
    var output = Text()
    /// What may hold circles or long chains: emptied at the end.
    private var namespaces: [Namespace] = []
    private var scopes: [Scope] = []

    init(limits: TemplateLimits, clock: TemplateClock, inputBytes: Int) {
        self.limits = limits
        self.clock = clock
        let (extra, overflow) = inputBytes.multipliedReportingOverflow(by: limits.memoryPerInputByte)
        memoryLimit = overflow ? .max : limits.memoryBytes.addingReportingOverflow(extra).partialValue
    }

    /// Everything the statements write.
    func run(_ statements: [Statement], _ variables: [(name: String, value: Value)]) throws(TemplateError) -> Text {
        defer {
            for namespace in namespaces { namespace.values = [] }
            for scope in scopes { scope.values = [] }
        }
        let scope = Scope(nil)
        for (name, value) in variables { scope.set(name, value) }
        _ = try execute(statements, scope)
        return output
    }

    // MARK: - Budgets

    func fail(_ message: String) -> TemplateError { TemplateError(.evaluation, line: line, message) }

    private func exhausted(_ what: String) -> TemplateError {
        TemplateError(.limit, line: line, "\(what); shorten the conversation, or use a simpler chat template")
    }

    /// Counts steps before they are taken.
    func charge(_ count: Int = 1) throws(TemplateError) {
        steps = steps.addingReportingOverflow(max(0, count)).partialValue
        guard steps >= 0 && steps <= limits.steps else {
            throw exhausted("rendering takes more than \(limits.steps) steps")
        }
    }

    /// Counts bytes before they are allocated, and the steps of filling them.
    func allocate(_ bytes: Int) throws(TemplateError) {
        let bytes = max(0, bytes)
        let (total, overflow) = memory.addingReportingOverflow(bytes)
        guard !overflow && total <= memoryLimit else {
            throw exhausted("rendering allocates more than \(memoryLimit) bytes")
        }
        memory = total
        try charge(bytes / 64)
    }

    /// Counts the steps of reading a text.
    func scan(_ text: Text) throws(TemplateError) { try charge(1 + text.bytes.count / 64) }

    func enter() throws(TemplateError) {
        depth += 1
        guard depth <= limits.depth else {
            throw exhausted("rendering has more than \(limits.depth) expressions, blocks and macros inside each other")
        }
        try charge()
    }

    func leave() { depth -= 1 }

    // MARK: - New values

    /// Text that was just made from texts: pays for its bytes.
    func made(_ text: Text) throws(TemplateError) -> Value {
        try allocate(32 + text.cost)
        return .text(text)
    }

    /// Lists that were just made.
    func made(_ kind: Items.Kind, _ elements: [Value]) throws(TemplateError) -> Value {
        try allocate(48 + elements.count * MemoryLayout<Value>.stride)
        try charge(elements.count)
        let items = Items(kind, elements)
        try checkDepth(items.depth)
        return .items(items)
    }

    func made(_ mapping: Mapping) throws(TemplateError) -> Value {
        try allocate(64 + mapping.entries.count * 4 * MemoryLayout<Value>.stride)
        try checkDepth(mapping.depth)
        return .mapping(mapping)
    }

    private func checkDepth(_ depth: Int) throws(TemplateError) {
        guard depth <= limits.valueDepth else {
            throw exhausted("a value has more than \(limits.valueDepth) lists and dictionaries inside each other")
        }
    }

    func makeNamespace() throws(TemplateError) -> Namespace {
        try allocate(128)
        let namespace = Namespace()
        namespaces.append(namespace)
        return namespace
    }

    func makeMacro(_ definition: MacroDefinition, _ scope: Scope) throws(TemplateError) -> Value {
        try allocate(128)
        scopes.append(scope)
        return .macro(Macro(definition, scope))
    }

    func makeMethod(_ receiver: Value, _ name: String) throws(TemplateError) -> Value {
        try allocate(64)
        let method = BoundMethod(receiver, name)
        try checkDepth(method.depth)
        return .method(method)
    }

    func makeLoop(
        _ elements: [Value], nesting: Int, _ recursion: (loop: ForLoop, scope: Scope)?
    ) throws(TemplateError) -> LoopState {
        try allocate(128)
        try charge(elements.count / 16)
        let loop = LoopState(elements, nesting: nesting, recursion: recursion)
        try checkDepth(loop.depth)
        return loop
    }

    // MARK: - Output

    func write(_ text: Text) throws(TemplateError) {
        try allocate(text.cost)
        guard text.bytes.count <= limits.outputBytes - output.bytes.count else {
            throw exhausted("the rendered text has more than \(limits.outputBytes) bytes")
        }
        output.append(text)
    }

    /// What the statements write, instead of writing it.
    func capture(_ body: [Statement], _ scope: Scope) throws(TemplateError) -> Text {
        let outer = output
        output = Text()
        defer { output = outer }
        _ = try execute(body, scope)
        return output
    }
}
