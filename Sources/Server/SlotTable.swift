/// Values at places that a 64-bit tag finds without a search: the place in the lower half, and in the upper half how
/// often it was used, so that a tag of something that is gone finds nothing.
struct SlotTable<Value> {
    private var values: [Value?] = []
    private var epochs: [UInt32] = []
    private var vacant: [Int] = []

    /// The value of a tag; nil when it was removed.
    subscript(tag: UInt64) -> Value? {
        let place = Int(UInt32(truncatingIfNeeded: tag))
        guard place < values.count, epochs[place] == UInt32(truncatingIfNeeded: tag >> 32) else { return nil }
        return values[place]
    }

    /// All values, in no order.
    var all: [Value] { values.compactMap { $0 } }

    /// Adds the value that `make` returns for its tag.
    mutating func insert(_ make: (UInt64) -> Value) -> Value {
        let place = vacant.popLast() ?? values.count
        if place == values.count {
            values.append(nil)
            epochs.append(0)
        }
        let value = make(UInt64(epochs[place]) << 32 | UInt64(place))
        values[place] = value
        return value
    }

    /// Removes the value of a tag, if it is still there.
    mutating func remove(_ tag: UInt64) {
        guard self[tag] != nil else { return }
        let place = Int(UInt32(truncatingIfNeeded: tag))
        values[place] = nil
        epochs[place] &+= 1
        vacant.append(place)
    }
}
