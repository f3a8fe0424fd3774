import LMProtocol
import Testing

@Suite("Test vectors")
struct VectorTests {
    static let files = [
        "frames", "handshake", "states", "streams", "tokens", "utf8", "resume", "malformed", "extensions", "content",
    ]

    @Test("goes as written", arguments: VectorTests.files.flatMap(Conversation.load))
    func conversation(_ conversation: Conversation) throws {
        var replay = try Replay(conversation)
        for step in conversation.allSteps { try replay.take(step) }
    }

    @Test("no file is empty", arguments: VectorTests.files)
    func isThere(_ name: String) {
        #expect(!Conversation.load(name).isEmpty)
    }

    @Test("checksums")
    func checksums() throws {
        struct File: Decodable {
            struct Vector: Decodable {
                let bytes: String
                let crc32c: UInt32
            }
            let vectors: [Vector]
        }
        let file = try #require(Conversation.load("crc32c", as: File.self))
        #expect(!file.vectors.isEmpty)
        for vector in file.vectors {
            var checksum = CRC32C()
            checksum.update(bytes(hex: vector.bytes).span.bytes)
            #expect(checksum.value == vector.crc32c)
        }
    }
}
