/// Sets made quick to ask: a bit for each character of the basic plane, all in one array.
struct CharacterTables: Sendable {
    private static let wordsPerTable = 0x400

    private var sets: [CharacterSet] = []
    private var indexOfSet: [CharacterSet: Int] = [:]
    /// (sets, 1,024) bit `value` of a set's words is character `value`.
    private var bits: [UInt64] = []
    /// (sets, 256) whether a character of a set may begin with the byte; never false where one does.
    private(set) var leadBytes: [[Bool]] = []

    /// Number of sets.
    var count: Int { sets.count }

    /// The number of a set, from now on.
    mutating func index(of set: CharacterSet) -> Int {
        if let index = indexOfSet[set] { return index }
        let start = bits.count
        // Beyond the basic plane nobody looks. Bytes that begin no character, whatever they are, count as U+FFFD.
        let takesInvalid = set.contains(0xFFFD)
        var leads = (0..<256).map { $0 >= 0xF0 || ($0 >= 0x80 && takesInvalid) }
        bits.append(contentsOf: repeatElement(0, count: Self.wordsPerTable))
        for value in UInt32(0)..<0x1_0000 where set.contains(value) {
            bits[start + Int(value >> 6)] |= 1 << UInt64(value & 63)
            leads[Int(value < 0x80 ? value : value < 0x800 ? 0xC0 | value >> 6 : 0xE0 | value >> 12)] = true
        }
        leadBytes.append(leads)
        sets.append(set)
        indexOfSet[set] = sets.count - 1
        return sets.count - 1
    }

    /// Whether a character is in a set.
    @inline(__always)
    func contains(_ value: UInt32, in table: Int) -> Bool {
        guard value < 0x1_0000 else { return sets[table].contains(value) }
        return bits[table * Self.wordsPerTable + Int(value >> 6)] & (1 << UInt64(value & 63)) != 0
    }
}
