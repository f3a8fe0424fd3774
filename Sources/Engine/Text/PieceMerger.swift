/// Joins the symbols of one piece into tokens: again and again the pair with the lowest rank, the leftmost of equals.
///
/// Short pieces are searched from left to right each time, which is quickest and quadratic; longer ones keep their
/// pairs in a heap, O(n log n) for any input. Both give the same tokens.
package struct PieceMerger {
    /// Pieces of more symbols than this use the heap.
    package static let scanLimit = 24
    /// No merge joins the pair.
    private static let noRank = UInt32.max

    private let merges: MergeTable
    /// Tokens of the piece; in a heap run, of the places that are still alive.
    private var symbols: [Int32] = []
    /// Rank of the pair that begins at each symbol; `noRank` where none does.
    private var ranks: [UInt32] = []
    /// Alive neighbours in a heap run; -1 at the ends.
    private var previous: [Int32] = []
    private var next: [Int32] = []
    /// A binary heap of rank << 32 | place.
    private var heap: [UInt64] = []
    /// Pairs looked at so far: the measure of work that tests hold to n log n.
    package private(set) var examinedPairs = 0

    package init(_ merges: MergeTable) {
        self.merges = merges
    }

    /// Appends the tokens of a piece to `tokens`. `scanLimit` is lowered by tests to compare the two ways.
    package mutating func merge(
        _ piece: UnsafeBufferPointer<UInt8>, into tokens: inout [Int32], scanLimit: Int = Self.scanLimit
    ) {
        symbols.removeAll(keepingCapacity: true)
        ranks.removeAll(keepingCapacity: true)
        merges.symbols.appendSymbols(of: piece, to: &symbols)
        for index in symbols.indices.dropLast() {
            ranks.append(rank(symbols[index], symbols[index + 1]))
        }
        ranks.append(Self.noRank)
        examinedPairs += symbols.count
        if symbols.count <= scanLimit {
            mergeByScanning()
        } else {
            mergeByHeap()
        }
        tokens.append(contentsOf: symbols)
    }

    @inline(__always)
    private func rank(_ left: Int32, _ right: Int32) -> UInt32 {
        merges.merge(left, right)?.rank ?? Self.noRank
    }

    private mutating func mergeByScanning() {
        while symbols.count > 1 {
            var best = 0
            for index in 1..<symbols.count - 1 where ranks[index] < ranks[best] { best = index }
            examinedPairs += symbols.count
            guard ranks[best] != Self.noRank, let merge = merges.merge(symbols[best], symbols[best + 1]) else { return }
            symbols[best] = merge.token
            symbols.remove(at: best + 1)
            ranks.remove(at: best + 1)
            if best > 0 { ranks[best - 1] = rank(symbols[best - 1], merge.token) }
            ranks[best] = best + 1 < symbols.count ? rank(merge.token, symbols[best + 1]) : Self.noRank
        }
    }

    private mutating func mergeByHeap() {
        linkAll()
        while let entry = popSmallest() {
            let place = Int(entry & 0xFFFF_FFFF)
            // A pair that changed since it was queued has another rank now, or none.
            guard ranks[place] == UInt32(entry >> 32) else { continue }
            let right = Int(next[place])
            guard let merge = merges.merge(symbols[place], symbols[right]) else { continue }
            symbols[place] = merge.token
            symbols[right] = -1
            ranks[right] = Self.noRank
            next[place] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(place) }
            queuePair(at: place)
            if previous[place] >= 0 { queuePair(at: Int(previous[place])) }
        }
        symbols.removeAll { $0 < 0 }
    }

    private mutating func linkAll() {
        let count = Int32(symbols.count)
        previous.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        previous.append(contentsOf: -1..<count - 1)
        next.append(contentsOf: 1..<count)
        next.append(-1)
        heap.removeAll(keepingCapacity: true)
        for place in symbols.indices where ranks[place] != Self.noRank { push(place) }
    }

    private mutating func queuePair(at place: Int) {
        ranks[place] = next[place] >= 0 ? rank(symbols[place], symbols[Int(next[place])]) : Self.noRank
        if ranks[place] != Self.noRank { push(place) }
    }

    private mutating func push(_ place: Int) {
        heap.append(UInt64(ranks[place]) << 32 | UInt64(place))
        var child = heap.count - 1
        while child > 0, heap[(child - 1) / 2] > heap[child] {
            examinedPairs += 1
            heap.swapAt((child - 1) / 2, child)
            child = (child - 1) / 2
        }
    }

    private mutating func popSmallest() -> UInt64? {
        guard let smallest = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return smallest }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < last else { break }
            examinedPairs += 1
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return smallest
    }
}
