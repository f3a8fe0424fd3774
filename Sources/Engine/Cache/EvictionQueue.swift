/// Blocks that could be given up, least recently used first: a doubly linked list threaded through two arrays, so that
/// taking a block from the middle costs nothing but four writes.
struct EvictionQueue {
    private static let none: Int32 = -1

    private var next: [Int32]
    private var previous: [Int32]
    private var first = none
    private var last = none
    private(set) var count = 0

    init(blockCount: Int) {
        next = [Int32](repeating: Self.none, count: blockCount)
        previous = next
    }

    /// The block to give up first.
    var oldest: Int32? { first == Self.none ? nil : first }

    /// Appends a block that is not in the queue: it becomes the last to be given up.
    mutating func append(_ block: Int32) {
        next[Int(block)] = Self.none
        previous[Int(block)] = last
        if last == Self.none {
            first = block
        } else {
            next[Int(last)] = block
        }
        last = block
        count += 1
    }

    /// Removes a block that is in the queue.
    mutating func remove(_ block: Int32) {
        let before = previous[Int(block)]
        let after = next[Int(block)]
        if before == Self.none {
            precondition(first == block, "the block is not in the eviction queue")
            first = after
        } else {
            next[Int(before)] = after
        }
        if after == Self.none {
            last = before
        } else {
            previous[Int(after)] = before
        }
        count -= 1
    }

    /// All blocks, oldest first; for audits.
    var blocks: [Int32] {
        var result: [Int32] = []
        var block = first
        while block != Self.none && result.count <= next.count {
            result.append(block)
            block = next[Int(block)]
        }
        return result
    }
}
