/// A token that is found in text before anything else happens to it.
struct AddedToken: Sendable {
    /// Where and how a token is found.
    struct Rules: OptionSet, Sendable {
        let rawValue: UInt8
        /// Steers the model: found only where special tokens may be.
        static let special = Rules(rawValue: 1)
        /// Takes the white space before it along.
        static let stripsLeft = Rules(rawValue: 2)
        /// Takes the white space after it along.
        static let stripsRight = Rules(rawValue: 4)
        /// Not found inside a word.
        static let singleWord = Rules(rawValue: 8)
    }

    let token: Int32
    /// Its text in UTF-8.
    let bytes: [UInt8]
    let rules: Rules
}

/// Finds added tokens: from left to right, the longest of those that begin at a place.
struct AddedTokenMatcher: Sendable {
    /// A part of a text.
    enum Part {
        case text(Range<Int>)
        case token(Int32)
    }

    private let trie: SpecialTokenTrie
    private let rules: [Int32: AddedToken.Rules]
    /// Whether there is nothing to find.
    var isEmpty: Bool { rules.isEmpty }
    /// Whether any of the tokens is special.
    let hasSpecial: Bool

    init(_ tokens: [AddedToken]) {
        trie = SpecialTokenTrie(tokens)
        rules = Dictionary(tokens.map { ($0.token, $0.rules) }) { _, last in last }
        hasSpecial = tokens.contains { $0.rules.contains(.special) }
    }

    /// Calls `body` with the parts of a text in order; parts that are text are not empty.
    func forEachPart(of text: UnsafeBufferPointer<UInt8>, specialIn ranges: SpecialRanges, _ body: (Part) -> Void) {
        var start = 0
        var searchStart = 0
        while let (range, token) = trie.firstMatch(in: text, from: searchStart) {
            searchStart = range.upperBound
            let rules = rules[token] ?? []
            if rules.contains(.special), !ranges.contain(range) {
                // A user's text must not hide a special token that begins in it and is none there.
                if ranges.overlap(range) { searchStart = range.lowerBound + 1 }
                continue
            }
            if rules.contains(.singleWord), text.isInsideWord(range) { continue }
            let found = text.extended(range, by: rules, from: start)
            if start < found.lowerBound { body(.text(start..<found.lowerBound)) }
            body(.token(token))
            start = found.upperBound
            searchStart = start
        }
        if start < text.count { body(.text(start..<text.count)) }
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// The character that ends before `index`; nil at the beginning.
    private func scalar(before index: Int) -> (value: UInt32, length: Int)? {
        guard index > 0 else { return nil }
        var start = index - 1
        while start > 0, start > index - 4, self[start] & 0xC0 == 0x80 { start -= 1 }
        let scalar = ScalarReader(UnsafeBufferPointer(rebasing: self[..<index])).scalar(at: start)
        return start + scalar.length == index ? scalar : (0xFFFD, 1)
    }

    private func scalar(at index: Int) -> (value: UInt32, length: Int)? {
        index < count ? ScalarReader(self).scalar(at: index) : nil
    }

    fileprivate func isInsideWord(_ range: Range<Int>) -> Bool {
        [scalar(before: range.lowerBound), scalar(at: range.upperBound)].contains {
            $0.map { CharacterSet.word.contains($0.value) || (0x200C...0x200D).contains($0.value) } ?? false
        }
    }

    /// A match with the white space that it takes along, none of it before `start`.
    fileprivate func extended(_ range: Range<Int>, by rules: AddedToken.Rules, from start: Int) -> Range<Int> {
        var (lower, upper) = (range.lowerBound, range.upperBound)
        while rules.contains(.stripsLeft), lower > start, let before = scalar(before: lower),
            CharacterSet.whitespace.contains(before.value)
        {
            lower -= before.length
        }
        while rules.contains(.stripsRight), let after = scalar(at: upper), CharacterSet.whitespace.contains(after.value)
        {
            upper += after.length
        }
        return lower..<upper
    }
}
