import CKernels
import Testing

/// A storage type with its name, for the names of test cases.
struct Storage: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let type: ck_type
}

let storageTypes = [
    Storage(testDescription: "F32", type: CK_F32), Storage(testDescription: "F16", type: CK_F16),
    Storage(testDescription: "BF16", type: CK_BF16), Storage(testDescription: "Q8_0", type: CK_Q8_0),
    Storage(testDescription: "Q4_0", type: CK_Q4_0), Storage(testDescription: "Q4_1", type: CK_Q4_1),
    Storage(testDescription: "Q4_K", type: CK_Q4_K), Storage(testDescription: "Q5_K", type: CK_Q5_K),
    Storage(testDescription: "Q6_K", type: CK_Q6_K),
]

/// All tests of this module share the process-wide instruction set, so they run one after the other.
@Suite(.serialized) struct KernelTests {}

extension KernelTests {
    @Test(arguments: storageTypes)
    func `products equal the scalar oracle bit for bit`(storage: Storage) {
        let type = storage.type
        var random = Random(1)
        let odd = ck_is_quantized(ck_format_of(type)) ? ([CK_Q8_0, CK_Q4_0, CK_Q4_1].contains(type) ? 608 : 256) : 77
        for (outputs, k) in [(1, 256), (16, 512), (37, 768), (100, odd)] {
            let packed = Packed(type, rows: randomRows(type, rows: outputs, k: k, &random), k: k)
            for rows in [1, 2, 3, 5, 7, 11, 12, 13, 29, 48, 61] {
                let x = random.floats(rows * k, in: -3...3)
                let stride = (outputs + 15) / 16 * 16
                let bias = random.floats(stride)
                let residual = random.floats(rows * stride)
                let outcome = compareLevels {
                    let activations = Activations(x, rows: rows, k: k)
                    return activations.multiply(by: packed, rows: rows)
                        + activations.multiply(by: packed, rows: rows, bias: bias, accumulate: residual)
                }
                for (name, equal) in outcome { #expect(equal, "\(name), \(rows) x \(k) x \(outputs)") }
            }
        }
    }

    @Test(arguments: storageTypes)
    func `a row's product is the same whatever rows stand beside it`(storage: Storage) {
        let type = storage.type
        var random = Random(2)
        let k = 512
        let rows = 150
        let packed = Packed(type, rows: randomRows(type, rows: 48, k: k, &random), k: k)
        let activations = Activations(random.floats(rows * k), rows: rows, k: k)
        let together = activations.multiply(by: packed, rows: rows)
        for row in 0..<rows {
            #expect(activations.multiply(by: packed, row: row, rows: 1) == Array(together[row * 48..<(row + 1) * 48]))
        }
        for count in 2...70 {
            let row = count % 5
            let part = activations.multiply(by: packed, row: row, rows: count)
            #expect(part == Array(together[row * 48..<(row + count) * 48]), "\(count) rows")
        }
    }

    @Test(arguments: storageTypes)
    func `products approximate the decoded weights`(storage: Storage) {
        let type = storage.type
        var random = Random(3)
        let k = 1024
        let rows = randomRows(type, rows: 20, k: k, &random)
        let x = random.floats(k)
        let y = Activations(x, rows: 1, k: k).multiply(by: Packed(type, rows: rows, k: k), rows: 1)
        for (column, row) in rows.enumerated() {
            var weights = [Float](repeating: 0, count: k)
            ck_dequantize(type, row, k, &weights)
            let products = zip(weights, x).map { Double($0) * Double($1) }
            let norm = products.map { $0 * $0 }.reduce(0, +).squareRoot()
            #expect(abs(Double(y[column]) - products.reduce(0, +)) < 0.02 * norm * 3, "column \(column)")
        }
    }

    @Test func `products of bfloat16 are the same bits for numbers of every size, sums that cancel included`() {
        var random = Random(6)
        let (k, rows, outputs) = (147, 37, 40)
        func number(_ exponents: ClosedRange<Int>) -> Float {
            let magnitude =
                Float.random(in: 1..<2, using: &random)
                * Float(sign: .plus, exponent: Int.random(in: exponents, using: &random), significand: 1)
            return Bool.random(using: &random) ? magnitude : -magnitude
        }
        for exponents in [-126...127, -60...(-40), -50...(-48), 40...63] {
            let weights = (0..<outputs).map { _ in
                (0..<k).flatMap { _ in
                    let bits = UInt16(truncatingIfNeeded: number(exponents).bitPattern >> 16)
                    return [UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8)]
                }
            }
            let packed = Packed(CK_BF16, rows: weights, k: k)
            let x = (0..<rows * k).map { _ in number(exponents) }
            for (name, equal) in compareLevels({ Activations(x, rows: rows, k: k).multiply(by: packed, rows: rows) }) {
                #expect(equal, "\(name), 2^\(exponents)")
            }
        }
    }

    @Test func `extreme quants do not saturate`() {
        let k = 256
        for (type, block): (ck_type, [UInt8]) in [
            (CK_Q8_0, [0, 0x3C] + [UInt8](repeating: 0x80, count: 32)),
            (CK_Q8_0, [0, 0x3C] + [UInt8](repeating: 0x7F, count: 32)),
            (CK_Q4_0, [0, 0x3C] + [UInt8](repeating: 0xFF, count: 16)),
            (CK_Q4_0, [0, 0x3C] + [UInt8](repeating: 0, count: 16)),
            (CK_Q4_1, [0, 0x3C, 0, 0xBC] + [UInt8](repeating: 0xFF, count: 16)),
        ] {
            let row = (0..<k / 32).flatMap { _ in block }
            let packed = Packed(type, rows: [row], k: k)
            var weights = [Float](repeating: 0, count: 32)
            ck_dequantize(type, row, 32, &weights)
            for activation: Float in [-127, 127] {
                let activations = Activations([Float](repeating: activation, count: 48 * k), rows: 48, k: k)
                for rows in [1, 48] {
                    #expect(activations.multiply(by: packed, rows: rows)[0] == weights[0] * activation * Float(k))
                    for (name, equal) in compareLevels({ activations.multiply(by: packed, rows: rows) }) {
                        #expect(equal, "\(name), \(rows) rows")
                    }
                }
            }
        }
    }

    @Test func `quantizing equals the oracle, zero, tiny and non-finite blocks included`() {
        var random = Random(4)
        let k = 96
        var rows: [[Float]] = (0..<20).map { random.floats(k, in: -Float($0)...Float($0)) }
        rows.append([Float](repeating: 0, count: k))
        rows.append([Float](repeating: 1e-36, count: k))
        rows.append([Float](repeating: .leastNonzeroMagnitude, count: k))
        rows.append([Float](repeating: .greatestFiniteMagnitude, count: k))
        for special in [Float.nan, .infinity, -.infinity] {
            var row = random.floats(k)
            row[40] = special
            rows.append(row)
        }
        let outcome = compareLevels {
            let result = Activations(rows.flatMap { $0 }, rows: rows.count, k: k)
            return result.quants.map(Float.init)
                + result.blocks.flatMap { [$0.scale, $0.offset, Float($0.zero4), Float($0.zero8)] }
        }
        for (name, equal) in outcome { #expect(equal, "\(name)") }
        let result = Activations(rows.flatMap { $0 }, rows: rows.count, k: k)
        #expect(result.quants.allSatisfy { $0 >= -127 })
        for row in 24..<27 {
            #expect(result.blocks[row * 3 + 1].scale.isNaN)
            #expect(!result.blocks[row * 3].scale.isNaN)
        }
        #expect(result.blocks[20 * 3].scale == 0)
    }

    @Test func `a row with NaN poisons no other row`() {
        var random = Random(5)
        let k = 256
        let packed = Packed(CK_Q4_1, rows: randomRows(CK_Q4_1, rows: 16, k: k, &random), k: k)
        var x = random.floats(3 * k)
        let clean = Activations(x, rows: 3, k: k).multiply(by: packed, rows: 3)
        x[k + 5] = .nan
        let poisoned = Activations(x, rows: 3, k: k).multiply(by: packed, rows: 3)
        #expect(poisoned[16..<32].allSatisfy { $0.isNaN })
        #expect(poisoned[0..<16] == clean[0..<16] && poisoned[32...] == clean[32...])
    }
}
