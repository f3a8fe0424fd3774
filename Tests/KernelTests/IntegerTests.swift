import CKernels
import Testing

/// A packed matrix of 8-bit integers with its scales and addends, and what it was packed from.
private final class IntegerMatrix {
    let weights: [[Int8]]
    let scales: [Float]
    let addends: [Int32]
    let k: Int
    let panelCount: Int
    private let memory: UnsafeMutableRawPointer

    init(_ weights: [[Int8]], k: Int, scales: [Float], addends: [Int32]) {
        (self.weights, self.k, self.scales, self.addends) = (weights, k, scales, addends)
        panelCount = (weights.count + 15) / 16
        let panelBytes = ck_panel_bytes(CK_PANEL_I8, k)
        memory = UnsafeMutableRawPointer.allocate(byteCount: panelCount * panelBytes, alignment: 64)
        let flat = weights.flatMap { $0 }
        flat.withUnsafeBufferPointer { flat in
            for panel in 0..<panelCount {
                let rows = (panel * 16..<panel * 16 + 16).map { row in
                    row < weights.count ? UnsafeRawPointer(flat.baseAddress.map { $0 + row * k }) : nil
                }
                ck_pack_panel(CK_I8, rows, k, memory + panel * panelBytes)
                let own = (panel * 16..<panel * 16 + 16).map { min($0, weights.count - 1) }
                ck_scale_panel(own.map { scales[$0] }, own.map { addends[$0] }, memory + panel * panelBytes)
            }
        }
    }

    deinit { memory.deallocate() }

    /// The product of rows `row ..< row + rows`, without the columns of padding.
    func multiply(_ inputs: IntegerInputs, row: Int = 0, rows: Int, bias: [Float]? = nil) -> [Float] {
        let stride = panelCount * 16
        var y = [Float](repeating: .nan, count: (row + rows) * stride)
        multiply(inputs, rows: row..<row + rows, panels: 0..<panelCount, bias: bias, into: &y)
        return (row..<row + rows).flatMap { y[$0 * stride..<$0 * stride + weights.count] }
    }

    /// Writes a part of the product, with the columns of padding.
    func multiply(
        _ inputs: IntegerInputs, rows: Range<Int>, panels: Range<Int>, bias: [Float]? = nil, adding: Bool = false,
        into y: inout [Float]
    ) {
        var matrix = ck_matrix(panels: memory, format: CK_PANEL_I8, k: k, outputs: weights.count)
        inputs.quants.withUnsafeBufferPointer { quants in
            inputs.blocks.withUnsafeBufferPointer { blocks in
                y.withUnsafeMutableBufferPointer { y in
                    (bias ?? []).withUnsafeBufferPointer { bias in
                        var activations = ck_activations(
                            values: nil, quants: quants.baseAddress, blocks: blocks.baseAddress, bfloats: nil,
                            stride: 0, is_wide: inputs.isWide)
                        var output = ck_output(
                            y: y.baseAddress, stride: panelCount * 16, bias: bias.isEmpty ? nil : bias.baseAddress,
                            accumulate: adding)
                        ck_matmul(
                            &matrix, &activations, rows.lowerBound, rows.count, panels.lowerBound, panels.count,
                            &output)
                    }
                }
            }
        }
    }

    /// The same in wide integers.
    func expected(_ inputs: IntegerInputs, row: Int) -> [Float] {
        weights.indices.map { output in
            var sum = Int64(addends[output])
            for index in 0..<k {
                sum += Int64(weights[output][index]) * Int64(inputs.quants[row * ck_padded(k) + index])
            }
            return Float(Int32(truncatingIfNeeded: sum)) * (scales[output] * inputs.blocks[row].scale)
        }
    }
}

/// Quantized rows: each by its own largest magnitude, or with a scale and an offset known before.
private struct IntegerInputs {
    var quants: [Int8]
    var blocks: [ck_block]
    let isWide: Bool

    init(_ values: [Float], rows: Int, k: Int, fixed: (scale: Float, offset: Float)? = nil) {
        quants = [Int8](repeating: 99, count: rows * ck_padded(k))
        blocks = [ck_block](repeating: ck_block(), count: rows)
        isWide = fixed != nil
        guard let fixed else {
            ck_quantize_rows(values, rows, k, k, &quants, &blocks)
            return
        }
        ck_quantize_fixed(values, rows, k, k, fixed.scale, fixed.offset, &quants, &blocks)
    }
}

extension KernelTests {
    @Test(arguments: [false, true])
    func `integer products are exact and the same on every instruction set`(isFixed: Bool) {
        var random = Random(21)
        let fixed: (Float, Float)? = isFixed ? (0.02, -7) : nil
        for (outputs, k) in [(1, 1), (16, 64), (37, 77), (50, 516)] {
            let weights = (0..<outputs).map { _ in random.bytes(k).map { Int8(bitPattern: $0) } }
            let addends = (0..<outputs).map { _ in isFixed ? Int32.random(in: -1 << 20...1 << 20, using: &random) : 0 }
            let matrix = IntegerMatrix(
                weights, k: k, scales: random.floats(outputs, in: 0.0001...0.01), addends: addends)
            for rows in [1, 2, 3, 6, 7, 12, 13, 17, 33] {
                let x = random.floats(rows * k, in: -3...3)
                let inputs = IntegerInputs(x, rows: rows, k: k, fixed: fixed)
                let product = matrix.multiply(inputs, rows: rows)
                #expect(
                    product == (0..<rows).flatMap { matrix.expected(inputs, row: $0) }, "\(rows) x \(k) x \(outputs)")
                let bias = random.floats((outputs + 15) / 16 * 16)
                let outcome = compareLevels {
                    let inputs = IntegerInputs(x, rows: rows, k: k, fixed: fixed)
                    return matrix.multiply(inputs, rows: rows) + matrix.multiply(inputs, rows: rows, bias: bias)
                        + inputs.quants.map(Float.init) + inputs.blocks.flatMap { [$0.scale, Float($0.zero8)] }
                }
                for (name, equal) in outcome { #expect(equal, "\(name), \(rows) x \(k) x \(outputs)") }
                #expect(matrix.multiply(inputs, row: rows - 1, rows: 1) == Array(product.suffix(outputs)))
            }
        }
    }

    /// Inputs are padded to 64, 32 and 16: each has tiles of its own.
    @Test(arguments: [192, 150, 77])
    func `integer products of any rows and panels are exact and leave all else alone`(k: Int) {
        var random = Random(24)
        let (outputs, rowCount) = (176, 75)
        let weights = (0..<outputs).map { _ in random.bytes(k).map { Int8(bitPattern: $0) } }
        let addends = (0..<outputs).map { _ in Int32.random(in: -1 << 20...1 << 20, using: &random) }
        let matrix = IntegerMatrix(weights, k: k, scales: random.floats(outputs, in: 0.0001...0.01), addends: addends)
        let inputs = IntegerInputs(random.floats(rowCount * k, in: -3...3), rows: rowCount, k: k, fixed: (0.02, -7))
        let expected = (0..<rowCount).flatMap { matrix.expected(inputs, row: $0) }
        let before = random.floats(rowCount * outputs)
        let chosen = ck_current()
        defer { ck_force(chosen) }
        for level in levels + [CK_GENERIC] {
            ck_force(level)
            for rows in 0...70 {
                let first = rows % 5
                let panels = rows % 4..<matrix.panelCount - rows % 3
                var y = before
                var sums = before
                matrix.multiply(inputs, rows: first..<first + rows, panels: panels, into: &y)
                matrix.multiply(inputs, rows: first..<first + rows, panels: panels, adding: true, into: &sums)
                for row in 0..<rowCount {
                    for column in 0..<outputs {
                        let index = row * outputs + column
                        let isPart = first..<first + rows ~= row && panels ~= column / 16
                        guard
                            y[index] == (isPart ? expected[index] : before[index]),
                            sums[index] == before[index] + (isPart ? expected[index] : 0)
                        else {
                            Issue.record("\(String(cString: ck_level_name(level))), \(rows) rows, at \(row), \(column)")
                            return
                        }
                    }
                }
            }
        }
    }

    @Test func `the longest sums of the largest integers do not saturate`() {
        let k = 131_060
        let matrix = IntegerMatrix(
            [[Int8](repeating: -128, count: k), [Int8](repeating: 127, count: k)], k: k, scales: [1, 1],
            addends: [0, 0])
        for (value, isFixed): (Float, Bool) in [(-127, false), (127, false), (-128, true), (127, true)] {
            let inputs = IntegerInputs(
                [Float](repeating: value, count: k), rows: 1, k: k, fixed: isFixed ? (1, 0) : nil)
            #expect(matrix.multiply(inputs, rows: 1) == [Float(-128 * value * Float(k)), 127 * value * Float(k)])
            for (name, equal) in compareLevels({ matrix.multiply(inputs, rows: 1) }) { #expect(equal, "\(name)") }
        }
    }

    @Test func `quants are rounded to nearest, ties to even`() {
        // The scale is exactly 1.
        let row: [Float] = [127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49, -126.5, 126.5]
        let own = IntegerInputs(row, rows: 1, k: row.count)
        #expect(own.blocks[0].scale == 1)
        #expect(Array(own.quants.prefix(row.count)) == [127, 0, 2, 2, 0, -2, -2, 0, -126, 126])
        #expect(own.quants.dropFirst(row.count).allSatisfy { $0 == 0 }, "the padding adds nothing")
        let fixed = IntegerInputs(row + [500, -500], rows: 1, k: row.count + 2, fixed: (1, -3))
        #expect(Array(fixed.quants.prefix(row.count + 2)) == [124, -3, -1, -1, -3, -5, -5, -3, -128, 123, 127, -128])
        #expect(fixed.blocks[0].scale == 1)
        #expect(fixed.blocks[0].zero8 == -128 * fixed.quants.map(Int32.init).reduce(0, +))
    }

    @Test func `rows that are zero, tiny or not finite stand alone`() {
        var random = Random(22)
        let k = 40
        var rows = (0..<5).map { _ in random.floats(k) }
        rows[1] = [Float](repeating: 0, count: k)
        rows[2] = [Float](repeating: 1e-36, count: k)
        rows[3][7] = .infinity
        rows[4][39] = .nan
        let matrix = IntegerMatrix([random.bytes(k).map { Int8(bitPattern: $0) }], k: k, scales: [0.5], addends: [0])
        for fixed: (Float, Float)? in [nil, (0.01, 3)] {
            let outcome = compareLevels {
                matrix.multiply(IntegerInputs(rows.flatMap { $0 }, rows: 5, k: k, fixed: fixed), rows: 5)
            }
            for (name, equal) in outcome { #expect(equal, "\(name)") }
            let y = matrix.multiply(IntegerInputs(rows.flatMap { $0 }, rows: 5, k: k, fixed: fixed), rows: 5)
            #expect(y[0].isFinite && y[3].isNaN && y[4].isNaN)
            if fixed == nil { #expect(y[1] == 0 && y[2] == 0) }
        }
    }

    @Test func `the error of quants is what a plain loop finds`() {
        var random = Random(23)
        let k = 53
        let x = random.floats(k)
        let inputs = IntegerInputs(x, rows: 1, k: k)
        let scale = inputs.blocks[0].scale
        var error = ck_error()
        for _ in 0..<2 { ck_add_error(x, inputs.quants, scale, k, &error) }
        let y = inputs.quants.prefix(k).map { Double($0) * Double(scale) }
        let products = zip(x, y).map { Double($0) * $1 }.reduce(0, +)
        #expect(abs(error.products - 2 * products) < 1e-4)
        #expect(abs(error.decoded - 2 * y.map { $0 * $0 }.reduce(0, +)) < 1e-4)
        #expect(abs(error.squares - 2 * x.map { Double($0) * Double($0) }.reduce(0, +)) < 1e-4)
        let largest = zip(x, y).map { abs(Double($0) - $1) }.max() ?? 0
        #expect(abs(Double(error.largest) - largest) < 1e-6 && largest <= Double(scale) * 0.501)
    }
}
