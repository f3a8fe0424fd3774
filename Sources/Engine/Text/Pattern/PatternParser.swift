/// Reads the regular expressions of pre-tokenizers: the part of Oniguruma's Ruby syntax that takes linear time.
///
/// Characters, `.`, classes, `\s \d \w`, `\p{…}` of general categories, groups, `|`, `? * + {n,m}` greedy and lazy, `?+ *+ ++`
/// after one character, `(?=…)`, `(?!…)`, `(?i:…)`, `^ $ \A \z \Z`. Groups capture nothing. All else is refused.
struct PatternParser {
    /// Groups and classes inside each other.
    private static let maximumDepth = 32
    /// The largest number in `{n,m}`.
    private static let maximumCount = 1_000

    private let characters: [Unicode.Scalar]
    private var position = 0
    private var depth = 0
    private var ignoresCase = false

    /// Parses a whole pattern.
    static func parse(_ source: String) throws(PatternError) -> PatternNode {
        var parser = PatternParser(source)
        let node = try parser.choice()
        guard parser.peek == nil else { throw parser.fail("a ')' without '('") }
        return node
    }

    private init(_ source: String) {
        characters = Array(source.unicodeScalars)
    }

    private mutating func choice() throws(PatternError) -> PatternNode {
        depth += 1
        guard depth <= Self.maximumDepth else { throw fail("more than \(Self.maximumDepth) groups inside each other") }
        let ignoredCase = ignoresCase
        var alternatives: [PatternNode] = []
        repeat { alternatives.append(try sequence()) } while skip("|")
        ignoresCase = ignoredCase
        depth -= 1
        return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
    }

    private mutating func sequence() throws(PatternError) -> PatternNode {
        var nodes: [PatternNode] = []
        while let next = peek, next != "|", next != ")" {
            guard let atom = try atom() else { continue }
            nodes.append(try quantified(atom))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    /// Nil for what is only a switch.
    private mutating func atom() throws(PatternError) -> PatternNode? {
        switch try next() {
        case "(": return try group()
        case "[": return .set(try bracket())
        case ".": return .set(.complement(.range(0x0A...0x0A)))
        case "^": return .boundary(.lineStart)
        case "$": return .boundary(.lineEnd)
        case "\\": return try escape()
        case "*", "+", "?": throw fail("nothing to repeat", back: 1)
        case let character: return .set(literal(character.value))
        }
    }

    private func literal(_ value: UInt32) -> CharacterSet {
        ignoresCase ? .caseless(.range(value...value)) : .range(value...value)
    }

    // MARK: - Groups

    private mutating func group() throws(PatternError) -> PatternNode? {
        guard skip("?") else { return try closed(try choice()) }
        switch try next() {
        case ":": return try closed(try choice())
        case "=": return .look(try closed(try choice()), isNegative: false)
        case "!": return .look(try closed(try choice()), isNegative: true)
        case "i": return try flagged(true)
        case "-" where skip("i"): return try flagged(false)
        default: throw fail("this kind of group is not supported", back: 1)
        }
    }

    /// `(?i:…)`, or `(?i)` for the rest of the group around it.
    private mutating func flagged(_ value: Bool) throws(PatternError) -> PatternNode? {
        let before = ignoresCase
        ignoresCase = value
        if skip(")") { return nil }
        guard skip(":") else { throw fail("this flag is not supported") }
        let node = try closed(try choice())
        ignoresCase = before
        return node
    }

    private mutating func closed(_ node: PatternNode) throws(PatternError) -> PatternNode {
        guard skip(")") else { throw fail("')' is missing") }
        return node
    }

    // MARK: - Repetition

    private mutating func quantified(_ atom: PatternNode) throws(PatternError) -> PatternNode {
        var node = atom
        var count = 0
        while let (minimum, maximum, takesPlus) = try quantifier() {
            count += 1
            guard count <= Self.maximumDepth else { throw fail("a repetition of repetitions, too many times") }
            var greed = PatternNode.Greed.greedy
            if skip("?") {
                greed = .lazy
            } else if takesPlus, skip("+") {
                guard case .set = node else { throw fail("possessive repetition of more than one character", back: 1) }
                greed = .possessive
            }
            guard maximum != nil || !node.mayBeEmpty else {
                throw fail("endless repetition of what may be empty", back: 1)
            }
            node = .repeated(node, minimum: minimum, maximum: maximum, greed)
        }
        return node
    }

    /// After `{n,m}` a plus is a repetition of its own, not possessive.
    private mutating func quantifier() throws(PatternError) -> (minimum: Int, maximum: Int?, takesPlus: Bool)? {
        if skip("?") { return (0, 1, true) }
        if skip("*") { return (0, nil, true) }
        if skip("+") { return (1, nil, true) }
        guard peek == "{" else { return nil }
        let start = position
        position += 1
        let minimum = try number()
        let maximum = skip(",") ? try number() : minimum
        guard skip("}"), minimum != nil || maximum != nil else {
            position = start
            throw fail("'{' that is no repetition; write '\\{'")
        }
        if let minimum, let maximum, minimum > maximum { throw fail("a repetition whose limits are in wrong order") }
        return (minimum ?? 0, maximum, false)
    }

    private mutating func number() throws(PatternError) -> Int? {
        let start = position
        var value = 0
        while let digit = peek.flatMap({ Int(String($0)) }) {
            position += 1
            value = value * 10 + digit
            guard value <= Self.maximumCount else { throw fail("a repetition of more than \(Self.maximumCount)") }
        }
        return position > start ? value : nil
    }

    // MARK: - Characters

    private mutating func escape() throws(PatternError) -> PatternNode {
        switch peek {
        case "A": return try boundary(.textStart)
        case "z": return try boundary(.textEnd)
        case "Z": return try boundary(.textEndOrLastLineBreak)
        default:
            switch try escapedSet() {
            case .range(let range) where range.count == 1: return .set(literal(range.lowerBound))
            case let set: return .set(set)
            }
        }
    }

    private mutating func boundary(_ boundary: PatternNode.Boundary) throws(PatternError) -> PatternNode {
        position += 1
        return .boundary(boundary)
    }

    /// What stands after a backslash, in a class or outside.
    private mutating func escapedSet() throws(PatternError) -> CharacterSet {
        let character = try next()
        switch character {
        case "s": return .whitespace
        case "S": return .complement(.whitespace)
        case "d": return .categories(Unicode.GeneralCategory.mask(named: "Nd"))
        case "D": return .complement(.categories(Unicode.GeneralCategory.mask(named: "Nd")))
        case "w": return .word
        case "W": return .complement(.word)
        case "p": return try property()
        case "P": return .complement(try property())
        case "n": return .range(0x0A...0x0A)
        case "r": return .range(0x0D...0x0D)
        case "t": return .range(0x09...0x09)
        case "f": return .range(0x0C...0x0C)
        case "v": return .range(0x0B...0x0B)
        case "u": return try hexadecimal(digits: 4...4)
        case "x": return skip("{") ? try hexadecimal(digits: 1...6, end: "}") : try hexadecimal(digits: 1...2)
        case "0"..."9", "a"..."z", "A"..."Z": throw fail("the escape '\\\(character)' is not supported", back: 2)
        default: return .range(character.value...character.value)
        }
    }

    private mutating func hexadecimal(
        digits: ClosedRange<Int>, end: Unicode.Scalar? = nil
    ) throws(PatternError) -> CharacterSet {
        var value: UInt32 = 0
        var count = 0
        while count < digits.upperBound, let digit = peek.flatMap({ Character($0).hexDigitValue }) {
            position += 1
            count += 1
            value = value << 4 | UInt32(digit)
        }
        guard count >= digits.lowerBound, end.map({ skip($0) }) ?? true, Unicode.Scalar(value) != nil else {
            throw fail("no character has this number")
        }
        return .range(value...value)
    }

    /// `{Name}` or `{^Name}`.
    private mutating func property() throws(PatternError) -> CharacterSet {
        guard skip("{") else { throw fail("'{' is missing after '\\p'") }
        let isNegated = skip("^")
        var name = ""
        while let character = peek, character != "}" {
            name.unicodeScalars.append(character)
            position += 1
        }
        guard skip("}") else { throw fail("'}' is missing") }
        let mask = Unicode.GeneralCategory.mask(named: name)
        guard mask != 0 else {
            throw fail("\\p{\(name.printable)} is no general category", back: name.unicodeScalars.count + 1)
        }
        return isNegated ? .complement(.categories(mask)) : .categories(mask)
    }

    // MARK: - Classes

    /// A class whose `[` is read.
    private mutating func bracket() throws(PatternError) -> CharacterSet {
        depth += 1
        guard depth <= Self.maximumDepth else { throw fail("more than \(Self.maximumDepth) groups inside each other") }
        let isNegated = skip("^")
        var members: [CharacterSet] = []
        while !skip("]") { members.append(try classMember()) }
        guard !members.isEmpty else { throw fail("an empty class", back: 1) }
        depth -= 1
        return isNegated ? .complement(.union(members)) : .union(members)
    }

    private mutating func classMember() throws(PatternError) -> CharacterSet {
        guard peek != nil else { throw fail("']' is missing") }
        if skip("[") {
            guard peek != ":" else { throw fail("classes such as [:alpha:] are not supported") }
            return try bracket()
        }
        if peek == "&", position + 1 < characters.count, characters[position + 1] == "&" {
            throw fail("intersections of classes are not supported")
        }
        let first = try classCharacter()
        guard case .range(let low) = first, low.count == 1 else { return first }
        guard peek == "-", position + 1 < characters.count, characters[position + 1] != "]" else {
            return literal(low.lowerBound)
        }
        position += 1
        guard case .range(let high) = try classCharacter(), high.count == 1, low.lowerBound <= high.lowerBound else {
            throw fail("a range whose ends are not two characters in order")
        }
        let range = CharacterSet.range(low.lowerBound...high.lowerBound)
        return ignoresCase ? .caseless(range) : range
    }

    private mutating func classCharacter() throws(PatternError) -> CharacterSet {
        let character = try next()
        return character == "\\" ? try escapedSet() : .range(character.value...character.value)
    }

    // MARK: - Input

    private var peek: Unicode.Scalar? { position < characters.count ? characters[position] : nil }

    private mutating func next() throws(PatternError) -> Unicode.Scalar {
        guard let character = peek else { throw fail("the pattern ends too early") }
        position += 1
        return character
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard peek == character else { return false }
        position += 1
        return true
    }

    private func fail(_ message: String, back: Int = 0) -> PatternError {
        PatternError(offset: max(0, position - back), message: message)
    }
}
