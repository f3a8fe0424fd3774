/// Python's operations on strings. Each keeps the origin of every byte it keeps.
extension Text {
    /// Without the scalars at its ends that `isStripped` accepts.
    func stripped(leading: Bool, trailing: Bool, where isStripped: (Unicode.Scalar) -> Bool) -> Text {
        var start = 0
        var end = bytes.count
        while leading, start < end {
            let (scalar, next) = decodeScalar(bytes, at: start)
            if !isStripped(scalar) { break }
            start = next
        }
        while trailing, end > start {
            let last = lastScalarStart(before: end)
            if !isStripped(decodeScalar(bytes, at: last).0) { break }
            end = last
        }
        return start == 0 && end == bytes.count ? self : slice(start..<end)
    }

    private func lastScalarStart(before end: Int) -> Int {
        var index = end - 1
        while index > 0, bytes[index] & 0xC0 == 0x80 { index -= 1 }
        return index
    }

    /// Offsets at which `pattern` stands, from `start` on, none overlapping another, in linear time.
    func offsets(of pattern: Text, from start: Int = 0, limit: Int = .max) -> [Int] {
        let pattern = pattern.bytes
        var result: [Int] = []
        guard !pattern.isEmpty, pattern.count <= bytes.count - start, limit > 0 else { return result }
        // Knuth, Morris and Pratt: how much of the pattern still matches after a mismatch.
        var borders = [0]
        for index in 1..<pattern.count {
            var border = borders[index - 1]
            while border > 0, pattern[border] != pattern[index] { border = borders[border - 1] }
            borders.append(pattern[border] == pattern[index] ? border + 1 : 0)
        }
        var matched = 0
        for index in start..<bytes.count {
            while matched > 0, pattern[matched] != bytes[index] { matched = borders[matched - 1] }
            if pattern[matched] == bytes[index] { matched += 1 }
            if matched == pattern.count {
                result.append(index + 1 - matched)
                matched = 0
                if result.count == limit { break }
            }
        }
        return result
    }

    func contains(_ other: Text) -> Bool { other.isEmpty || !offsets(of: other, limit: 1).isEmpty }

    func hasPrefix(_ other: Text) -> Bool { bytes.starts(with: other.bytes) }
    func hasSuffix(_ other: Text) -> Bool {
        bytes.count >= other.bytes.count && bytes.suffix(other.bytes.count) == other.bytes[...]
    }

    /// Parts between the given offsets of a separator of `width` bytes.
    func split(at offsets: [Int], width: Int) -> [Text] {
        var parts: [Text] = []
        var start = 0
        for offset in offsets {
            parts.append(slice(start..<offset))
            start = offset + width
        }
        parts.append(slice(start..<bytes.count))
        return parts
    }

    /// Words between runs of space; after `limit` cuts the rest stays whole.
    func words(limit: Int) -> [Text] {
        var words: [Text] = []
        var start: Int?
        for (scalar, range, _) in scalars {
            if scalar.isPythonSpace {
                if let begin = start { words.append(slice(begin..<range.lowerBound)) }
                start = nil
            } else if start == nil {
                if words.count == limit {
                    let rest = slice(range.lowerBound..<bytes.count)
                    return words + [
                        limit == 0 ? rest : rest.stripped(leading: false, trailing: limit < 0, where: \.isPythonSpace)
                    ]
                }
                start = range.lowerBound
            }
        }
        if let start { words.append(slice(start..<bytes.count)) }
        return words
    }

    /// Lines, as Python's `splitlines` cuts them.
    func lines(keepEnds: Bool = false) -> [Text] {
        var lines: [Text] = []
        var start = 0
        var afterReturn = false
        for (scalar, range, _) in scalars {
            if afterReturn && scalar == "\n" {
                // The second half of CR LF, whose line has been taken already.
                if keepEnds, let last = lines.popLast() { lines.append(last.appending(slice(range))) }
                start = range.upperBound
                afterReturn = false
                continue
            }
            afterReturn = scalar == "\r"
            switch scalar.value {
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                lines.append(slice(start..<(keepEnds ? range.upperBound : range.lowerBound)))
                start = range.upperBound
            default: break
            }
        }
        if start < bytes.count { lines.append(slice(start..<bytes.count)) }
        return lines
    }

    func appending(_ other: Text) -> Text {
        var result = self
        result.append(other)
        return result
    }

    /// Every scalar replaced by what `change` makes of it; it is told whether a cased letter stands before.
    func mapped(_ change: (Unicode.Scalar, _ afterCased: Bool) -> String) -> Text {
        var result = Text()
        var afterCased = false
        for (scalar, _, isContent) in scalars {
            result.append(change(scalar, afterCased), isContent: isContent)
            afterCased = scalar.properties.isCased
        }
        return result
    }

    var uppercased: Text { mapped { scalar, _ in scalar.properties.uppercaseMapping } }
    var lowercased: Text { mapped { scalar, _ in scalar.properties.lowercaseMapping } }
    /// The first scalar in title case and the others in lower case.
    var capitalized: Text {
        var isFirst = true
        return mapped { scalar, _ in
            defer { isFirst = false }
            return isFirst ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
        }
    }
    /// Python's `str.title`: a letter after a letter is small.
    var titled: Text {
        mapped { scalar, afterCased in
            afterCased ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
        }
    }
    /// Jinja's `title` filter: a word begins after space, hyphens and opening brackets.
    var titledWords: Text {
        var begins = true
        return mapped { scalar, _ in
            defer { begins = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) }
            return begins ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
        }
    }

    /// The byte offset of each scalar, and of the end.
    var scalarOffsets: [Int] { bytes.indices.filter { bytes[$0] & 0xC0 != 0x80 } + [bytes.count] }
}
