/// What was made for steps that come again, up to a limit: what did not come for long makes room for others.
package struct KeptSteps<Key: Hashable, Step> {
    private struct Entry {
        let step: Step
        let weight: Int
        var lastUse: Int
    }

    private var entries: [Key: Entry] = [:]
    private var weight = 0
    private var uses = 0
    private let limit: Int
    private let patience: Int

    /// - Parameters:
    ///   - limit: what all that is kept may weigh together.
    ///   - patience: after how many steps without its own something may be dropped.
    package init(limit: Int, patience: Int) { (self.limit, self.patience) = (limit, patience) }

    /// What is kept for a step that is about to run; nil for nothing.
    package mutating func find(_ key: Key) -> Step? {
        uses += 1
        entries[key]?.lastUse = uses
        return entries[key]?.step
    }

    /// Whether something of this weight may be kept, now that what did not come for long was dropped if it had to be.
    package mutating func makeRoom(for weight: Int) -> Bool {
        if self.weight + weight <= limit { return true }
        entries = entries.filter { uses - $0.value.lastUse <= patience }
        self.weight = entries.values.reduce(0) { $0 + $1.weight }
        return self.weight + weight <= limit
    }

    /// Keeps what was made for a step, for which there must be room.
    package mutating func keep(_ step: Step, for key: Key, weight: Int) {
        self.weight += weight - (entries[key]?.weight ?? 0)
        entries[key] = Entry(step: step, weight: weight, lastUse: uses)
    }

    /// Drops everything.
    package mutating func removeAll() {
        entries.removeAll()
        weight = 0
    }
}
