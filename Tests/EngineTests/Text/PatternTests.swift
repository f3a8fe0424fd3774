import LMEngine
import TestKit
import Testing

@Suite struct PatternTests {
    private static let characters = Array(
        "aBéſßʰǅ中カ한\u{301}\u{93F}1٣½Ⅷ \u{A0}\u{3000}\t\n\r'sSdlLvVrRetTmM.,!?$_-—€😀\u{200D}\u{0}".unicodeScalars)

    /// Random texts, most of them with runs and contractions.
    private static func texts(_ count: Int, seed: UInt64) -> [String] {
        var random = TestRandom(seed: seed)
        return (0..<count).map { _ in
            var text = String.UnicodeScalarView()
            for _ in 0..<random.below(30) {
                let character = characters[random.below(characters.count)]
                for _ in 0...(random.below(4) == 0 ? random.below(6) : 0) { text.append(character) }
            }
            return String(text)
        }
    }

    private func matches(_ pattern: String, in text: String) throws -> [String] {
        var matcher = PatternMatcher(try Pattern(pattern))
        let bytes = Array(text.utf8)
        var result: [String] = []
        bytes.withUnsafeBufferPointer { text in
            matcher.forEachMatch(in: text) { result.append(String(decoding: text[$0], as: UTF8.self)) }
        }
        return result
    }

    @Test(arguments: [
        (PreTokenizer.gpt2Pattern, PreTokenizer.gpt2), (PreTokenizer.llamaPattern(digits: "{1,3}"), .llamaBPE),
        (PreTokenizer.llamaPattern(digits: ""), .qwen2),
    ])
    func theScannersCutWhereTheirPatternsDo(pattern: String, scanner: PreTokenizer) throws {
        #expect(PreTokenizer(pattern: pattern) == scanner)
        var matcher = PatternMatcher(try Pattern(pattern))
        for text in Self.texts(3000, seed: 8) {
            var (scanned, matched): ([Range<Int>], [Range<Int>]) = ([], [])
            Array(text.utf8).withUnsafeBufferPointer { bytes in
                scanner.forEachPiece(of: bytes) { scanned.append($0) }
                matcher.forEachMatch(in: bytes) { matched.append($0) }
            }
            #expect(scanned == matched, "\(text.debugDescription)")
        }
    }

    @Test func theFirstAlternativeThatMatchesWins() throws {
        #expect(try matches("a|ab", in: "abab") == ["a", "a"])
        #expect(try matches("(?:a|ab)c", in: "abcac") == ["abc", "ac"])
        #expect(try matches("a+?b|a", in: "aaba") == ["aab", "a"])
        #expect(try matches("[ab]*[bc]+", in: "ababcc") == ["ababcc"])
        #expect(try matches("a{2,3}", in: "aaaaaa a aa") == ["aaa", "aaa", "aa"])
        #expect(try matches("a?+a", in: "aaba") == ["aa"])
        #expect(try matches("a++a", in: "aaa").isEmpty)
        #expect(try matches("x(?=a+b)|x(?!a)", in: "xaab xaac x") == ["x", "x"])
        #expect(try matches("(?i:straße|K)", in: "STRASSE STRAßE k\u{212A}") == ["STRAßE", "k", "\u{212A}"])
        #expect(try matches(#"\s+$"#, in: "a  \n b  ") == ["  ", "  "])
        #expect(try matches(#"[^\s\p{L}[0-4]]+"#, in: "a1 57é—") == ["57", "—"])
        #expect(try matches("", in: "ab") == ["", "", ""])
    }

    @Test(arguments: [
        "a(", "a)", "[a", "[]", "*a", "a{2", "a{3,2}", "a{1,5000}", #"\p{Han}"#, #"\p{L"#, #"\b"#, #"(a)\1"#, "(?<=a)b",
        "(?>a)",
        "(?<n>a)", "(?m:a)", "(?:ab)++", "[[:alpha:]]", "[a-z&&b]", "[z-a]", "(a*)*", "(?:a?)+", #"\x{110000}"#, #"a\"#,
        String(repeating: "(", count: 100), String(repeating: "a{100}", count: 100),
        String(repeating: "a", count: 20_000),
        "((((()?){1000}){1000}){1000}){1000}", "((((){1000}){1000}){1000}){1000}",
        "a" + String(repeating: "?", count: 9_000),
        "(((((a{1000}){1000}){1000}){1000}){1000})",
    ])
    func whatTakesNoLinearTimeOrIsUnknownIsRefused(_ pattern: String) {
        #expect(throws: PatternError.self) { try Pattern(pattern) }
    }

    /// Patterns that make a backtracking engine quadratic or worse on texts of one character.
    @Test(arguments: [
        (#"\s+$|x"#, " ", "x"), ("(?:a|a)+b|a", "a", ""), ("a*a*a*b|a", "a", ""), ("(?:a+|b)+c", "ab", ""),
        (#"(?=a*b)a"#, "a", ""),
        (#"a++b|a"#, "a", ""), ("(?=a+$)a", "a", ""), (#"(?:aa|aaa)+$"#, "a", "b"), ("a{1,20}b", "a", ""),
        (#"(?!a*b)a"#, "a", "b"), (#"a+?b"#, "a", ""),
    ])
    func workGrowsLikeTheLength(pattern: String, unit: String, end: String) throws {
        let pattern = try Pattern(pattern)
        func work(_ count: Int) -> Int {
            var matcher = PatternMatcher(pattern)
            Array((String(repeating: unit, count: count) + end).utf8).withUnsafeBufferPointer {
                matcher.forEachMatch(in: $0) { _ in }
            }
            return matcher.steps
        }
        let (small, large) = (work(2_000), work(4_000))
        #expect(small >= 1_000 && small < 2_000 * 200)
        #expect(Double(large) / Double(small) <= 2.1)
    }

    @Test func anythingIsParsedOrRefused() throws {
        var random = TestRandom(seed: 9)
        let parts = Array(#"()[]{}|*+?^$.\-,:=!<>i&pPLNsSdwxuAzZ0123abé "#)
        var accepted = 0
        for _ in 0..<3_000 {
            let source = String((0..<random.below(12)).map { _ in parts[random.below(parts.count)] })
            guard let pattern = try? Pattern(source) else { continue }
            accepted += 1
            var matcher = PatternMatcher(pattern)
            let bytes = (0..<random.below(20)).map { _ in
                [0x61, 0x20, 0xC3, 0xA9, 0xFF, 0x0A, 0x31][random.below(7)] as UInt8
            }
            bytes.withUnsafeBufferPointer { matcher.forEachMatch(in: $0) { _ in } }
        }
        #expect(accepted > 150)
    }
}
