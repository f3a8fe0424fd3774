/// CRC-32C as section 2 defines it, a bit at a time: short enough to be seen to be right.
struct Checksum: Equatable {
    private var register: UInt32 = 0xFFFF_FFFF

    var value: UInt32 { ~register }

    mutating func update(_ bytes: [UInt8]) {
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1 }
        }
    }
}
