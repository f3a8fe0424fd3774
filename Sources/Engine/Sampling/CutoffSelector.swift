/// Finds where a descending order would be cut, without putting more than a part of it in order.
///
/// One pass sums a measure per octave of weight (weights that have their highest bit in common); the cut lies in one
/// octave, and only its entries are looked at further, by quickselect.
struct CutoffSelector {
    /// A token and its weight. The descending order is that of weight, and of id among equals.
    struct Entry {
        var weight: UInt64
        var token: Int32

        func precedes(_ other: Entry) -> Bool {
            weight > other.weight || (weight == other.weight && token < other.token)
        }
    }

    private var octaves = [UInt64](repeating: 0, count: 65)
    private var entries: [Entry] = []

    init(capacity: Int) {
        entries.reserveCapacity(capacity)
    }

    /// The first entry, in descending order, at which the running sum of `measure` reaches `target`; nil when the sum
    /// of all is less. Weights of 0 take no part.
    @inline(__always)
    mutating func cutoff(in weights: [UInt64], reaching target: UInt64, measure: (UInt64) -> UInt64) -> Entry? {
        for octave in octaves.indices { octaves[octave] = 0 }
        weights.withUnsafeBufferPointer { weights in
            octaves.withUnsafeMutableBufferPointer { octaves in
                for weight in weights where weight != 0 { octaves[Self.octave(of: weight)] &+= measure(weight) }
            }
        }
        var preceding: UInt64 = 0
        var octave = octaves.count - 1
        while octave > 0, preceding + octaves[octave] < target {
            preceding += octaves[octave]
            octave -= 1
        }
        guard octave > 0 else { return nil }
        entries.removeAll(keepingCapacity: true)
        for (token, weight) in weights.enumerated() where Self.octave(of: weight) == octave {
            entries.append(Entry(weight: weight, token: Int32(token)))
        }
        return select(reaching: target - preceding, measure: measure)
    }

    /// Number of significant bits; 0 for 0.
    @inline(__always)
    private static func octave(of weight: UInt64) -> Int { 64 - weight.leadingZeroBitCount }

    /// Quickselect by running sum: the half without the cut is dropped in each round.
    @inline(__always)
    private mutating func select(reaching target: UInt64, measure: (UInt64) -> UInt64) -> Entry {
        var range = entries.startIndex..<entries.endIndex
        var missing = target
        var round = 0
        while true {
            precondition(!range.isEmpty, "the octave's sum does not reach the target")
            round += 1
            // A hashed pivot: no order of logits is a bad case, and the result does not depend on it.
            let random = CounterRandom.bits(seed: UInt64(truncatingIfNeeded: range.count), position: round)
            let pivot = range.lowerBound + Int(random % UInt64(range.count))
            let (middle, sum) = partition(range, around: pivot, measure: measure)
            if sum >= missing {
                range = range.lowerBound..<middle
            } else if sum + measure(entries[middle].weight) >= missing {
                return entries[middle]
            } else {
                missing -= sum + measure(entries[middle].weight)
                range = middle + 1..<range.upperBound
            }
        }
    }

    /// Moves entries that precede the pivot before it; returns its new place and the sum of what is before it.
    @inline(__always)
    private mutating func partition(
        _ range: Range<Int>, around pivot: Int, measure: (UInt64) -> UInt64
    ) -> (middle: Int, sum: UInt64) {
        let pivotEntry = entries[pivot]
        entries.swapAt(pivot, range.upperBound - 1)
        var middle = range.lowerBound
        var sum: UInt64 = 0
        for index in range.lowerBound..<range.upperBound - 1 where entries[index].precedes(pivotEntry) {
            sum += measure(entries[index].weight)
            entries.swapAt(index, middle)
            middle += 1
        }
        entries.swapAt(middle, range.upperBound - 1)
        return (middle, sum)
    }
}
