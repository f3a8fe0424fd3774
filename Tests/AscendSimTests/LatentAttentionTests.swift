import CAscend
import Glibc
import Testing

/// Attention over latents in blocks of 16: rows of sequences, their heads, and a cache of five blocks.
struct LatentAttention {
    let heads: Int
    let ends: [Int]
    let lengths: [Int]
    let table: [[Int]]
    private let query: [Float]
    private let rotatedQuery: [Float]
    private let latents: [Float]
    private let keys: [Float]
    private let width: Int
    private let placed: [Placed]
    private let other: Placed
    private let out: Placed
    private let blocks: OpaquePointer?
    private let mask: OpaquePointer?

    init(
        _ machine: Machine, heads: Int = 4, width: Int = 512, ends: [Int] = [2], lengths: [Int] = [2],
        table: [[Int]] = [[0]]
    ) throws {
        (self.heads, self.width, self.ends, self.lengths, self.table) = (heads, width, ends, lengths, table)
        var numbers = Numbers(31)
        let rows = ends.last ?? 0
        query = numbers.floats(rows * heads * width)
        rotatedQuery = numbers.floats(rows * heads * 64)
        latents = numbers.floats(5 * 16 * width)
        keys = numbers.floats(5 * 16 * 64)
        placed = [
            try machine.floats(query, [rows, heads, width]), try machine.floats(rotatedQuery, [rows, heads, 64]),
            try machine.floats(latents, [5, 16, width]), try machine.floats(keys, [5, 16, 64]),
        ]
        other = try machine.floats(latents, [5, 16, width])
        out = try machine.empty(ACL_BF16, [rows, heads, width])
        blocks = machine.tensor(
            ACL_INT32, [table.count, table[0].count], at: try machine.upload(table.flatMap { $0.map(Int32.init) }))
        let triangle = (0..<2048 * 2048).map { Int8($0 % 2048 > $0 / 2048 ? 1 : 0) }
        mask = machine.tensor(ACL_INT8, [2048, 2048], at: try machine.upload(triangle))
    }

    func run(
        _ machine: Machine, groups: Int64 = 1, blockSize: Int64 = 16, hasKeyRope: Bool = true,
        isValueApart: Bool = false
    ) throws {
        var layout = Array("TND".utf8CString)
        func list(_ part: Placed) -> OpaquePointer? {
            machine.list([
                Placed(
                    handle: machine.tensor(part.type, part.dims, at: part.place), place: part.place, type: part.type,
                    dims: part.dims)
            ])
        }
        let (keyList, valueList) = (list(placed[2]), list(isValueApart ? other : placed[2]))
        try machine.run(machine.operators.aclnnFusedInferAttentionScoreV4) {
            machine.operators.aclnnFusedInferAttentionScoreV4GetWorkspaceSize(
                placed[0].handle, keyList, valueList, nil, mask, machine.integers(ends), machine.integers(lengths), nil,
                nil, nil, nil, nil, nil, nil, blocks, nil, nil, nil, nil, nil, nil, nil, nil, nil, placed[1].handle,
                hasKeyRope ? placed[3].handle : nil, nil, nil, nil, Int64(heads), 0.05, 2_147_483_647, 2_147_483_647,
                &layout, groups, 3, 0, blockSize, 0, false, 0, 0, 0, out.handle, nil, $0, $1)
        }
    }

    func result(_ machine: Machine) throws -> [Float] { try machine.read(out) }

    var expected: [Float] {
        (0..<(ends.last ?? 0)).flatMap { row in
            let sequence = ends.firstIndex { row < $0 } ?? 0
            let seen = lengths[sequence] - (ends[sequence] - 1 - row)
            func slot(_ position: Int) -> Int { table[sequence][position / 16] * 16 + position % 16 }
            return (0..<heads).flatMap { head in
                let first = row * heads + head
                let weights = (0..<seen).map { position in
                    let plain = (0..<width).reduce(0.0) {
                        $0 + Double(query[first * width + $1]) * Double(latents[slot(position) * width + $1])
                    }
                    let rotated = (0..<64).reduce(0.0) {
                        $0 + Double(rotatedQuery[first * 64 + $1]) * Double(keys[slot(position) * 64 + $1])
                    }
                    return exp(0.05 * (plain + rotated))
                }
                let total = weights.reduce(0, +)
                return (0..<width).map { element in
                    Float(
                        weights.indices.reduce(0.0) {
                            $0 + weights[$1] / total * Double(latents[slot($1) * width + element])
                        })
                }
            }
        }
    }
}

extension SimulatorTests {
    @Suite struct LatentAttentionTests {
        @Test(arguments: [1, 4])
        func rowsAttendToLatentsAndRotatedKeys(heads: Int) throws {
            let machine = try Machine()
            // A prompt, the end of another, one row that decodes.
            let attention = try LatentAttention(
                machine, heads: heads, ends: [5, 8, 9], lengths: [5, 19, 30], table: [[2, 0], [1, 4], [3, 0]])
            try attention.run(machine)
            #expect(difference(try attention.result(machine), attention.expected) < 1 / 128)
        }
    }
}
