/// One step of what is done to a text before it is cut into pieces.
enum NormalizerStep: Sendable {
    /// Unicode's composed form.
    case composed
    /// Unicode's decomposed form.
    case decomposed
    case lowercase
    /// Removes white space at the ends.
    case strip(left: Bool, right: Bool)
    /// Puts bytes before a text that is not empty.
    case prepend([UInt8])
    /// Replaces bytes, which are not empty, by others.
    case replace([UInt8], by: [UInt8])
    case replaceMatches(Pattern, by: [UInt8])

    /// The text after the step; nil when it does not change.
    func apply(to text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        switch self {
        case .composed: return Normalization.composed(text)
        case .decomposed: return Normalization.decomposed(text)
        case .lowercase:
            var result = ""
            for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
                result += scalar.properties.lowercaseMapping
            }
            return Array(result.utf8)
        case .strip(let left, let right): return Self.strip(text, left, right)
        case .prepend(let bytes): return text.isEmpty ? nil : bytes + text
        case .replace(let bytes, let content): return Self.replace(bytes, by: content, in: text)
        case .replaceMatches(let pattern, let content):
            var result: [UInt8] = []
            var start = 0
            var matcher = PatternMatcher(pattern)
            matcher.forEachMatch(in: text) { match in
                result += text[start..<match.lowerBound]
                result += content
                start = match.upperBound
            }
            return result + text[start...]
        }
    }

    private static func strip(_ text: UnsafeBufferPointer<UInt8>, _ left: Bool, _ right: Bool) -> [UInt8] {
        var scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
        while left, scalars.first?.properties.isWhitespace == true { scalars.removeFirst() }
        while right, scalars.last?.properties.isWhitespace == true { scalars.removeLast() }
        return Array(String(scalars).utf8)
    }

    /// Replaces bytes from left to right; nil when they do not occur.
    static func replace(_ bytes: [UInt8], by content: [UInt8], in text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard let first = bytes.first, text.contains(first) else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 2)
        var index = 0
        while index < text.count {
            if text[index] == first, bytes.count == 1 || text[index...].starts(with: bytes) {
                result += content
                index += bytes.count
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return result
    }
}

extension [NormalizerStep] {
    /// The text after all steps; nil when it does not change.
    func apply(to text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var result: [UInt8]?
        for step in self {
            if let text = result {
                result = text.withUnsafeBufferPointer { step.apply(to: $0) } ?? text
            } else {
                result = step.apply(to: text)
            }
        }
        return result
    }

    /// Where parts of a text are after steps that `movesExactly` holds for.
    func move(_ ranges: SpecialRanges, in text: UnsafeBufferPointer<UInt8>) -> SpecialRanges {
        let later = filter { if case .prepend = $0 { false } else { true } }
        var (start, newStart) = (0, 0)
        func advance(to end: Int) -> Int {
            let part = UnsafeBufferPointer(rebasing: text[start..<end])
            newStart += (start == 0 ? self : later).apply(to: part)?.count ?? part.count
            start = end
            return newStart
        }
        let moved = ranges.ranges.map { range in
            // What is put before the text belongs to whatever begins it.
            let lower = range.lowerBound == 0 ? 0 : advance(to: range.lowerBound)
            return lower..<advance(to: range.upperBound)
        }
        return SpecialRanges(moved, count: newStart)
    }
}

extension NormalizerStep {
    /// Whether the step does the same to a text as to its parts, but for what it puts before the first.
    var movesExactly: Bool {
        switch self {
        case .prepend: true
        case .replace(let bytes, _): String(decoding: bytes, as: UTF8.self).unicodeScalars.count == 1
        case .composed, .decomposed, .lowercase, .strip, .replaceMatches: false
        }
    }
}
