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

    private static let wordCategories: UInt32 =
        Unicode.GeneralCategory.mask(named: "M") | .mask(of: .decimalNumber)
        | .mask(of: .connectorPunctuation)

    private static func scalar(_ value: UInt32) -> Unicode.Scalar { Unicode.Scalar(value) ?? "\u{FFFD}" }

    private static func category(of value: UInt32) -> UInt32 {
        value < 0x1_0000 ? basicPlane[Int(value)] : .mask(of: scalar(value).properties.generalCategory)
    }

    /// (65,536) category masks of the basic plane: every class of a pattern is evaluated on all of it.
    private static let basicPlane: [UInt32] = (0..<0x1_0000).map { .mask(of: scalar($0).properties.generalCategory) }

    /// Lower, upper, and both in a row: "ſ" is a case of "s" by way of "S", but "ı" is none of "i" to Unicode.
    private static func caseVariants(of value: UInt32) -> [UInt32] {
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
