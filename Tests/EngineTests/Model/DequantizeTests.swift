import LMEngine
import TestKit
import Testing

@Suite struct DequantizeTests {
    struct Blocks: Decodable {
        var bytes: String
        var bits: [UInt32]
    }

    @Test(arguments: TensorType.allCases.filter { $0 != .i8 })
    func bitsEqualThoseOfTheReference(_ type: TensorType) throws {
        let golden = try #require(Golden.load("dequantize.json", as: [String: Blocks].self)[type.rawValue])
        let digits = Array(golden.bytes)
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0...$0 + 1]), radix: 16)
        }
        let file = try MappedFile(contents: bytes, name: "blocks")
        let blockCount = bytes.count / type.blockByteCount
        // Two rows, so that the row's offset counts.
        let tensor = Tensor(
            name: "blocks", type: type, rows: 2, columns: blockCount / 2 * type.blockLength, bytes: file.bytes,
            owner: file)
        var row = [Float](repeating: .nan, count: tensor.columns)
        var bits: [UInt32] = []
        for index in 0..<2 {
            row.withUnsafeMutableBufferPointer { tensor.dequantize(row: index, into: $0) }
            bits += row.map(\.bitPattern)
        }
        #expect(bits == golden.bits)
    }
}
