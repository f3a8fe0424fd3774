/// How text is cut into pieces before merging: the patterns of the model families, each a hand-made scanner that looks
/// at every byte a bounded number of times. The patterns themselves stand above the scanners.
package enum PreTokenizer: String, Sendable, CaseIterable {
    case gpt2 = "gpt-2"
    case smollm
    case llamaBPE = "llama-bpe"
    case qwen2
    /// What llama.cpp does with files that name no pre-tokenizer.
    case `default`

    /// Whether text is brought to Unicode's composed form (NFC) first.
    var normalizes: Bool { self == .qwen2 }
    /// Whether a piece that is a token as a whole is taken as it is, without merging.
    var takesWholePieces: Bool { self == .llamaBPE }

    /// The end of the piece that begins at `start`, which must be before the end of the text.
    @inline(__always)
    func endOfPiece(in text: ClassifiedText, from start: Int) -> Int {
        switch self {
        case .gpt2: endOfGPT2Piece(in: text, from: start)
        case .smollm: endOfSmolLMPiece(in: text, from: start)
        case .llamaBPE: endOfLlamaPiece(in: text, from: start, digits: 3)
        case .qwen2: endOfLlamaPiece(in: text, from: start, digits: 1)
        case .default: endOfDefaultPiece(in: text, from: start)
        }
    }
}

extension PreTokenizer {
    /// The scanner of a pattern; nil for a pattern that has none.
    package init?(pattern: String) {
        switch pattern {
        case Self.gpt2Pattern: self = .gpt2
        case Self.llamaPattern(digits: "{1,3}"): self = .llamaBPE
        case Self.llamaPattern(digits: ""): self = .qwen2
        default: return nil
        }
    }

    /// GPT-2's pattern, which byte-level pre-tokenizers use unless told otherwise.
    package static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// Llama 3's pattern, and with other `digits` its descendants'.
    package static func llamaPattern(digits: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// Calls `body` with each piece of a text, in order.
    package func forEachPiece(of text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
        let classified = ClassifiedText(text)
        var start = 0
        while start < text.count {
            let end = endOfPiece(in: classified, from: start)
            body(start..<end)
            start = end
        }
    }
}

private let space = UInt8(ascii: " ")
private let apostrophe = UInt8(ascii: "'")

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
private func endOfGPT2Piece(in text: ClassifiedText, from start: Int) -> Int {
    if let end = endOfContraction(in: text, from: start, ignoringCase: false) { return end }
    let word = text.bytes[start] == space ? start + 1 : start
    switch text.character(at: word)?.kind {
    case .letter: return text.endOfRun(.letter, from: word)
    case .number: return text.endOfRun(.number, from: word)
    case .punctuation, .other: return text.endOfSymbols(from: word)
    case .whitespace, nil: return endOfWhitespace(in: text, from: start) { _ in false }
    }
}

/// `\p{N}` alone, and GPT-2's pattern on what lies between: a number is an end of text to it.
private func endOfSmolLMPiece(in text: ClassifiedText, from start: Int) -> Int {
    if let first = text.character(at: start), first.kind == .number { return start + first.length }
    if let end = endOfContraction(in: text, from: start, ignoringCase: false) { return end }
    let word = text.bytes[start] == space ? start + 1 : start
    switch text.character(at: word)?.kind {
    case .letter: return text.endOfRun(.letter, from: word)
    case .punctuation, .other: return text.endOfSymbols(from: word)
    case .number, .whitespace, nil: return endOfWhitespace(in: text, from: start) { $0 == .number }
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
private func endOfLlamaPiece(in text: ClassifiedText, from start: Int, digits: Int) -> Int {
    if let end = endOfContraction(in: text, from: start, ignoringCase: true) { return end }
    guard let first = text.character(at: start) else { return start }
    if first.kind == .letter { return text.endOfRun(.letter, from: start) }
    if first.kind == .number { return endOfDigits(in: text, from: start, atMost: digits) }
    let second = text.character(at: start + first.length)?.kind
    if second == .letter, !isLineBreak(text.bytes[start]) {
        return text.endOfRun(.letter, from: start + first.length)
    }
    if first.kind != .whitespace || (text.bytes[start] == space && (second == .punctuation || second == .other)) {
        var end = text.endOfSymbols(from: start + first.length)
        while end < text.bytes.count, isLineBreak(text.bytes[end]) { end += 1 }
        return end
    }
    let end = text.endOfRun(.whitespace, from: start)
    if let lineBreak = text.bytes[start..<end].lastIndex(where: isLineBreak) { return lineBreak + 1 }
    return endOfWhitespace(in: text, from: start) { _ in false }
}

/// Four patterns, each applied to the pieces of the one before: `[\p{P}\$\+<=>\^~\|]+`, GPT-2's, `\p{N}+`,
/// `[0-9][0-9][0-9]`.
private func endOfDefaultPiece(in text: ClassifiedText, from start: Int) -> Int {
    guard let first = text.character(at: start) else { return start }
    switch first.kind {
    case .punctuation: return text.endOfRun(.punctuation, from: start)
    case .number: return endOfTriple(in: text, from: start)
    case .letter, .other: return text.endOfRun(first.kind, from: start)
    case .whitespace:
        if text.bytes[start] == space, let next = text.character(at: start + 1),
            next.kind == .letter || next.kind == .other
        {
            return text.endOfRun(next.kind, from: start + 1)
        }
        return endOfWhitespace(in: text, from: start) { $0 == .punctuation }
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d`; nil when the text at `start` is none of them.
@inline(__always)
private func endOfContraction(in text: ClassifiedText, from start: Int, ignoringCase: Bool) -> Int? {
    guard text.bytes[start] == apostrophe, start + 1 < text.bytes.count else { return nil }
    let caseBit: UInt8 = ignoringCase ? 0x20 : 0
    let first = text.bytes[start + 1] | caseBit
    let second = start + 2 < text.bytes.count ? text.bytes[start + 2] | caseBit : 0
    switch (first, second) {
    case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _):
        return start + 2
    case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
        (UInt8(ascii: "l"), UInt8(ascii: "l")):
        return start + 3
    case (0xE5, 0xBF) where ignoringCase && text.bytes[start + 1] == 0xC5:
        return start + 3  // U+017F, the long s, is a case of "s" to Unicode
    default: return nil
    }
}

/// `\s+(?!\S)|\s+` for a run of whitespace at `start`: all of it at the end of the text or before a character that
/// ends the text for this pattern, else all but its last character, which may belong to the next word.
@inline(__always)
private func endOfWhitespace(
    in text: ClassifiedText, from start: Int, endsText: (CharacterClass) -> Bool
) -> Int {
    var end = start
    var last = start
    while let next = text.character(at: end) {
        guard next.kind == .whitespace else {
            return endsText(next.kind) || last == start ? end : last
        }
        last = end
        end += next.length
    }
    return end
}

/// `\p{N}{1,limit}`
private func endOfDigits(in text: ClassifiedText, from start: Int, atMost limit: Int) -> Int {
    var end = start
    for _ in 0..<limit {
        guard let next = text.character(at: end), next.kind == .number else { break }
        end += next.length
    }
    return end
}

/// The first piece of a run of numbers after `[0-9][0-9][0-9]` has cut its triples out.
private func endOfTriple(in text: ClassifiedText, from start: Int) -> Int {
    var end = start
    while let next = text.character(at: end), next.kind == .number {
        if end + 3 <= text.bytes.count, text.bytes[end..<end + 3].allSatisfy({ (0x30...0x39).contains($0) }) {
            return end == start ? start + 3 : end
        }
        end += next.length
    }
    return end
}

private func isLineBreak(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }
