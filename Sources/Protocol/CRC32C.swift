/// CRC-32C (Castagnoli) of a text that arrives in pieces: what FINISH says of all tokens' text. RFC 3720, section 12.1.
package struct CRC32C: Sendable, Equatable {
    private var remainder: UInt32 = .max

    /// The checksum of no bytes.
    package init() {}

    /// The checksum of everything added so far.
    package var value: UInt32 { ~remainder }

    /// Adds bytes, eight at a time ("slicing by 8": one table for each place of a byte in a word).
    package mutating func update(_ bytes: RawSpan) {
        var remainder = remainder
        Self.tables.withUnsafeBufferPointer { table in
            bytes.withUnsafeBytes { bytes in
                var offset = 0
                while offset + 8 <= bytes.count {
                    let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                    remainder = Self.fold(word ^ UInt64(remainder), places: 8, table)
                    offset += 8
                }
                // Most tokens are shorter.
                if offset + 4 <= bytes.count {
                    let word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                    remainder = Self.fold(UInt64(word ^ remainder), places: 4, table)
                    offset += 4
                }
                while offset < bytes.count {
                    remainder = remainder >> 8 ^ table[Int(UInt8(truncatingIfNeeded: remainder) ^ bytes[offset])]
                    offset += 1
                }
            }
        }
        self.remainder = remainder
    }

    /// The remainder of the lowest bytes of a word.
    @inline(__always)
    private static func fold(_ word: UInt64, places: Int, _ table: UnsafeBufferPointer<UInt32>) -> UInt32 {
        var remainder: UInt32 = 0
        for place in 0..<places {
            let byte = UInt8(truncatingIfNeeded: word >> (8 * UInt64(place)))
            remainder ^= table[(places - 1 - place) << 8 | Int(byte)]
        }
        return remainder
    }

    /// Eight tables of 256: entry `b` of table `n` is the remainder of byte `b` followed by `n` zero bytes.
    private static let tables: [UInt32] = {
        var tables: [UInt32] = []
        for byte in 0..<256 as Range<UInt32> {
            var remainder = byte
            for _ in 0..<8 {
                let isOdd = remainder & 1 != 0
                remainder >>= 1
                if isOdd { remainder ^= 0x82F6_3B78 }
            }
            tables.append(remainder)
        }
        for index in 256..<8 * 256 {
            let previous = tables[index - 256]
            tables.append(previous >> 8 ^ tables[Int(previous & 0xFF)])
        }
        return tables
    }()
}
