import CKernels

/// Reproducible numbers (splitmix64).
struct Random: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}

/// The instruction sets of this machine besides the oracle.
let levels: [ck_level] = [CK_AVX2, CK_AVXVNNI, CK_AVX512, CK_AMX, CK_NEON].filter(ck_supported)

/// Runs `body` once with each instruction set of this machine and once with the scalar oracle, and returns for each
/// the name and whether the results have the same bits (NaN equals NaN). Tests that call this must be serialized.
func compareLevels(_ body: () -> [Float]) -> [(name: String, equal: Bool)] {
    let chosen = ck_current()
    defer { ck_force(chosen) }
    ck_force(CK_GENERIC)
    let expected = body()
    return levels.map { level in
        ck_force(level)
        return (String(cString: ck_level_name(level)), sameBits(body(), expected))
    }
}

func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN }
}

/// Random rows of a storage type with sane scales, as a model file would hold them.
func randomRows(_ type: ck_type, rows: Int, k: Int, _ random: inout Random) -> [[UInt8]] {
    (0..<rows).map { _ in randomRow(type, k: k, &random) }
}

private func randomRow(_ type: ck_type, k: Int, _ random: inout Random) -> [UInt8] {
    func littleEndian(_ bits: some FixedWidthInteger) -> [UInt8] {
        (0..<bits.bitWidth / 8).map { UInt8(truncatingIfNeeded: bits >> ($0 * 8)) }
    }
    func half(_ range: ClosedRange<Float>) -> [UInt8] {
        littleEndian(Float16(Float.random(in: range, using: &random)).bitPattern)
    }
    switch type {
    case CK_F32: return random.floats(k).flatMap { littleEndian($0.bitPattern) }
    case CK_F16: return (0..<k).flatMap { _ in half(-1...1) }
    case CK_BF16: return random.floats(k).flatMap { littleEndian(UInt16($0.bitPattern >> 16)) }
    case CK_Q8_0: return (0..<k / 32).flatMap { _ in half(0...0.01) + random.bytes(32) }
    case CK_Q4_0: return (0..<k / 32).flatMap { _ in half(-0.1...0.1) + random.bytes(16) }
    case CK_Q4_1: return (0..<k / 32).flatMap { _ in half(0...0.1) + half(-1...0) + random.bytes(16) }
    case CK_Q4_K: return (0..<k / 256).flatMap { _ in half(0...0.01) + half(0...0.01) + random.bytes(140) }
    case CK_Q5_K: return (0..<k / 256).flatMap { _ in half(0...0.01) + half(0...0.01) + random.bytes(172) }
    case CK_Q6_K: return (0..<k / 256).flatMap { _ in random.bytes(208) + half(0...0.0001) }
    default: return []
    }
}

/// A packed matrix that owns its panels.
final class Packed {
    let matrix: ck_matrix
    private let memory: UnsafeMutableRawPointer

    init(_ type: ck_type, rows: [[UInt8]], k: Int) {
        let format = ck_format_of(type)
        let panelBytes = ck_panel_bytes(format, k)
        let panels = (rows.count + 15) / 16
        let memory = UnsafeMutableRawPointer.allocate(byteCount: panels * panelBytes, alignment: 64)
        for panel in 0..<panels {
            let copies = (0..<16).map { column -> UnsafeMutableBufferPointer<UInt8>? in
                let row = panel * 16 + column
                guard row < rows.count else { return nil }
                let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: rows[row].count)
                _ = copy.initialize(from: rows[row])
                return copy
            }
            var pointers = copies.map { UnsafeRawPointer($0?.baseAddress) }
            pointers.withUnsafeMutableBufferPointer {
                ck_pack_panel(type, $0.baseAddress, k, memory + panel * panelBytes)
            }
            for copy in copies { copy?.deallocate() }
        }
        self.memory = memory
        matrix = ck_matrix(panels: memory, format: format, k: k, outputs: rows.count)
    }

    deinit { memory.deallocate() }
}

/// Rows of activations in all forms but that of integers.
struct Activations {
    let values: [Float]
    /// `values` rounded to bfloat16, as floats and as themselves.
    private var rounded: [Float]
    private var bfloats: [UInt16]
    var quants: [Int8]
    var blocks: [ck_block]
    let k: Int

    init(_ values: [Float], rows: Int, k: Int) {
        self.values = values
        self.k = k
        quants = [Int8](repeating: 0, count: rows * k)
        blocks = [ck_block](repeating: ck_block(), count: rows * (k / 32))
        if k % 32 == 0 { ck_quantize(values, rows, k, k, &quants, &blocks) }
        rounded = values
        bfloats = [UInt16](repeating: 0, count: rows * ck_padded_pairs(k))
        ck_round(&rounded, rows, k, k, &bfloats)
    }

    /// The product of `rows` rows from `row` on with all panels, 16 columns a panel.
    func multiply(
        by packed: Packed, row: Int = 0, rows: Int, bias: [Float]? = nil, accumulate: [Float]? = nil
    ) -> [Float] {
        let stride = (packed.matrix.outputs + 15) / 16 * 16
        var y = accumulate ?? [Float](repeating: .nan, count: (row + rows) * stride)
        var matrix = packed.matrix
        let values = matrix.format == CK_PANEL_BF16 ? rounded : values
        values.withUnsafeBufferPointer { values in
            quants.withUnsafeBufferPointer { quants in
                blocks.withUnsafeBufferPointer { blocks in
                    bfloats.withUnsafeBufferPointer { bfloats in
                        var activations = ck_activations(
                            values: values.baseAddress, quants: quants.baseAddress, blocks: blocks.baseAddress,
                            bfloats: bfloats.baseAddress, stride: k, is_wide: false)
                        y.withUnsafeMutableBufferPointer { y in
                            func run(_ bias: UnsafePointer<Float>?) {
                                var output = ck_output(
                                    y: y.baseAddress, stride: stride, bias: bias, accumulate: accumulate != nil)
                                ck_matmul(&matrix, &activations, row, rows, 0, stride / 16, &output)
                            }
                            if let bias { bias.withUnsafeBufferPointer { run($0.baseAddress) } } else { run(nil) }
                        }
                    }
                }
            }
        }
        return Array(y[(row * stride)...])
    }
}
