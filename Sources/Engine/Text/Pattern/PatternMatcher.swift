/// A regular expression of the subset that `PatternParser` names.
package struct Pattern: Sendable {
    /// Bytes after which a pattern is refused.
    static let maximumByteCount = 16_384
    let program: PatternProgram

    /// - Throws: `PatternError` for what is outside the subset.
    package init(_ source: String) throws(PatternError) {
        guard source.utf8.count <= Self.maximumByteCount else {
            throw PatternError(
                offset: 0, message: "\(source.utf8.count) bytes; patterns have at most \(Self.maximumByteCount)")
        }
        program = try PatternProgram(PatternParser.parse(source))
    }

    /// A pattern that matches one text.
    init(literal text: String) throws(PatternError) {
        program = try PatternProgram(.sequence(text.unicodeScalars.map { .set(.range($0.value...$0.value)) }))
    }
}

/// Finds the matches of a pattern in texts, the first alternative first, as a backtracking engine does.
///
/// Unlike one, it remembers from which (instruction, place) no match follows, and never tries one of these again, not even
/// for a later match in the same text: it takes at most as many steps as the program has instructions, per byte.
package struct PatternMatcher {
    private static let failed: UInt8 = 1
    private static let succeeded: UInt8 = 2

    /// A choice not yet tried.
    private struct Choice {
        let pc: Int
        let position: Int
        /// Entries of `trail` when it was met; later ones have failed once this one is taken.
        let trailCount: Int
    }

    private let program: PatternProgram
    private var choices: [Choice] = []
    /// Marked (slot, place) on the way from the start to here.
    private var trail: [Int] = []
    /// (slots, bytes + 1) what is known of each.
    private var marks: [UInt8] = []
    /// (tables) the last run of each that a span has measured: from any place inside, it ends at the same end.
    private var runs: [Range<Int>]
    /// Instructions executed: the measure of work that tests hold to the length of the text.
    package private(set) var steps = 0

    /// A matcher for many texts, one after the other.
    package init(_ pattern: Pattern) {
        program = pattern.program
        runs = Array(repeating: 0..<0, count: program.tables.count)
    }

    /// Calls `body` with each match from left to right. Empty ones count, but for those at the end of the one before.
    package mutating func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
        guard var start = nextStart(in: text, from: 0) else { return }
        reset(for: text)
        let utf8 = ScalarReader(text)
        var lastEnd = -1
        while let next = nextStart(in: text, from: start) {
            start = next
            guard let end = matchEnd(in: utf8, from: start), !(end == start && end == lastEnd) else {
                start += start < text.count ? utf8.scalar(at: start).length : 1
                continue
            }
            body(start..<end)
            lastEnd = end
            start = end
        }
    }

    /// The first place from `start` on, the end included, where a match may begin.
    private func nextStart(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        var start = start
        while start < text.count, !program.begins[Int(text[start])] { start += 1 }
        return start < text.count || (start == text.count && program.mayBeEmpty) ? start : nil
    }

    private mutating func reset(for text: UnsafeBufferPointer<UInt8>) {
        let count = program.slotCount * (text.count + 1)
        if marks.count < count || marks.count > count * 4 + 4096 {
            marks = Array(repeating: 0, count: count)
        } else {
            marks.withUnsafeMutableBufferPointer { $0[..<count].update(repeating: 0) }
        }
        for index in runs.indices { runs[index] = 0..<0 }
    }

    private mutating func matchEnd(in text: ScalarReader, from start: Int) -> Int? {
        let entries = start < text.bytes.count ? program.entriesByByte[Int(text.bytes[start])] : program.entries
        for entry in entries {
            if let end = run(text, pc: entry, at: start) { return end }
        }
        return nil
    }

    /// The end of the match that begins at an instruction and a place.
    private mutating func run(_ text: ScalarReader, pc entry: Int, at start: Int, isLook: Bool = false) -> Int? {
        let (firstChoice, firstMark) = (choices.count, trail.count)
        let places = text.bytes.count + 1
        var (pc, position) = (entry, start)
        var alive = true
        while true {
            if !alive {
                guard choices.count > firstChoice, let choice = choices.popLast() else {
                    trail.removeLast(trail.count - firstMark)
                    return nil
                }
                trail.removeLast(trail.count - choice.trailCount)
                (pc, position, alive) = (choice.pc, choice.position, true)
            }
            steps += 1
            switch program.instructions[pc] {
            case .set(let table):
                alive = position < text.bytes.count
                if alive {
                    let next = text.scalar(at: position)
                    alive = program.tables.contains(next.value, in: table)
                    position += next.length
                    pc += 1
                }
            case .span(let table, let limit):
                position = endOfSpan(text, table, from: position, limit)
                pc += 1
            case .split(let first, let second, let slot):
                if slot >= 0 {
                    let mark = slot * places + position
                    if marks[mark] == Self.succeeded { return finish(firstChoice, firstMark, position, isLook) }
                    guard marks[mark] == 0 else {
                        alive = false
                        continue
                    }
                    marks[mark] = Self.failed
                    trail.append(mark)
                }
                choices.append(Choice(pc: second, position: position, trailCount: trail.count))
                pc = first
            case .jump(let target): pc = target
            case .look(let isNegative, let end, let slot):
                let mark = slot * places + position
                if marks[mark] == 0 {
                    let matches = run(text, pc: pc + 1, at: position, isLook: true) != nil
                    marks[mark] = matches ? Self.succeeded : Self.failed
                }
                alive = (marks[mark] == Self.succeeded) != isNegative
                pc = end
            case .boundary(let boundary):
                alive = text.isAt(boundary, position)
                pc += 1
            case .match: return finish(firstChoice, firstMark, position, isLook)
            }
        }
    }

    /// What is marked on the way of a match has not failed. In a look-ahead, whose end nobody asks for, it has succeeded.
    private mutating func finish(_ firstChoice: Int, _ firstMark: Int, _ end: Int, _ isLook: Bool) -> Int {
        for mark in trail[firstMark...] { marks[mark] = isLook ? Self.succeeded : 0 }
        trail.removeLast(trail.count - firstMark)
        choices.removeLast(choices.count - firstChoice)
        return end
    }

    private mutating func endOfSpan(_ text: ScalarReader, _ table: Int, from start: Int, _ limit: Int) -> Int {
        if limit == .max, runs[table].contains(start) { return runs[table].upperBound }
        var end = start
        var left = limit
        while left > 0, end < text.bytes.count {
            let next = text.scalar(at: end)
            guard program.tables.contains(next.value, in: table) else { break }
            end += next.length
            left -= 1
            steps += 1
        }
        if limit == .max { runs[table] = start..<end }
        return end
    }
}

/// Reads characters from UTF-8 at any byte position. A byte that begins no character counts as U+FFFD.
struct ScalarReader {
    let bytes: UnsafeBufferPointer<UInt8>

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    /// The character at `index`, which must be before the end, and the bytes it takes.
    @inline(__always)
    func scalar(at index: Int) -> (value: UInt32, length: Int) {
        let lead = bytes[index]
        return lead < 0x80 ? (UInt32(lead), 1) : longScalar(at: index, lead: lead)
    }

    private func longScalar(at index: Int, lead: UInt8) -> (value: UInt32, length: Int) {
        let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
        guard lead >= 0xC2, lead <= 0xF4, index + length <= bytes.count else { return (0xFFFD, 1) }
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for offset in 1..<length {
            let byte = bytes[index + offset]
            guard byte & 0xC0 == 0x80 else { return (0xFFFD, 1) }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        return Unicode.Scalar(value) == nil ? (0xFFFD, 1) : (value, length)
    }

    /// Whether a place, 0...count, is such a one.
    func isAt(_ boundary: PatternNode.Boundary, _ position: Int) -> Bool {
        let newline = UInt8(ascii: "\n")
        return switch boundary {
        case .textStart: position == 0
        case .textEnd: position == bytes.count
        case .lineStart: position == 0 || (bytes[position - 1] == newline && position < bytes.count)
        case .lineEnd: position == bytes.count || bytes[position] == newline
        case .textEndOrLastLineBreak:
            position == bytes.count || (position == bytes.count - 1 && bytes[position] == newline)
        }
    }
}
