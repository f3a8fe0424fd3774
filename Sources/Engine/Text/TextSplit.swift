/// Cuts a text at the matches of a pattern.
struct TextSplit: Sendable {
    /// What becomes of a match.
    enum Behavior: String, Sendable, CaseIterable {
        /// It is a piece of its own.
        case isolated = "Isolated"
        /// It vanishes.
        case removed = "Removed"
        /// It ends the piece before it.
        case mergedWithPrevious = "MergedWithPrevious"
        /// It begins the piece after it.
        case mergedWithNext = "MergedWithNext"
        /// Matches in a row are one piece.
        case contiguous = "Contiguous"
    }

    let pattern: Pattern
    let behavior: Behavior
    /// Whether what lies between the matches counts as the matches.
    let isInverted: Bool
}

extension TextSplit {
    /// Cuts many texts, one after the other.
    struct Cutter {
        private let behavior: Behavior
        private let isInverted: Bool
        private var matcher: PatternMatcher

        init(_ split: TextSplit) {
            behavior = split.behavior
            isInverted = split.isInverted
            matcher = PatternMatcher(split.pattern)
        }

        /// Appends the pieces of `text[piece]`, which may be empty.
        mutating func appendPieces(
            of piece: Range<Int>, in text: UnsafeBufferPointer<UInt8>, to pieces: inout [Range<Int>]
        ) {
            let (behavior, isInverted) = (behavior, isInverted)
            let first = pieces.count
            var wasMatch = false
            var start = piece.lowerBound
            func add(_ range: Range<Int>, isMatch: Bool) {
                switch behavior {
                case .isolated: pieces.append(range)
                case .removed: if !isMatch { pieces.append(range) }
                case .contiguous: extend(range, isMatch == wasMatch)
                case .mergedWithPrevious: extend(range, isMatch && !wasMatch)
                case .mergedWithNext: extend(range, wasMatch && !isMatch)
                }
                wasMatch = isMatch
            }
            func extend(_ range: Range<Int>, _ joins: Bool) {
                if joins, pieces.count > first, let last = pieces.popLast() {
                    pieces.append(last.lowerBound..<range.upperBound)
                } else {
                    pieces.append(range)
                }
            }
            matcher.forEachMatch(in: UnsafeBufferPointer(rebasing: text[piece])) { match in
                let match = piece.lowerBound + match.lowerBound..<piece.lowerBound + match.upperBound
                if start < match.lowerBound { add(start..<match.lowerBound, isMatch: isInverted) }
                add(match, isMatch: !isInverted)
                start = match.upperBound
            }
            if start < piece.upperBound { add(start..<piece.upperBound, isMatch: isInverted) }
        }
    }
}
