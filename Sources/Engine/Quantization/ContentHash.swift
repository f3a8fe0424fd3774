/// A 64-bit checksum that runs at the speed of memory: four lanes of multiply and rotate over words. It finds what
/// disks and interrupted writes do to bytes; it does not keep out somebody who means harm.
struct ContentHash {
    private var lanes: SIMD4<UInt64> = [
        0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5,
    ]
    private static let multiplier: UInt64 = 0x9FB2_1C65_1E98_DF25

    /// Adds bytes and their number.
    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var (a, b, c, d) = (lanes[0], lanes[1], lanes[2], lanes[3])
        func mixed(_ lane: UInt64, _ word: UInt64) -> UInt64 {
            let product = (lane ^ word) &* Self.multiplier
            return product << 29 | product >> 35
        }
        let whole = bytes.count / 32 * 32
        for offset in stride(from: 0, to: whole, by: 32) {
            a = mixed(a, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            b = mixed(b, bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
            c = mixed(c, bytes.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self))
            d = mixed(d, bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self))
        }
        for offset in whole..<bytes.count { a = mixed(a, UInt64(bytes[offset])) }
        lanes = [mixed(a, UInt64(bytes.count)), b, c, d]
    }

    /// Adds the bytes of an integer.
    mutating func add(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { add($0) }
    }

    /// Adds a text.
    mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// The checksum of all that was added, in that order.
    var value: UInt64 {
        var result: UInt64 = 0
        for lane in lanes.indices {
            result = (result ^ lanes[lane] ^ lanes[lane] >> 32) &* Self.multiplier
            result ^= result >> 29
        }
        return result
    }
}

extension UInt64 {
    /// Sixteen hexadecimal digits.
    var hexadecimal: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
