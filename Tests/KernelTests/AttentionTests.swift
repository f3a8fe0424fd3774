import CKernels
import Glibc
import Testing

/// A paged cache of one KV head, its blocks in a shuffled order, filled up to `length`; what lies beyond is NaN.
private struct Cache {
    let type: ck_type
    let dimension: Int
    let blockSize: Int
    private let keys: [[Double]]
    private let values: [[Double]]
    var bound: Float = 0
    var window = 0
    private var pooledKeys: [UInt8]
    private var pooledValues: [UInt8]
    private var table: [Int32]

    init(_ type: ck_type, dimension: Int, blockSize: Int, length: Int, _ random: inout Random) {
        self.type = type
        self.dimension = dimension
        self.blockSize = blockSize
        // Of different sizes, so that a scale belongs to one position.
        let givenKeys = (0..<length).map { position in random.floats(dimension).map { $0 / Float(1 + position % 3) } }
        let givenValues = (0..<length).map { position in random.floats(dimension).map { $0 / Float(1 + position % 5) } }
        keys = givenKeys.map { Self.stored($0, as: type) }
        values = givenValues.map { Self.stored($0, as: type) }
        let blocks = (length + blockSize - 1) / blockSize
        table = (0..<Int32(blocks)).shuffled(using: &random)
        let groupBytes = ck_group_elements(type, dimension) * ck_element_bytes(type)
        pooledKeys = [UInt8](repeating: 0xFF, count: blocks * blockSize / 16 * groupBytes)
        pooledValues = pooledKeys
        for position in 0..<length {
            let block = Int(table[position / blockSize])
            let group = (block * blockSize + position % blockSize) / 16 * groupBytes
            pooledKeys.withUnsafeMutableBufferPointer { keyPool in
                pooledValues.withUnsafeMutableBufferPointer { valuePool in
                    _ = ck_store(
                        type, givenKeys[position], givenValues[position], dimension, position % 16,
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
        if isRounded { ck_round(base, 1, flat.count, flat.count, nil) }
        let pointers = (0..<count).map { Optional(UnsafePointer(base + $0 * dimension)) }
        var state = [Float](repeating: 0, count: count * width)
        let segments = (Int(lengths.max() ?? 0) + 255) / 256
        pooledKeys.withUnsafeBufferPointer { keyPool in
            pooledValues.withUnsafeBufferPointer { valuePool in
                table.withUnsafeBufferPointer { table in
                    var cache = ck_cache(
                        keys: keyPool.baseAddress, values: valuePool.baseAddress, type: type,
                        block_stride: blockSize / 16 * ck_group_elements(type, dimension),
                        block_table: table.baseAddress, block_size: blockSize,
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

    private static func stored(_ row: [Float], as type: ck_type) -> [Double] {
        switch type {
        case CK_F16: return row.map { Double(Float16($0)) }
        case CK_BF16: return row.map { Double(nearestBfloat($0)) }
        case CK_I8:
            let scale = (row.map(\.magnitude).max() ?? 0) / 127
            return row.map { Double(($0 / scale).rounded(.toNearestOrEven)) * Double(scale) }
        default: return row.map { Double($0) }
        }
    }

    /// Whether queries and weights are rounded to bfloat16.
    private var isRounded: Bool { type == CK_BF16 || type == CK_I8 }

    /// How far attention may be from the definition: beside bfloat16, weights are rounded; beside integers, with the scales of
    /// values, by which they are not divided again.
    var tolerance: Double { type == CK_BF16 ? 2e-3 : type == CK_I8 ? 5e-3 : 1e-4 }

    /// The definition, in double precision. Loops, because tests are not optimized and this is most of their time.
    func expected(_ query: [Float], length: Int) -> [Double] {
        let seen = max(0, window == 0 ? 0 : length - window)..<length
        let query = query.map { Double(isRounded ? nearestBfloat($0) : $0) }
        var sums = [Double](repeating: 0, count: dimension)
        var total = 0.0
        for position in seen {
            var score = 0.0
            for column in 0..<dimension { score += query[column] * keys[position][column] }
            score /= Double(dimension).squareRoot()
            if bound != 0 { score = Double(bound) * tanh(score / Double(bound)) }
            let weight = exp(score)
            total += weight
            for column in 0..<dimension { sums[column] += weight * values[position][column] }
        }
        return sums.map { $0 / total }
    }
}

extension KernelTests {
    @Test(
        arguments: [(16, 16), (64, 16), (80, 32), (128, 48), (256, 16)],
        [CK_F16.rawValue, CK_BF16.rawValue, CK_F32.rawValue, CK_I8.rawValue])
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

    @Test(
        arguments: [(0, Float(3)), (1, 0), (37, 0), (256, 0), (300, 2)],
        [CK_F16.rawValue, CK_BF16.rawValue, CK_I8.rawValue])
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
        (CK_I8.rawValue, .greatestFiniteMagnitude, .greatestFiniteMagnitude, .infinity),
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

    /// A group's elements and scales behind storing rows at some positions, and whether each was finite.
    private func group(_ rows: [(position: Int, row: [Float])]) -> (keys: [Int8], values: [Int8], isFinite: [Bool]) {
        let dimension = rows[0].row.count
        var keys = [Int8](repeating: 0, count: ck_group_elements(CK_I8, dimension))
        var values = keys
        let isFinite = rows.map { position, row in
            ck_store(CK_I8, row, row.map { -$0 }, dimension, position, &keys, &values)
        }
        return (keys, values, isFinite)
    }

    @Test(arguments: [16, 48, 64, 80, 256])
    func `integers and scales of a cache are the definition's, in every instruction set`(dimension: Int) throws {
        var random = Random(22)
        var rows = (0..<12).map { (position: $0, row: random.floats(dimension, in: -9...9)) }
        rows.append((12, [Float](repeating: 0, count: dimension)))  // no NaN of 0 / 0
        rows.append((13, [1e-36] + [Float](repeating: 0, count: dimension - 1)))
        rows.append((14, (0..<dimension).map { $0 % 2 == 0 ? .greatestFiniteMagnitude : -1e38 }))
        rows.append((15, (0..<dimension).map { $0 == 3 ? 127 : Float($0 % 100) + 0.5 }))  // ties to even
        for (name, equal) in compareLevels({ (group(rows).keys + group(rows).values).map { Float($0) } }) {
            #expect(equal, "\(name)")
        }
        let own = group(rows)
        #expect(!own.isFinite.contains(false))
        for (position, row) in rows {
            let largest = row.map(\.magnitude).max() ?? 0
            let scale = largest < 1e-35 ? 0 : largest / 127
            for (group, sign) in [(own.keys, Float(1)), (own.values, -1)] {
                let kept = group.withUnsafeBytes {
                    $0.loadUnaligned(fromByteOffset: 16 * dimension + position * 4, as: Float.self)
                }
                #expect(kept == scale)
                let integers = (0..<dimension).map { index in
                    group[sign > 0 ? index * 16 + position : position * dimension + index]
                }
                let expected = row.map { scale == 0 ? 0 : (sign * $0 / scale).rounded(.toNearestOrEven) }
                #expect(integers.map { Float($0) } == expected, "position \(position)")
            }
        }
    }
}
