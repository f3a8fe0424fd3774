/// A set of characters as patterns write it.
indirect enum CharacterSet: Sendable, Hashable {
    case range(ClosedRange<UInt32>)
    /// Bits of `Unicode.GeneralCategory.mask`.
    case categories(UInt32)
    /// White_Space
    case whitespace
    /// Alphabetic, marks, decimal numbers and connectors: `\w`
    case word
    case union([CharacterSet])
    case complement(CharacterSet)
    /// The set and every character that differs from one of it by case alone.
    case caseless(CharacterSet)

    /// Whether a character is in the set; numbers that are no character count as U+FFFD.
    func contains(_ value: UInt32) -> Bool {
        switch self {
        case .range(let range): return range.contains(value)
        case .categories(let mask): return Self.category(of: value) & mask != 0
        case .whitespace: return Self.scalar(value).properties.isWhitespace
        case .word:
            return Self.category(of: value) & Self.wordCategories != 0 || Self.scalar(value).properties.isAlphabetic
        case .union(let sets): return sets.contains { $0.contains(value) }
        case .complement(let set): return !set.contains(value)
        case .caseless(let set):
            return set.contains(value) || Self.caseVariants(of: value).contains(where: set.contains)
        }
    }

    /// (1,024) bit `value` of the whole says whether character `value` of the basic plane is in the set.
    var basicPlaneBits: [UInt64] {
        switch self {
        case .range(let range): return Self.bits(of: range)
        case .categories(let mask):
            let bits = Self.categoryBits.enumerated().filter { mask >> UInt32($0.offset) & 1 == 1 }
            return Self.union(bits.map(\.element))
        case .whitespace: return Self.whitespaceBits
        case .word: return Self.wordBits
        case .union(let sets): return Self.union(sets.map(\.basicPlaneBits))
        case .complement(let set): return set.basicPlaneBits.map { ~$0 }
        case .caseless(let set):
            var bits = set.basicPlaneBits
            for (value, variants) in Self.casedPlane where variants.contains(where: set.contains) {
                bits[Int(value >> 6)] |= 1 << UInt64(value & 63)
            }
            return bits
        }
    }

    private static let noBits = [UInt64](repeating: 0, count: 0x400)

    private static func union(_ sets: [[UInt64]]) -> [UInt64] {
        sets.reduce(into: noBits) { bits, more in
            for index in bits.indices { bits[index] |= more[index] }
        }
    }

    private static func bits(of range: ClosedRange<UInt32>) -> [UInt64] {
        var bits = noBits
        guard range.lowerBound <= 0xFFFF else { return bits }
        let (low, high) = (range.lowerBound, min(range.upperBound, 0xFFFF))
        for index in Int(low >> 6)...Int(high >> 6) { bits[index] = ~0 }
        bits[Int(low >> 6)] &= ~0 << UInt64(low & 63)
        bits[Int(high >> 6)] &= ~0 >> UInt64(63 - (high & 63))
        return bits
    }

    private static func bits(where isMember: (UInt32) -> Bool) -> [UInt64] {
        var bits = noBits
        for value in UInt32(0)...0xFFFF where isMember(value) { bits[Int(value >> 6)] |= 1 << UInt64(value & 63) }
        return bits
    }

    private static let whitespaceBits = bits { scalar($0).properties.isWhitespace }
    private static let wordBits = bits(where: CharacterSet.word.contains)

    /// (32, 1,024) the characters of each category.
    private static let categoryBits: [[UInt64]] = basicPlane.indices.reduce(
        into: Array(repeating: noBits, count: UInt32.bitWidth)
    ) { bits, value in
        bits[basicPlane[value].trailingZeroBitCount][value >> 6] |= 1 << UInt64(value & 63)
    }

    private static let wordCategories: UInt32 =
        Unicode.GeneralCategory.mask(named: "M") | .mask(of: .decimalNumber)
        | .mask(of: .connectorPunctuation)

    private static func scalar(_ value: UInt32) -> Unicode.Scalar { Unicode.Scalar(value) ?? "\u{FFFD}" }

    private static func category(of value: UInt32) -> UInt32 {
        value < 0x1_0000 ? basicPlane[Int(value)] : .mask(of: scalar(value).properties.generalCategory)
    }

    /// (65,536) category masks of the basic plane: every class of a pattern is evaluated on all of it.
    private static let basicPlane: [UInt32] = (0..<0x1_0000).map { .mask(of: scalar($0).properties.generalCategory) }

    /// Other characters that differ from one by case alone, for those of the basic plane that have such; beyond it only
    /// what each is mapped to counts.
    private static let casedPlane: [UInt32: [UInt32]] = {
        var result: [UInt32: [UInt32]] = [:]
        for value in UInt32(0)..<0x1_0000 where basicPlane[Int(value)] & casedCategories != 0 {
            let variants = variants(of: value).filter { $0 != value }
            if !variants.isEmpty { result[value] = variants }
        }
        return result
    }()

    /// Letters, and the numbers and symbols that have case.
    private static let casedCategories = ["L", "Nl", "So", "Mn"].reduce(UInt32(0)) {
        $0 | Unicode.GeneralCategory.mask(named: $1)
    }

    private static func caseVariants(of value: UInt32) -> [UInt32] {
        value < 0x1_0000 ? casedPlane[value] ?? [] : variants(of: value)
    }

    /// Lower, upper, and both in a row: "ſ" is a case of "s" by way of "S", but "ı" is none of "i" to Unicode.
    private static func variants(of value: UInt32) -> [UInt32] {
        if value == 0x131 { return [] }
        let lower = single(scalar(value).properties.lowercaseMapping) ?? value
        let upper = single(scalar(value).properties.uppercaseMapping) ?? value
        return [
            lower, upper, single(scalar(lower).properties.uppercaseMapping) ?? lower,
            single(scalar(upper).properties.lowercaseMapping) ?? upper,
        ]
    }

    private static func single(_ mapping: String) -> UInt32? {
        mapping.unicodeScalars.count == 1 ? mapping.unicodeScalars.first?.value : nil
    }
}

extension UInt32 {
    fileprivate static func mask(of category: Unicode.GeneralCategory) -> UInt32 {
        1 << UInt32(Unicode.GeneralCategory.named.firstIndex { $0.category == category } ?? 31)
    }
}

extension Unicode.GeneralCategory {
    /// The two-letter names of Unicode.
    fileprivate static let named: [(name: String, category: Unicode.GeneralCategory)] = [
        ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter),
        ("Lo", .otherLetter), ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark),
        ("Nd", .decimalNumber), ("Nl", .letterNumber), ("No", .otherNumber), ("Pc", .connectorPunctuation),
        ("Pd", .dashPunctuation), ("Ps", .openPunctuation), ("Pe", .closePunctuation), ("Pi", .initialPunctuation),
        ("Pf", .finalPunctuation), ("Po", .otherPunctuation), ("Sm", .mathSymbol), ("Sc", .currencySymbol),
        ("Sk", .modifierSymbol), ("So", .otherSymbol), ("Zs", .spaceSeparator), ("Zl", .lineSeparator),
        ("Zp", .paragraphSeparator), ("Cc", .control), ("Cf", .format), ("Cs", .surrogate), ("Co", .privateUse),
        ("Cn", .unassigned),
    ]

    /// One bit per category that the name, of one letter or two, stands for; 0 for an unknown name.
    static func mask(named name: String) -> UInt32 {
        guard !name.isEmpty, name.utf8.count <= 2 else { return 0 }
        return named.enumerated().reduce(0) { $0 | ($1.element.name.hasPrefix(name) ? 1 << UInt32($1.offset) : 0) }
    }
}
