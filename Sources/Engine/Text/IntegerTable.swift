/// A hash table from 64-bit keys to 64-bit values: open addressing, linear probing, at most half full. The standard
/// dictionary's keyed hash costs several times a whole lookup here.
struct IntegerTable: Sendable {
    /// The one key that cannot be stored.
    private static let empty = UInt64.max
    /// (2 * slots) key and value of each slot.
    private var slots: [UInt64]
    private let shift: UInt64
    /// Keys that may still be added.
    private var room: Int

    /// Makes room for `count` keys.
    init(capacity count: Int) {
        var slotCount = 16
        while slotCount < count * 2 { slotCount *= 2 }
        slots = Array(repeating: Self.empty, count: slotCount * 2)
        shift = UInt64(64 - slotCount.trailingZeroBitCount)
        room = count
    }

    /// Adds a key or replaces its value. No more keys than the capacity may be added.
    mutating func insert(_ value: UInt64, for key: UInt64) {
        precondition(key != Self.empty, "IntegerTable: the key is reserved")
        let slot = slot(of: key)
        if slots[slot] == Self.empty {
            precondition(room > 0, "IntegerTable: more keys than the capacity")
            room -= 1
        }
        slots[slot] = key
        slots[slot + 1] = value
    }

    /// The value of a key.
    @inline(__always)
    subscript(key: UInt64) -> UInt64? {
        let slot = slot(of: key)
        return slots[slot] == Self.empty ? nil : slots[slot + 1]
    }

    /// Where the key is, or where it would be put.
    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        var index = Int((key &* 0x9E37_79B9_7F4A_7C15) >> shift)  // Fibonacci hashing: 2^64 / golden ratio
        let mask = slots.count / 2 - 1
        while slots[index * 2] != key, slots[index * 2] != Self.empty { index = (index + 1) & mask }
        return index * 2
    }
}
