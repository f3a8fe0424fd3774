/// The classes of characters that pre-tokenizers tell apart.
enum CharacterClass: UInt8 {
    /// `\p{L}`
    case letter
    /// `\p{N}`
    case number
    /// `\s`: White_Space
    case whitespace
    /// `\p{P}` and the symbols `$ + < = > ^ ~ |`; apart from `other` only for the pre-tokenizer "default"
    case punctuation
    /// Everything else: symbols, marks, controls, bytes that are no UTF-8
    case other

    /// The class of a character, from the Unicode tables of the standard library.
    init(_ scalar: Unicode.Scalar) {
        let properties = scalar.properties
        if properties.isWhitespace {
            self = .whitespace
            return
        }
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
        case .decimalNumber, .letterNumber, .otherNumber: self = .number
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            self = .punctuation
        default: self = "$+<=>^~|".unicodeScalars.contains(scalar) ? .punctuation : .other
        }
    }

    /// (65,536) the classes of the basic plane: two milliseconds once, instead of a search in Unicode's tables for
    /// each character.
    static let basicPlane: [CharacterClass] = (0..<0x1_0000).map { value in
        Unicode.Scalar(UInt32(value)).map { CharacterClass($0) } ?? .other
    }
}

/// Reads classified characters from UTF-8 at any byte position. A byte that begins no character counts as one
/// character of class `other`, so that no input can stop a scanner.
struct ClassifiedText {
    /// One character.
    struct Character {
        let kind: CharacterClass
        /// Bytes it takes.
        let length: Int
    }

    let bytes: UnsafeBufferPointer<UInt8>
    private let basicPlane = CharacterClass.basicPlane

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    /// The character at `index`; nil at the end.
    @inline(__always)
    func character(at index: Int) -> Character? {
        guard index < bytes.count else { return nil }
        let lead = bytes[index]
        guard lead >= 0x80 else { return Character(kind: basicPlane[Int(lead)], length: 1) }
        return longCharacter(at: index, lead: lead)
    }

    /// A character of two to four bytes.
    private func longCharacter(at index: Int, lead: UInt8) -> Character {
        let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
        guard lead >= 0xC2, lead <= 0xF4, index + length <= bytes.count else {
            return Character(kind: .other, length: 1)
        }
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for offset in 1..<length {
            let byte = bytes[index + offset]
            guard byte & 0xC0 == 0x80 else { return Character(kind: .other, length: 1) }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        if value < 0x1_0000 { return Character(kind: basicPlane[Int(value)], length: length) }
        return Character(kind: Unicode.Scalar(value).map { CharacterClass($0) } ?? .other, length: length)
    }

    /// The end of the longest run of characters of one class that begins at `index`.
    @inline(__always)
    func endOfRun(_ kind: CharacterClass, from index: Int) -> Int {
        var end = index
        while let next = character(at: end), next.kind == kind { end += next.length }
        return end
    }

    /// The end of the longest run of symbols, `[^\s\p{L}\p{N}]*`, that begins at `index`.
    @inline(__always)
    func endOfSymbols(from index: Int) -> Int {
        var end = index
        while let next = character(at: end), next.kind == .punctuation || next.kind == .other { end += next.length }
        return end
    }
}
