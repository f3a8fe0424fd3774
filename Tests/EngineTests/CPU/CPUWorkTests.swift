import LMEngine
import TestKit
import Testing

@Suite struct CPUWorkTests {
    /// Qwen2 has a head of its own: embedding 16, feed-forward 24, 4 heads of 4 over 2, 2 layers, 261 tokens, float32.
    @Test func `a step needs every matrix once, and its products for every row`() throws {
        let bytes = TinyModel.writer(architecture: "qwen2").bytes()
        let checkpoint = try GGUFCheckpoint(GGUFFile(MappedFile(contents: bytes, name: "m.gguf")))
        let ceilings = try CPUCeilings(threads: 1, reading: 1 << 20)
        let work = try CPUWork(of: checkpoint, dataType: .float32, ceilings: ceilings)
        let layers = 2 * (16 * 16 + 2 * 8 * 16 + 16 * 16 + 3 * 16 * 24)
        let head = 261 * 16

        let prefill = work.bound(rows: 100, samples: 0)
        #expect(prefill.operations == Double(2 * 100 * layers))
        // In memory heads are padded from 4 to 16 elements, and panels to 16 outputs: 24 to 32, 261 to 272.
        let packed = 2 * ((4 + 2 + 2) * 16 * 16 + 16 * 16 + 2 * 32 * 16 + 16 * 24)
        #expect(prefill.bytes == Double(4 * packed))

        let decode = work.bound(rows: 1, samples: 1)
        #expect(decode.operations == Double(2 * (layers + head)))
        #expect(decode.bytes == Double(4 * (packed + 272 * 16)))
        #expect(decode.seconds == max(decode.memorySeconds, decode.arithmeticSeconds))
        #expect(ceilings.bytesPerSecond > 0 && prefill.arithmeticSeconds > 0)
        // Two steps of half the rows do the same products and read the weights twice.
        let half = work.bound(rows: 50, samples: 0)
        #expect(abs(half.arithmeticSeconds * 2 / prefill.arithmeticSeconds - 1) < 1e-9 && half.bytes == prefill.bytes)
    }
}
