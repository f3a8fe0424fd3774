/// All live sequences, at places that do not move, so that lists of them are lists of integers and a sequence is read
/// and changed where it lies.
struct GenerationSlots {
    private var storage: [Generation] = []
    private var isLive: [Bool] = []
    private var vacant: [Int] = []
    private var slotByID: [RequestID: Int] = [:]

    var count: Int { slotByID.count }

    /// Slots in use, in no order.
    var slots: [Int] { Array(slotByID.values) }

    subscript(slot: Int) -> Generation {
        _read {
            precondition(isLive[slot], "slot \(slot) is vacant")
            yield storage[slot]
        }
        _modify {
            precondition(isLive[slot], "slot \(slot) is vacant")
            yield &storage[slot]
        }
    }

    func slot(of id: RequestID) -> Int? { slotByID[id] }

    mutating func insert(_ generation: Generation) -> Int {
        precondition(slotByID[generation.terms.id] == nil, "request \(generation.terms.id) is there already")
        let slot = vacant.popLast() ?? storage.count
        if slot == storage.count {
            storage.append(generation)
            isLive.append(true)
        } else {
            storage[slot] = generation
            isLive[slot] = true
        }
        slotByID[generation.terms.id] = slot
        return slot
    }

    /// Puts a slot where it belongs in a list that is in order.
    func insert(_ slot: Int, inOrderInto list: inout [Int]) {
        let order = self[slot].order
        let place = list.lastIndex { self[$0].order < order }.map { $0 + 1 } ?? 0
        list.insert(slot, at: place)
    }

    mutating func remove(_ slot: Int) {
        slotByID[self[slot].terms.id] = nil
        storage[slot] = .vacant
        isLive[slot] = false
        vacant.append(slot)
    }
}

extension Generation {
    /// Fills a vacant slot: the memory of the sequence that was there is given back.
    fileprivate static let vacant = Generation(
        GenerationRequest(prompt: []), id: RequestID(rawValue: 0), tag: 0, receiver: 0, seed: 0, modelEndTokens: [],
        now: 0)
}
