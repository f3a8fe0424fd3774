import CAscend
import Glibc
import Testing

extension SimulatorTests {
    /// Every operator of a dense forward pass against its obvious form.
    @Suite struct OperatorTests {
        let half: Float = 1 / 256

        @Test func indexSelectTakesRows() throws {
            let machine = try Machine()
            var numbers = Numbers(1)
            let table = numbers.floats(10 * 32)
            let source = try machine.floats(table, [10, 32])
            let rows = machine.tensor(ACL_INT32, [3], at: try machine.upload([7, 0, 7] as [Int32]))
            let out = try machine.empty(ACL_BF16, [3, 32])
            try machine.run(machine.operators.aclnnIndexSelect) {
                machine.operators.aclnnIndexSelectGetWorkspaceSize(source.handle, 0, rows, out.handle, $0, $1)
            }
            #expect(try machine.read(out) == Array(table[224..<256] + table[0..<32] + table[224..<256]))
        }

        @Test func rmsNorm() throws {
            let machine = try Machine()
            var numbers = Numbers(2)
            let (x, gamma) = (numbers.floats(3 * 64), numbers.floats(64))
            let input = try machine.floats(x, [3, 64])
            let weight = try machine.floats(gamma, [64])
            let (y, rstd) = (try machine.empty(ACL_BF16, [3, 64]), try machine.empty(ACL_FLOAT, [3, 1]))
            try machine.run(machine.operators.aclnnRmsNorm) {
                machine.operators.aclnnRmsNormGetWorkspaceSize(
                    input.handle, weight.handle, 1e-5, y.handle, rstd.handle, $0, $1)
            }
            #expect(difference(try machine.read(y), norm(x, gamma)) <= half)
            let factors = (0..<3).map {
                1 / (x[$0 * 64..<$0 * 64 + 64].reduce(0) { $0 + $1 * $1 } / 64 + 1e-5).squareRoot()
            }
            #expect(difference(try machine.read(rstd), factors) < 1e-5)
        }

        @Test func addRmsNormKeepsTheSum() throws {
            let machine = try Machine()
            var numbers = Numbers(3)
            let (a, b, gamma) = (numbers.floats(2 * 64), numbers.floats(2 * 64), numbers.floats(64))
            let inputs = [
                try machine.floats(a, [2, 64]), try machine.floats(b, [2, 64]), try machine.floats(gamma, [64]),
            ]
            let (y, sum) = (try machine.empty(ACL_BF16, [2, 64]), try machine.empty(ACL_BF16, [2, 64]))
            let rstd = try machine.empty(ACL_FLOAT, [2, 1])
            try machine.run(machine.operators.aclnnAddRmsNorm) {
                machine.operators.aclnnAddRmsNormGetWorkspaceSize(
                    inputs[0].handle, inputs[1].handle, inputs[2].handle, 1e-5, y.handle, rstd.handle, sum.handle, $0,
                    $1)
            }
            let total = brained(zip(a, b).map { $0 + $1 })
            #expect(try machine.read(sum) == total)
            #expect(difference(try machine.read(y), norm(total, gamma)) <= half)
        }

        enum Layout: CaseIterable { case plain, transposed, tiles, transposedTiles }

        @Test(arguments: Layout.allCases, [1, 3])
        func matrixProduct(layout: Layout, rows: Int) throws {
            let machine = try Machine()
            var numbers = Numbers(4)
            let (k, n) = (48, 40)
            let (x, w) = (numbers.floats(rows * k), numbers.floats(k * n))
            let a = try machine.floats(x, [rows, k])
            let flipped = (0..<n * k).map { w[$0 % k * n + $0 / k] }
            let b: OpaquePointer? =
                switch layout {
                case .plain: try machine.floats(w, [k, n]).handle
                case .transposed:
                    machine.tensor(ACL_BF16, [k, n], at: try machine.upload(flipped.map(brain)), strides: [1, k])
                case .tiles:
                    machine.tensor(
                        ACL_BF16, [k, n], at: try machine.upload(tiled(w, k, n, 16).map(brain)),
                        format: ACL_FORMAT_FRACTAL_NZ, storage: [3, 3, 16, 16])
                case .transposedTiles:
                    machine.tensor(
                        ACL_BF16, [k, n], at: try machine.upload(tiled(flipped, n, k, 16).map(brain)), strides: [1, k],
                        format: ACL_FORMAT_FRACTAL_NZ, storage: [3, 3, 16, 16])
                }
            let out = try machine.empty(ACL_BF16, [rows, n])
            try machine.run(machine.operators.aclnnMm) {
                machine.operators.aclnnMmGetWorkspaceSize(a.handle, b, out.handle, 0, $0, $1)
            }
            #expect(difference(try machine.read(out), product(x, w, rows, k, n)) <= half)
        }

        @Test func rotaryTurnsHalves() throws {
            let machine = try Machine()
            var numbers = Numbers(5)
            let (q, k) = (numbers.floats(2 * 3 * 64), numbers.floats(2 * 1 * 64))
            let (c, s) = (numbers.floats(2 * 64), numbers.floats(2 * 64))
            let (query, key) = (try machine.floats(q, [2, 3, 64]), try machine.floats(k, [2, 1, 64]))
            let (cosines, sines) = (try machine.floats(c, [2, 1, 64]), try machine.floats(s, [2, 1, 64]))
            try machine.run(machine.operators.aclnnApplyRotaryPosEmb) {
                machine.operators.aclnnApplyRotaryPosEmbGetWorkspaceSize(
                    query.handle, key.handle, cosines.handle, sines.handle, 4, $0, $1)
            }
            #expect(difference(try machine.read(query), turned(q, c, s, heads: 3)) <= half)
            #expect(difference(try machine.read(key), turned(k, c, s, heads: 1)) <= half)
        }

        @Test func scatterSkipsSlotMinusOne() throws {
            let machine = try Machine()
            var numbers = Numbers(6)
            let key = numbers.floats(3 * 2 * 16)
            let (keys, values) = (try machine.floats(key, [3, 2, 16]), try machine.floats(key, [3, 2, 16]))
            let zeros = [Float](repeating: 0, count: 2 * 16 * 2 * 16)
            let caches = [try machine.floats(zeros, [2, 16, 2, 16]), try machine.floats(zeros, [2, 16, 2, 16])]
            let slots = machine.tensor(ACL_INT32, [3], at: try machine.upload([17, -1, 2] as [Int32]))
            try machine.run(machine.operators.aclnnScatterPaKvCache) {
                machine.operators.aclnnScatterPaKvCacheGetWorkspaceSize(
                    keys.handle, caches[0].handle, slots, values.handle, caches[1].handle, nil, nil, nil, nil, nil, nil,
                    nil, $0, $1)
            }
            var expected = zeros
            expected.replaceSubrange(17 * 32..<18 * 32, with: key[0..<32])
            expected.replaceSubrange(2 * 32..<3 * 32, with: key[64..<96])
            #expect(try machine.read(caches[0]) == expected)
            #expect(try machine.read(caches[1]) == expected)
        }

        /// Two sequences: four rows at the end of 20 tokens, one at the end of 33.
        @Test func pagedAttention() throws {
            let machine = try Machine()
            let attention = try Attention(machine, ends: [4, 5], lengths: [20, 33], table: [[2, 0, -1], [4, 1, 3]])
            try machine.run(machine.operators.aclnnFusedInferAttentionScoreV3) { attention.plan(machine, $0, $1) }
            #expect(difference(try machine.read(attention.out), attention.expected()) <= half)
        }

        /// On 310P every head has keys of its own; on others heads may share them.
        @Test(arguments: ["Ascend310P3", "Ascend910B3"]) func attentionOfLastRows(_ chip: String) throws {
            let machine = try Machine(["SOC": chip])
            let attention = try Increment(
                machine, lengths: [20, 33, 1], table: [[2, 0, -1], [4, 1, 3], [3, -1, -1]])
            try attention.run(machine)
            #expect(difference(try machine.read(attention.out), attention.expected()) <= 1e-3)
        }

        @Test func swiGlu() throws {
            let machine = try Machine()
            var numbers = Numbers(8)
            let x = numbers.floats(2 * 64)
            let (input, out) = (try machine.floats(x, [2, 64]), try machine.empty(ACL_BF16, [2, 32]))
            try machine.run(machine.operators.aclnnSwiGlu) {
                machine.operators.aclnnSwiGluGetWorkspaceSize(input.handle, -1, out.handle, $0, $1)
            }
            let expected = (0..<64).map { i -> Float in
                let gate = x[i / 32 * 64 + i % 32]
                return gate / (1 + expf(-gate)) * x[i / 32 * 64 + 32 + i % 32]
            }
            #expect(difference(try machine.read(out), expected) <= half)
        }

        @Test func sigmoid() throws {
            let machine = try Machine()
            let x: [Float] = [-30, -1, 0, 0.5, 30]
            let (input, out) = (try machine.floats(x, [5, 1]), try machine.empty(ACL_BF16, [5, 1]))
            try machine.run(machine.operators.aclnnSigmoid) {
                machine.operators.aclnnSigmoidGetWorkspaceSize(input.handle, out.handle, $0, $1)
            }
            #expect(difference(try machine.read(out), x.map { 1 / (1 + expf(-$0)) }) <= half)
        }

        @Test func samplingOperators() throws {
            let machine = try Machine()
            let x: [Float] = [0.5, 2, -1, 2, 1, 3, 3, 0]
            let input = try machine.floats(x, [2, 4])
            let best = try machine.empty(ACL_INT64, [2])
            try machine.run(machine.operators.aclnnArgMax) {
                machine.operators.aclnnArgMaxGetWorkspaceSize(input.handle, -1, false, best.handle, $0, $1)
            }
            #expect(try machine.read(best) == [1, 1])
            let (values, places) = (try machine.empty(ACL_BF16, [2, 3]), try machine.empty(ACL_INT64, [2, 3]))
            try machine.run(machine.operators.aclnnTopk) {
                machine.operators.aclnnTopkGetWorkspaceSize(
                    input.handle, 3, -1, true, true, values.handle, places.handle, $0, $1)
            }
            #expect(try machine.read(values) == [2, 2, 0.5, 3, 3, 1])
            #expect(try machine.read(places) == [1, 3, 0, 1, 2, 0])
            let logs = try machine.empty(ACL_FLOAT, [2, 4])
            try machine.run(machine.operators.aclnnLogSoftmax) {
                machine.operators.aclnnLogSoftmaxGetWorkspaceSize(input.handle, -1, logs.handle, $0, $1)
            }
            let sums = [0, 4].map { start in logf(x[start..<start + 4].reduce(0) { $0 + expf($1) }) }
            #expect(difference(try machine.read(logs), x.enumerated().map { $0.element - sums[$0.offset / 4] }) < 1e-5)
            let out = try machine.empty(ACL_BF16, [2, 4])
            let k = machine.tensor(ACL_INT32, [2], at: try machine.upload([2, 0] as [Int32]))
            let p = try machine.floats([1, 0.5], [2])
            try machine.run(machine.operators.aclnnApplyTopKTopP) {
                machine.operators.aclnnApplyTopKTopPGetWorkspaceSize(input.handle, p.handle, k, out.handle, $0, $1)
            }
            let none = -Float.infinity
            #expect(try machine.read(out) == [none, 2, none, 2, none, 3, 3, none])
        }

        /// The numbers are far from 0, where exp of them is none that float32 holds.
        @Test(arguments: [ACL_BF16, ACL_FLOAT16, ACL_FLOAT])
        func sumsOfRows(type: aclDataType) throws {
            let machine = try Machine()
            let rows: [[Float]] = [[0.5, 2, -1, 2], [900, 904, 896, -300], [-700, -700, -700, -700]]
            let input = try machine.floats(rows.flatMap(\.self), [3, 4], type)
            let (line, column) = (try machine.empty(ACL_FLOAT, [3]), try machine.empty(ACL_FLOAT, [3, 1]))
            for (out, keepsDimension) in [(line, false), (column, true)] {
                try machine.run(machine.operators.aclnnLogSumExp) {
                    machine.operators.aclnnLogSumExpGetWorkspaceSize(
                        input.handle, machine.integers([-1]), keepsDimension, out.handle, $0, $1)
                }
                let expected = rows.map { row in
                    let largest = row.reduce(-Float.infinity, max)
                    return largest + Float(log(row.reduce(0.0) { $0 + exp(Double($1 - largest)) }))
                }
                #expect(difference(try machine.read(out), expected) < 1e-6)
            }
        }

        @Test func productOfAHalfAndAFloat() throws {
            let machine = try Machine()
            for type in [ACL_BF16, ACL_FLOAT16] {
                let x = try machine.floats([1, 3, -2, 0.5], [2, 2], type)
                // Neither of these is one of 16 bits.
                let factors = try machine.floats([0.1, 1.7], [2, 1], ACL_FLOAT)
                let out = try machine.empty(ACL_FLOAT, [2, 2])
                try machine.run(machine.operators.aclnnMul) {
                    machine.operators.aclnnMulGetWorkspaceSize(x.handle, factors.handle, out.handle, $0, $1)
                }
                #expect(try machine.read(out) == [0.1, 0.1 * 3, 1.7 * -2, 1.7 * 0.5] as [Float])
            }
        }

        /// Few of many are found another way than many of few.
        @Test(arguments: [1, 3, 40, 300])
        func topkOfARowOfTies(k: Int) throws {
            let machine = try Machine()
            var numbers = Numbers(9)
            let x = numbers.integers(300, 0...20).map(Float.init)
            let input = try machine.floats(x, [1, 300])
            let (values, places) = (try machine.empty(ACL_BF16, [1, k]), try machine.empty(ACL_INT64, [1, k]))
            try machine.run(machine.operators.aclnnTopk) {
                machine.operators.aclnnTopkGetWorkspaceSize(
                    input.handle, Int64(k), -1, true, true, values.handle, places.handle, $0, $1)
            }
            let order = x.enumerated().sorted { ($1.element, $0.offset) < ($0.element, $1.offset) }.prefix(k)
            #expect(try machine.read(places) == order.map { Float($0.offset) })
            #expect(try machine.read(values) == order.map(\.element))
        }

        @Test func elementsWithBroadcast() throws {
            let machine = try Machine()
            let x = try machine.floats([1, 2, 3, 4], [2, 2])
            let bias = try machine.floats([10, 20], [2])
            try machine.run(machine.operators.aclnnInplaceAdd) {
                machine.operators.aclnnInplaceAddGetWorkspaceSize(x.handle, bias.handle, machine.scalar(1), $0, $1)
            }
            #expect(try machine.read(x) == [11, 22, 13, 24])
            let wide = try machine.empty(ACL_FLOAT, [2, 2])
            try machine.run(machine.operators.aclnnCast) {
                machine.operators.aclnnCastGetWorkspaceSize(x.handle, ACL_FLOAT, wide.handle, $0, $1)
            }
            #expect(try machine.read(wide) == [11, 22, 13, 24])
        }
    }
}

// MARK: - Obvious forms

func norm(_ x: [Float], _ gamma: [Float]) -> [Float] {
    x.indices.map { index in
        let row = index / gamma.count * gamma.count
        let mean = x[row..<row + gamma.count].reduce(0.0) { $0 + Double($1) * Double($1) } / Double(gamma.count)
        return Float(Double(x[index]) / (mean + 1e-5).squareRoot() * Double(gamma[index - row]))
    }
}

func product(_ x: [Float], _ w: [Float], _ rows: Int, _ k: Int, _ n: Int) -> [Float] {
    (0..<rows * n).map { index in
        Float((0..<k).reduce(0.0) { $0 + Double(x[index / n * k + $1]) * Double(w[$1 * n + index % n]) })
    }
}

/// A matrix in tiles of 16 rows and `width` columns, padded with zeros.
func tiled(_ w: [Float], _ rows: Int, _ columns: Int, _ width: Int) -> [Float] {
    let (down, across) = ((rows + 15) / 16, (columns + width - 1) / width)
    return (0..<down * across * 16 * width).map { index in
        let (row, column) = (
            index / (16 * width) % down * 16 + index / width % 16, index / (16 * width) / down * width + index % width
        )
        return row < rows && column < columns ? w[row * columns + column] : 0
    }
}

func turned(_ x: [Float], _ c: [Float], _ s: [Float], heads: Int) -> [Float] {
    x.indices.map { index in
        let (token, column) = (index / (64 * heads), index % 64)
        let partner = column < 32 ? -x[index + 32] : x[index - 32]
        return x[index] * c[token * 64 + column] + partner * s[token * 64 + column]
    }
}

/// Attention of one row of each sequence, 4 heads of 32 elements, over blocks of 16.
struct Increment {
    let lengths: [Int]
    let table: [[Int]]
    let out: Placed
    private let query: [Float]
    private let caches: [[Float]]
    private let placed: [Placed]
    private let blocks: OpaquePointer?

    init(_ machine: Machine, lengths: [Int], table: [[Int]]) throws {
        var numbers = Numbers(9)
        (self.lengths, self.table) = (lengths, table)
        query = numbers.floats(lengths.count * 128).map { Float(Float16($0)) }
        caches = (0..<2).map { _ in numbers.floats(5 * 16 * 128).map { Float(Float16($0)) } }
        placed =
            [try machine.floats(query, [lengths.count, 1, 128], ACL_FLOAT16)]
            + (try caches.map { try machine.floats($0, [5, 16, 128], ACL_FLOAT16) })
        out = try machine.empty(ACL_FLOAT16, [lengths.count, 1, 128])
        blocks = machine.tensor(
            ACL_INT32, [table.count, table[0].count], at: try machine.upload(table.flatMap { $0.map(Int32.init) }))
    }

    func run(_ machine: Machine, groups: Int64 = 0) throws {
        var layout = Array("BSH".utf8CString)
        try machine.run(machine.operators.aclnnIncreFlashAttentionV4) {
            machine.operators.aclnnIncreFlashAttentionV4GetWorkspaceSize(
                placed[0].handle, machine.list([placed[1]]), machine.list([placed[2]]), nil, nil,
                machine.integers(lengths), nil, nil, nil, nil, nil, nil, nil, blocks, nil, 4, 0.125, &layout, groups,
                16,
                0, out.handle, $0, $1)
        }
    }

    func expected() -> [Float] {
        lengths.indices.flatMap { sequence in
            (0..<4).flatMap { head in
                func element(_ cache: Int, _ position: Int, _ i: Int) -> Double {
                    let row = table[sequence][position / 16] * 16 + position % 16
                    return Double(caches[cache][row * 128 + head * 32 + i])
                }
                let weights = (0..<lengths[sequence]).map { position in
                    exp(
                        0.125
                            * (0..<32).reduce(0.0) {
                                $0 + Double(query[sequence * 128 + head * 32 + $1]) * element(0, position, $1)
                            })
                }
                let total = weights.reduce(0, +)
                return (0..<32).map { i in
                    Float(weights.indices.reduce(0.0) { $0 + weights[$1] * element(1, $1, i) } / total)
                }
            }
        }
    }
}

/// A paged attention of 4 heads over 2 with head size 64 and blocks of 16.
struct Attention {
    let query: [Float]
    let keys: [Float]
    let values: [Float]
    let ends: [Int]
    let lengths: [Int]
    let table: [[Int]]
    let placed: [Placed]
    let out: Placed
    let blocks: OpaquePointer?
    let mask: Placed

    init(_ machine: Machine, ends: [Int], lengths: [Int], table: [[Int]]) throws {
        var numbers = Numbers(7)
        let rows = ends.last ?? 0
        (query, keys, values) = (numbers.floats(rows * 256), numbers.floats(5 * 16 * 128), numbers.floats(5 * 16 * 128))
        (self.ends, self.lengths, self.table) = (ends, lengths, table)
        placed = [
            try machine.floats(query, [rows, 4, 64]), try machine.floats(keys, [5, 16, 128]),
            try machine.floats(values, [5, 16, 128]),
        ]
        out = try machine.empty(ACL_BF16, [rows, 4, 64])
        blocks = machine.tensor(
            ACL_INT32, [table.count, table[0].count], at: try machine.upload(table.flatMap { $0.map(Int32.init) }))
        let triangle = (0..<2048 * 2048).map { Int8($0 % 2048 > $0 / 2048 ? 1 : 0) }
        let place = try machine.upload(triangle)
        mask = Placed(
            handle: machine.tensor(ACL_INT8, [2048, 2048], at: place), place: place, type: ACL_INT8, dims: [2048, 2048])
    }

    func plan(
        _ machine: Machine, lengths: [Int]? = nil, _ size: UnsafeMutablePointer<UInt64>?,
        _ executor: UnsafeMutablePointer<OpaquePointer?>?
    ) -> aclnnStatus {
        var layout = Array("TND".utf8CString)
        return machine.operators.aclnnFusedInferAttentionScoreV3GetWorkspaceSize(
            placed[0].handle, list(machine, 1), list(machine, 2), nil, mask.handle, machine.integers(ends),
            machine.integers(lengths ?? self.lengths), nil, nil, nil, nil, nil, nil, nil, blocks, nil, nil, nil, nil,
            nil, nil,
            nil, nil, nil, nil, nil, nil, 4, 0.125, 2_147_483_647, 2_147_483_647, &layout, 2, 3, 0, 16, 0, false, 0, 0,
            out.handle, nil, size, executor)
    }

    /// Lists take their members, so each call makes its own.
    private func list(_ machine: Machine, _ index: Int) -> OpaquePointer? {
        let part = placed[index]
        let member = Placed(
            handle: machine.tensor(part.type, part.dims, at: part.place), place: part.place, type: part.type,
            dims: part.dims)
        return machine.list([member])
    }

    func expected(lengths: [Int]? = nil) -> [Float] {
        let lengths = lengths ?? self.lengths
        var result: [Float] = []
        for row in 0..<(ends.last ?? 0) {
            let sequence = ends.firstIndex { row < $0 } ?? 0
            let seen = lengths[sequence] - (ends[sequence] - 1 - row)
            for head in 0..<4 {
                func element(_ cache: [Float], _ position: Int, _ i: Int) -> Double {
                    Double(cache[(table[sequence][position / 16] * 16 + position % 16) * 128 + head / 2 * 64 + i])
                }
                let scores = (0..<seen).map { position in
                    exp(
                        0.125
                            * (0..<64).reduce(0.0) {
                                $0 + Double(query[row * 256 + head * 64 + $1]) * element(keys, position, $1)
                            })
                }
                let total = scores.reduce(0, +)
                result += (0..<64).map { i in
                    Float(scores.indices.reduce(0.0) { $0 + scores[$1] * element(values, $1, i) } / total)
                }
            }
        }
        return result
    }
}
