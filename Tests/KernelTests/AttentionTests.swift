import CKernels
import Glibc
import Testing

/// A paged cache of one KV head, its blocks in a shuffled order, filled up to `length`; what lies beyond is NaN.
private struct Cache {
    let type: ck_type
    let dimension: Int
    let blockSize: Int
    let keys: [[Float]]
    let values: [[Float]]
    var bound: Float = 0
    var window = 0
    private var pooledKeys: [UInt8]
    private var pooledValues: [UInt8]
    private var table: [Int32]

    init(_ type: ck_type, dimension: Int, blockSize: Int, length: Int, _ random: inout Random) {
        self.type = type
        self.dimension = dimension
        self.blockSize = blockSize
        keys = (0..<length).map { _ in random.floats(dimension) }
        values = (0..<length).map { _ in random.floats(dimension) }
        let blocks = (length + blockSize - 1) / blockSize
        table = (0..<Int32(blocks)).shuffled(using: &random)
        pooledKeys = [UInt8](repeating: 0xFF, count: blocks * blockSize * dimension * ck_element_bytes(type))
        pooledValues = pooledKeys
        for position in 0..<length {
            let block = Int(table[position / blockSize])
            let group = (block * blockSize + position % blockSize / 16 * 16) * dimension * ck_element_bytes(type)
            pooledKeys.withUnsafeMutableBufferPointer { keyPool in
                pooledValues.withUnsafeMutableBufferPointer { valuePool in
                    _ = ck_store(
                        type, keys[position], values[position], dimension, position % 16,
                        keyPool.baseAddress.map { $0 + group }, valuePool.baseAddress.map { $0 + group })
                }
            }
        }
    }

    /// Attention of several queries in one call per segment; a query's length is the positions it sees.
    func attend(_ queries: [[Float]], lengths: [Int32]) -> [Float] {
        let count = queries.count
        let width = dimension + 16
        let flat = UnsafeMutableBufferPointer<Float>.allocate(capacity: count * dimension)
        defer { flat.deallocate() }
        _ = flat.initialize(from: queries.joined())
        guard let base = flat.baseAddress else { return [] }
        if type == CK_BF16 { ck_round(base, 1, flat.count, flat.count, nil) }
        let pointers = (0..<count).map { Optional(UnsafePointer(base + $0 * dimension)) }
        var state = [Float](repeating: 0, count: count * width)
        let segments = (Int(lengths.max() ?? 0) + 255) / 256
        pooledKeys.withUnsafeBufferPointer { keyPool in
            pooledValues.withUnsafeBufferPointer { valuePool in
                table.withUnsafeBufferPointer { table in
                    var cache = ck_cache(
                        keys: keyPool.baseAddress, values: valuePool.baseAddress, type: type,
                        block_stride: blockSize * dimension, block_table: table.baseAddress, block_size: blockSize,
                        head_dimension: dimension,
                        scale: 1 / Float(dimension).squareRoot(), bound: bound, window: window)
                    for segment in 0..<segments {
                        var partial = [Float](repeating: .nan, count: count * width)
                        ck_attend(&cache, segment, pointers, lengths, count, &partial)
                        guard segment > 0 else {
                            state = partial
                            continue
                        }
                        state.withUnsafeMutableBufferPointer { state in
                            partial.withUnsafeBufferPointer { partial in
                                for i in 0..<count {
                                    ck_attend_merge(
                                        state.baseAddress.map { $0 + i * width },
                                        partial.baseAddress.map { $0 + i * width }, dimension)
                                }
                            }
                        }
                    }
                }
            }
        }
        return (0..<count).flatMap { i in
            var y = [Float](repeating: 0, count: dimension)
            ck_attend_finish(Array(state[i * width..<(i + 1) * width]), dimension, dimension, &y)
            return y
        }
    }

    private func stored(_ x: Float) -> Float {
        switch type {
        case CK_F16: return Float(Float16(x))
        case CK_BF16: return nearestBfloat(x)
        default: return x
        }
    }

    private func asked(_ x: Float) -> Float { type == CK_BF16 ? nearestBfloat(x) : x }

    /// How far attention may be from the definition: beside bfloat16, weights are rounded.
    var tolerance: Double { type == CK_BF16 ? 2e-3 : 1e-4 }

    /// The definition, in double precision.
    func expected(_ query: [Float], length: Int) -> [Double] {
        let seen = max(0, window == 0 ? 0 : length - window)..<length
        let scores = seen.map { position in
            let score =
                zip(query, keys[position]).map { Double(asked($0)) * Double(stored($1)) }.reduce(0, +)
                / Double(dimension).squareRoot()
            return bound == 0 ? score : Double(bound) * tanh(score / Double(bound))
        }
        let weights = scores.map { exp($0) }
        let total = weights.reduce(0, +)
        return (0..<dimension).map { column in
            zip(seen, weights).map { $1 * Double(stored(values[$0][column])) }.reduce(0, +) / total
        }
    }
}

extension KernelTests {
    @Test(
        arguments: [(16, 16), (64, 16), (80, 32), (128, 48), (256, 16)],
        [CK_F16.rawValue, CK_BF16.rawValue, CK_F32.rawValue])
    func `attention equals the oracle and the definition`(shape: (dimension: Int, blockSize: Int), type: UInt32) {
        let (dimension, blockSize) = shape
        var random = Random(20)
        for length in [1, 16, 17, 255, 257, 600] {
            let cache = Cache(
                ck_type(type), dimension: dimension, blockSize: blockSize, length: length, &random)
            let queries = (0..<13).map { _ in random.floats(dimension, in: -4...4) }
            let lengths = (0..<13).map { Int32(max(1, length - $0 * 23)) }
            for (name, equal) in compareLevels({ cache.attend(queries, lengths: lengths) }) {
                #expect(equal, "\(name), length \(length)")
            }
            let together = cache.attend(queries, lengths: lengths)
            for i in [0, 5, 12] {
                let own = Array(together[i * dimension..<(i + 1) * dimension])
                #expect(sameBits(cache.attend([queries[i]], lengths: [lengths[i]]), own), "alone, length \(length)")
                let expected = cache.expected(queries[i], length: Int(lengths[i]))
                #expect(zip(own, expected).allSatisfy { abs(Double($0) - $1) < cache.tolerance }, "length \(length)")
            }
        }
    }

    @Test(arguments: [(0, Float(3)), (1, 0), (37, 0), (256, 0), (300, 2)], [CK_F16.rawValue, CK_BF16.rawValue])
    func `a window and a bound equal the oracle and the definition`(sight: (window: Int, bound: Float), type: UInt32) {
        var random = Random(21)
        for length in [1, 37, 257, 600] {
            var cache = Cache(ck_type(type), dimension: 64, blockSize: 16, length: length, &random)
            (cache.window, cache.bound) = sight
            let queries = (0..<13).map { _ in random.floats(64, in: -4...4) }
            let lengths = (0..<13).map { Int32(max(1, length - $0 * 23)) }
            for (name, equal) in compareLevels({ cache.attend(queries, lengths: lengths) }) {
                #expect(equal, "\(name), length \(length)")
            }
            let together = cache.attend(queries, lengths: lengths)
            for i in [0, 5, 12] {
                let own = Array(together[i * 64..<(i + 1) * 64])
                #expect(sameBits(cache.attend([queries[i]], lengths: [lengths[i]]), own), "alone, length \(length)")
                let expected = cache.expected(queries[i], length: Int(lengths[i]))
                #expect(zip(own, expected).allSatisfy { abs(Double($0) - $1) < cache.tolerance }, "length \(length)")
            }
        }
    }

    /// The greatest number of a type, one that rounds to it, and the least that rounds to infinity.
    @Test(arguments: [
        (CK_F16.rawValue, Float(65504), Float(65519), Float(65520)),
        (
            CK_BF16.rawValue, Float(bitPattern: 0x7F7F_0000), Float(bitPattern: 0x7F7F_7FFF),
            Float(bitPattern: 0x7F7F_8000)
        ),
        (CK_F32.rawValue, .greatestFiniteMagnitude, .greatestFiniteMagnitude, .infinity),
    ])
    func `what is not finite in the cache's type is told`(type: UInt32, greatest: Float, below: Float, beyond: Float) {
        let dimension = 48
        let chosen = ck_current()
        defer { ck_force(chosen) }
        for level in levels + [CK_GENERIC] {
            ck_force(level)
            for (x, isFinite) in [(greatest, true), (below, true), (beyond, false), (.nan, false), (0, true)] {
                for sign in [Float(1), -1] {
                    for place in [0, 17, 47] {
                        var row = [Float](repeating: 0.5, count: dimension)
                        row[place] = sign * x
                        let plain = [Float](repeating: -2, count: dimension)
                        var keys = [UInt32](repeating: 0, count: dimension * 16)
                        var values = keys
                        let name = "\(String(cString: ck_level_name(level))), \(sign * x) at \(place)"
                        #expect(
                            ck_store(ck_type(type), row, plain, dimension, 3, &keys, &values) == isFinite, "\(name)")
                        #expect(
                            ck_store(ck_type(type), plain, row, dimension, 3, &keys, &values) == isFinite, "\(name)")
                    }
                }
            }
        }
    }
}
