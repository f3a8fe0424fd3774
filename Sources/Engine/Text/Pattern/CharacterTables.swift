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
        bits += set.basicPlaneBits
        // Beyond the basic plane nobody looks. Bytes that begin no character, whatever they are, count as U+FFFD.
        let takesInvalid = set.contains(0xFFFD)
        // 64 characters share a word of the bits and, from U+0080 on, a lead byte.
        leadBytes.append(
            (0..<256).map { byte in
                switch byte {
                case 0..<0x80: bits[bits.count - Self.wordsPerTable + (byte >> 6)] & (1 << UInt64(byte & 63)) != 0
                case 0xC2..<0xE0: takesInvalid || hasAny(in: (byte & 0x1F)...(byte & 0x1F))
                case 0xE0..<0xF0: takesInvalid || hasAny(in: (byte & 0xF) << 6...(byte & 0xF) << 6 | 63)
                default: byte >= 0xF0 || takesInvalid
                }
            })
        sets.append(set)
        indexOfSet[set] = sets.count - 1
        return sets.count - 1
    }

    /// Whether the set added last has a character in these words of its bits.
    private func hasAny(in words: ClosedRange<Int>) -> Bool {
        let start = bits.count - Self.wordsPerTable
        return bits[start + words.lowerBound...start + words.upperBound].contains { $0 != 0 }
    }

    /// Whether a character is in a set.
    @inline(__always)
    func contains(_ value: UInt32, in table: Int) -> Bool {
        guard value < 0x1_0000 else { return sets[table].contains(value) }
        return bits[table * Self.wordsPerTable + Int(value >> 6)] & (1 << UInt64(value & 63)) != 0
    }
}
