/// Generations at places that a 64-bit tag finds without a search: the place in the lower half, and in the upper half how
/// often it was used, so that a tag of something that is gone finds nothing.
struct GenerationTable {
    private var generations: [Generation?] = []
    /// The flow of each generation, for those who have no time to count a reference to it.
    private var flows: [UnsafeMutablePointer<TokenFlow>?] = []
    private var epochs: [UInt32] = []
    private var vacant: [Int] = []

    /// The generation of a tag; nil when it was removed.
    subscript(tag: UInt64) -> Generation? { place(of: tag).flatMap { generations[$0] } }

    /// The flow of a tag's generation; nil when it was removed. Valid until then.
    @inline(__always)
    func flow(of tag: UInt64) -> UnsafeMutablePointer<TokenFlow>? { place(of: tag).flatMap { flows[$0] } }

    /// All generations, in no order.
    var all: [Generation] { generations.compactMap { $0 } }

    /// Adds the generation that `make` returns for its tag.
    mutating func insert(_ make: (UInt64) -> Generation) -> Generation {
        let place = vacant.popLast() ?? generations.count
        if place == generations.count {
            generations.append(nil)
            flows.append(nil)
            epochs.append(0)
        }
        let generation = make(UInt64(epochs[place]) << 32 | UInt64(place))
        generations[place] = generation
        flows[place] = generation.flow
        return generation
    }

    /// Removes the generation of a tag, if it is still there.
    mutating func remove(_ tag: UInt64) {
        guard let place = place(of: tag) else { return }
        generations[place] = nil
        flows[place] = nil
        epochs[place] &+= 1
        vacant.append(place)
    }

    @inline(__always)
    private func place(of tag: UInt64) -> Int? {
        let place = Int(UInt32(truncatingIfNeeded: tag))
        return place < epochs.count && epochs[place] == UInt32(truncatingIfNeeded: tag >> 32) ? place : nil
    }
}
