/// A pattern as instructions for `PatternMatcher`.
struct PatternProgram: Sendable {
    enum Instruction: Sendable {
        /// Consumes a character of a table.
        case set(table: Int)
        /// Consumes as many characters of a table as there are, at most `limit`, and never gives one back.
        case span(table: Int, limit: Int)
        /// Goes on at `first`, and at `second` if that fails. A `slot` remembers where it failed; -1 for what is met once
        /// per place anyway.
        case split(first: Int, second: Int, slot: Int)
        case jump(Int)
        /// Goes on at `end` if the instructions that follow, up to their `match`, match here or, if negative, do not.
        case look(isNegative: Bool, end: Int, slot: Int)
        case boundary(PatternNode.Boundary)
        case match
    }

    /// Instructions after which a pattern is refused.
    static let maximumCount = 4_096
    /// Sets of characters after which a pattern is refused; each takes 8 KiB.
    static let maximumTableCount = 512

    private(set) var instructions: [Instruction] = []
    private(set) var tables = CharacterTables()
    private var compiledNodes = 0
    /// Slots that instructions use.
    private(set) var slotCount = 0
    /// (256) where to begin, in order, at each first byte; alternatives that cannot begin with it are left out.
    private(set) var entriesByByte: [[Int]] = []
    /// Where to begin at the end of the text.
    private(set) var entries: [Int] = []
    /// (256) whether a match may begin with the byte.
    private(set) var begins: [Bool] = []
    /// Whether a match may be empty.
    let mayBeEmpty: Bool

    init(_ node: PatternNode) throws(PatternError) {
        mayBeEmpty = node.mayBeEmpty
        let alternatives = if case .choice(let nodes) = node { nodes } else { [node] }
        for alternative in alternatives {
            entries.append(instructions.count)
            try compile(alternative, Context(isLast: true, isAtStart: true))
            try emit(.match)
        }
        let leads = entries.map { leadBytes(from: $0) }
        entriesByByte = (0..<256).map { byte in zip(entries, leads).filter { $0.1[byte] }.map(\.0) }
        begins = entriesByByte.map { !$0.isEmpty }
    }

    /// What is known of the place of a node.
    private struct Context {
        /// Nothing after the node can fail, so that the first way through it is the way of the match.
        var isLast: Bool
        /// Nothing before the node consumes characters, so that a search comes here once per place.
        var isAtStart: Bool
        static let anywhere = Context(isLast: false, isAtStart: false)
    }

    // MARK: - Compilation

    private mutating func compile(_ node: PatternNode, _ context: Context) throws(PatternError) {
        // Repetitions of nothing compile to nothing, but not in no time.
        compiledNodes += 1
        guard compiledNodes <= Self.maximumCount * 4 else { throw Self.tooLong }
        switch node {
        case .set(let set): try emit(.set(table: try table(set)))
        case .boundary(let boundary): try emit(.boundary(boundary))
        case .sequence(let nodes):
            var context = context
            let isLast = context.isLast
            for (index, node) in nodes.enumerated() {
                context.isLast = isLast && nodes[(index + 1)...].allSatisfy(\.cannotFail)
                try compile(node, context)
                if case .look = node { continue }
                if case .boundary = node { continue }
                context.isAtStart = false
            }
        case .choice(let nodes): try compileChoice(nodes, context)
        case .look(let node, let isNegative):
            let look = try emit(.match)
            try compile(node, Context(isLast: true, isAtStart: false))
            try emit(.match)
            instructions[look] = .look(isNegative: isNegative, end: instructions.count, slot: newSlot())
        case .repeated(let node, let minimum, let maximum, let greed):
            for _ in 0..<minimum { try compile(node, .anywhere) }
            try compileRest(of: node, maximum.map { $0 - minimum }, greed, context, isAtStart: minimum == 0)
        }
    }

    private mutating func compileChoice(_ nodes: [PatternNode], _ context: Context) throws(PatternError) {
        var exits: [Int] = []
        for node in nodes.dropLast() {
            let split = try emit(.match)
            try compile(node, context)
            exits.append(try emit(.match))
            instructions[split] = .split(first: split + 1, second: instructions.count, slot: slot(context))
        }
        if let last = nodes.last { try compile(last, context) }
        for exit in exits { instructions[exit] = .jump(instructions.count) }
    }

    /// What may come after the repetitions that must come: `limit` more, or any number.
    private mutating func compileRest(
        of node: PatternNode, _ limit: Int?, _ greed: PatternNode.Greed, _ context: Context, isAtStart: Bool
    ) throws(PatternError) {
        if case .set(let set) = node, greed == .possessive || (greed == .greedy && context.isLast) {
            try emit(.span(table: try table(set), limit: limit ?? .max))
            return
        }
        let start = instructions.count
        let slot = slot(Context(isLast: false, isAtStart: context.isAtStart && isAtStart && limit == 1))
        var splits: [Int] = []
        for _ in 0..<(limit ?? 1) {
            splits.append(try emit(.match))
            try compile(node, .anywhere)
        }
        if limit == nil { try emit(.jump(start)) }
        for (index, split) in splits.enumerated() {
            let (body, end) = (split + 1, instructions.count)
            instructions[split] = .split(
                first: greed == .lazy ? end : body, second: greed == .lazy ? body : end,
                slot: index == 0 ? slot : newSlot())
        }
    }

    private mutating func slot(_ context: Context) -> Int { context.isAtStart ? -1 : newSlot() }

    private mutating func newSlot() -> Int {
        slotCount += 1
        return slotCount - 1
    }

    @discardableResult
    private mutating func emit(_ instruction: Instruction) throws(PatternError) -> Int {
        guard instructions.count < Self.maximumCount else {
            throw Self.tooLong
        }
        instructions.append(instruction)
        return instructions.count - 1
    }

    private mutating func table(_ set: CharacterSet) throws(PatternError) -> Int {
        let index = tables.index(of: set)
        guard index < Self.maximumTableCount else {
            throw PatternError(offset: 0, message: "more than \(Self.maximumTableCount) sets of characters")
        }
        return index
    }

    private static let tooLong = PatternError(
        offset: 0, message: "the pattern needs more than \(maximumCount) instructions")

    // MARK: - First bytes

    /// (256) the bytes that a match from `entry` may begin with; all, if it may be empty.
    private func leadBytes(from entry: Int) -> [Bool] {
        var result = [Bool](repeating: false, count: 256)
        var seen = Set<Int>()
        var pending = [entry]
        func merge(_ bytes: [Bool]) {
            for (byte, begins) in bytes.enumerated() where begins { result[byte] = true }
        }
        while let pc = pending.popLast() {
            guard seen.insert(pc).inserted else { continue }
            switch instructions[pc] {
            case .set(let table): merge(tables.leadBytes[table])
            case .span(let table, _):
                merge(tables.leadBytes[table])
                pending.append(pc + 1)
            case .split(let first, let second, _): pending += [first, second]
            case .jump(let target): pending.append(target)
            case .look(_, let end, _): pending.append(end)
            case .boundary: pending.append(pc + 1)
            case .match: return [Bool](repeating: true, count: 256)
            }
        }
        return result
    }
}
