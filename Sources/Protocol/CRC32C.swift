internal import CChecksum

/// CRC-32C (Castagnoli) of a text that arrives in pieces: what FINISH says of all tokens' text. RFC 3720, section 12.1.
package struct CRC32C: Sendable, Equatable {
    private var remainder: UInt32 = .max

    /// The checksum of no bytes.
    package init() {}

    /// The checksum of everything added so far.
    package var value: UInt32 { ~remainder }

    private static let hasInstruction = cc_has_crc32c()

    /// Adds bytes.
    package mutating func update(_ bytes: RawSpan) {
        guard Self.hasInstruction else { return updateByTables(bytes) }
        remainder = bytes.withUnsafeBytes { cc_crc32c(remainder, $0.baseAddress, $0.count) }
    }

    /// Adds bytes on any processor, eight at a time ("slicing by 8": one table for each place of a byte in a word).
    package mutating func updateByTables(_ bytes: RawSpan) {
        var remainder = remainder
        Self.tables.withUnsafeBufferPointer { table in
            bytes.withUnsafeBytes { bytes in
                var offset = 0
                while offset + 8 <= bytes.count {
                    let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                    let mixed = word ^ UInt64(remainder)
                    remainder = 0
                    for place in 0..<8 {
                        let byte = UInt8(truncatingIfNeeded: mixed >> (8 * UInt64(place)))
                        remainder ^= table[(7 - place) << 8 | Int(byte)]
                    }
                    offset += 8
                }
                while offset < bytes.count {
                    remainder = remainder >> 8 ^ table[Int(UInt8(truncatingIfNeeded: remainder) ^ bytes[offset])]
                    offset += 1
                }
            }
        }
        self.remainder = remainder
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
