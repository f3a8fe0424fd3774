import CKernels
import Glibc
import Testing

/// A paged cache of one KV head, its blocks in a shuffled order, filled up to `length`; what lies beyond is NaN.
private struct Cache {
    let dimension: Int
    let blockSize: Int
    let keys: [[Float]]
    let values: [[Float]]
    var bound: Float = 0
    var window = 0
    private var pooledKeys: [UInt16]
    private var pooledValues: [UInt16]
    private var table: [Int32]

    init(dimension: Int, blockSize: Int, length: Int, _ random: inout Random) {
        self.dimension = dimension
        self.blockSize = blockSize
        keys = (0..<length).map { _ in random.floats(dimension) }
        values = (0..<length).map { _ in random.floats(dimension) }
        let blocks = (length + blockSize - 1) / blockSize
        table = (0..<Int32(blocks)).shuffled(using: &random)
        pooledKeys = [UInt16](repeating: 0x7E00, count: blocks * blockSize * dimension)
        pooledValues = pooledKeys
        for position in 0..<length {
            let block = Int(table[position / blockSize])
            let group = (block * blockSize + position % blockSize / 16 * 16) * dimension
            pooledKeys.withUnsafeMutableBufferPointer { keyPool in
                pooledValues.withUnsafeMutableBufferPointer { valuePool in
                    ck_store(
                        keys[position], values[position], dimension, position % 16,
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
        let pointers = (0..<count).map { Optional(UnsafePointer(base + $0 * dimension)) }
        var state = [Float](repeating: 0, count: count * width)
        let segments = (Int(lengths.max() ?? 0) + 255) / 256
        pooledKeys.withUnsafeBufferPointer { keyPool in
            pooledValues.withUnsafeBufferPointer { valuePool in
                table.withUnsafeBufferPointer { table in
                    var cache = ck_cache(
                        keys: keyPool.baseAddress, values: valuePool.baseAddress, block_stride: blockSize * dimension,
                        block_table: table.baseAddress, block_size: blockSize, head_dimension: dimension,
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

    /// The definition, in double precision.
    func expected(_ query: [Float], length: Int) -> [Double] {
        let seen = max(0, window == 0 ? 0 : length - window)..<length
        let scores = seen.map { position in
            let score =
                zip(query, keys[position]).map { Double($0) * Double(Float(Float16($1))) }.reduce(0, +)
                / Double(dimension).squareRoot()
            return bound == 0 ? score : Double(bound) * tanh(score / Double(bound))
        }
        let weights = scores.map { exp($0) }
        let total = weights.reduce(0, +)
        return (0..<dimension).map { column in
            zip(seen, weights).map { $1 * Double(Float(Float16(values[$0][column]))) }.reduce(0, +) / total
        }
    }
}

extension KernelTests {
    @Test(arguments: [(16, 16), (64, 16), (80, 32), (96, 16), (128, 48), (256, 16)])
    func `attention equals the oracle and the definition`(dimension: Int, blockSize: Int) {
        var random = Random(20)
        for length in [1, 15, 16, 17, 255, 256, 257, 600] {
            let cache = Cache(dimension: dimension, blockSize: blockSize, length: length, &random)
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
                #expect(zip(own, expected).allSatisfy { abs(Double($0) - $1) < 1e-4 }, "length \(length)")
            }
        }
    }

    @Test(arguments: [(0, Float(3)), (1, 0), (37, 0), (256, 0), (300, 2)])
    func `a window and a bound equal the oracle and the definition`(window: Int, bound: Float) {
        var random = Random(21)
        for length in [1, 16, 37, 256, 257, 600] {
            var cache = Cache(dimension: 48, blockSize: 16, length: length, &random)
            (cache.window, cache.bound) = (window, bound)
            let queries = (0..<13).map { _ in random.floats(48, in: -4...4) }
            let lengths = (0..<13).map { Int32(max(1, length - $0 * 23)) }
            for (name, equal) in compareLevels({ cache.attend(queries, lengths: lengths) }) {
                #expect(equal, "\(name), length \(length)")
            }
            let together = cache.attend(queries, lengths: lengths)
            for i in [0, 5, 12] {
                let own = Array(together[i * 48..<(i + 1) * 48])
                #expect(sameBits(cache.attend([queries[i]], lengths: [lengths[i]]), own), "alone, length \(length)")
                let expected = cache.expected(queries[i], length: Int(lengths[i]))
                #expect(zip(own, expected).allSatisfy { abs(Double($0) - $1) < 1e-4 }, "length \(length)")
            }
        }
    }

    @Test func `stored values saturate instead of becoming infinite`() {
        let dimension = 16
        let key = [Float](repeating: 1e9, count: dimension)
        let value = [Float](repeating: -1e9, count: dimension)
        for level in levels + [CK_GENERIC] {
            let chosen = ck_current()
            defer { ck_force(chosen) }
            ck_force(level)
            var keys = [UInt16](repeating: 0, count: 256)
            var values = keys
            ck_store(key, value, dimension, 3, &keys, &values)
            #expect((0..<256).allSatisfy { keys[$0] == ($0 % 16 == 3 ? Float16(65504).bitPattern : 0) })
            #expect((0..<256).allSatisfy { values[$0] == ($0 / 16 == 3 ? Float16(-65504).bitPattern : 0) })
        }
    }
}
