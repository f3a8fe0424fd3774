import LMProtocol
import Testing

@Suite("CRC-32C")
struct ChecksumTests {
    private func checksum(_ pieces: [[UInt8]]) -> UInt32 {
        var checksum = CRC32C()
        for piece in pieces { checksum.update(piece.span.bytes) }
        return checksum.value
    }

    @Test("equals the values of RFC 3720, appendix B.4, and of the catalogue")
    func published() {
        #expect(checksum([Array("123456789".utf8)]) == 0xE306_9283)
        #expect(checksum([[UInt8](repeating: 0, count: 32)]) == 0x8A91_36AA)
        #expect(checksum([[UInt8](repeating: 0xFF, count: 32)]) == 0x62A8_AB43)
        #expect(checksum([Array(0..<32)]) == 0x46DD_794E)
        #expect(checksum([]) == 0)
    }

    @Test("is the same however the bytes are cut")
    func pieces() {
        let bytes = (0..<200).map { UInt8($0 * 7 % 251) }
        let whole = checksum([bytes])
        for cut in bytes.indices { #expect(checksum([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole) }
        #expect(checksum(bytes.map { [$0] }) == whole)
    }

    @Test("is the same by the processor's instruction and by tables, whatever the length and the place in memory")
    func ways() {
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 197 &+ 31) }
        for start in 0..<9 {
            for end in start...bytes.count {
                var (own, portable) = (CRC32C(), CRC32C())
                own.update(bytes.span.extracting(start..<end).bytes)
                portable.updateByTables(bytes.span.extracting(start..<end).bytes)
                #expect(own == portable, "bytes \(start)..<\(end)")
            }
        }
    }
}
