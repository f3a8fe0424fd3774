/// The parts of a text in which special tokens may be recognised.
struct SpecialRanges {
    /// In order, apart from each other.
    private(set) var ranges: [Range<Int>]

    /// - Parameter ranges: in any order; parts outside 0..<count do not count.
    init(_ ranges: [Range<Int>], count: Int) {
        self.ranges = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            let range = range.clamped(to: 0..<count)
            if let last = self.ranges.last, range.lowerBound <= last.upperBound {
                self.ranges[self.ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else if !range.isEmpty {
                self.ranges.append(range)
            }
        }
    }

    /// The first of the ranges that ends after `position`.
    private func first(endingAfter position: Int) -> Range<Int>? {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound > position { high = middle } else { low = middle + 1 }
        }
        return low < ranges.count ? ranges[low] : nil
    }

    /// Whether all of the text in a range may be a special token.
    func contain(_ range: Range<Int>) -> Bool {
        first(endingAfter: range.lowerBound).map {
            $0.lowerBound <= range.lowerBound && $0.upperBound >= range.upperBound
        }
            ?? false
    }

    /// Whether some of the text in a range may be.
    func overlap(_ range: Range<Int>) -> Bool {
        first(endingAfter: range.lowerBound).map { $0.lowerBound < range.upperBound } ?? false
    }

    /// The ranges inside a part of the text, counted from its beginning.
    func inside(_ part: Range<Int>) -> SpecialRanges {
        SpecialRanges(
            ranges.map { $0.clamped(to: part) }.map {
                $0.lowerBound - part.lowerBound..<$0.upperBound - part.lowerBound
            },
            count: part.count)
    }
}
