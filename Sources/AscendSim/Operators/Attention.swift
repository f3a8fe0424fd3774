internal import CAscend
internal import Glibc

/// Attention of rows that stand one after the other over a paged cache ("TND" with a block table).
struct PagedAttention {
    let query: Operand
    let keys: Operand
    let values: Operand
    let mask: Operand?
    let table: Operand
    let output: Operand
    let heads: Int
    let groups: Int
    let size: Int
    /// What further elements of queries and keys are, where keys are latents.
    var ropes: (query: Operand, keys: Operand)?
    let blockSize: Int
    let scale: Float
    /// Ends of the rows of each sequence, and tokens in the cache of each.
    let ends: [Int]
    let lengths: [Int]
    /// Positions before and behind a row's own that it sees.
    let before: Int
    let behind: Int

    func run(_ contents: Contents) throws(Failure) {
        if let mask { try check(contents[mask], contents) }
        let blocks = contents[table].integers()
        let stride = table.dims[1]
        var start = 0
        for (sequence, end) in ends.enumerated() {
            defer { start = end }
            let length = lengths[sequence]
            let used = Array(
                blocks[sequence * stride..<(sequence + 1) * stride].prefix((length + blockSize - 1) / blockSize))
            try contents.require(
                used.allSatisfy { (0..<keys.dims[0]).contains($0) },
                "sequence \(sequence) has blocks \(used), the cache has \(keys.dims[0])")
            for group in 0..<groups {
                attend(contents, rows: start..<end, length: length, blocks: used, group: group)
            }
        }
    }

    private func attend(_ contents: Contents, rows: Range<Int>, length: Int, blocks: [Int], group: Int) {
        let keySize = size + (ropes?.keys.columns ?? 0)
        var keyRows = gather(contents[keys], blocks, length, group, apart: keySize)
        if let ropes { gather(contents[ropes.keys], blocks, length, into: &keyRows, from: size, apart: keySize) }
        let valueRows = gather(contents[values], blocks, length, group, apart: size)
        let (query, output) = (contents[query].rows(of: size), contents[output].rows(of: size))
        let queryRope = ropes.map { contents[$0.query].rows(of: $0.query.columns) }
        var scores = [Float](repeating: 0, count: max(length, 1))
        for (index, row) in rows.enumerated() {
            let own = length - rows.count + index
            let first = max(0, before >= length ? 0 : own - before)
            let last = min(length, behind >= length ? length : own + behind + 1)
            for head in group * (heads / groups)..<(group + 1) * (heads / groups) {
                let q = query.row(row * heads + head) + (queryRope?.row(row * heads + head) ?? [])
                var sums = [Float](repeating: 0, count: size)
                if first < last {
                    var largest = -Float.infinity
                    for position in first..<last {
                        let score = scale * dotArrays(q, keyRows, position * keySize, keySize)
                        scores[position] = score
                        largest = max(largest, score)
                    }
                    var total: Float = 0
                    for position in first..<last {
                        scores[position] = expf(scores[position] - largest)
                        total += scores[position]
                    }
                    accumulate(&sums, scores, valueRows, first..<last)
                    for i in 0..<size { sums[i] /= total }
                }
                output.write(row: row * heads + head, sums)
            }
        }
    }

    private func accumulate(_ sums: inout [Float], _ weights: [Float], _ rows: [Float], _ range: Range<Int>) {
        sums.withUnsafeMutableBufferPointer { sums in
            rows.withUnsafeBufferPointer { rows in
                for position in range {
                    let (weight, start) = (weights[position], position * size)
                    for i in 0..<size { sums[i] += weight * rows[start + i] }
                }
            }
        }
    }

    /// One head of a sequence, position after position, with room behind each.
    private func gather(_ cache: View, _ blocks: [Int], _ length: Int, _ group: Int, apart: Int) -> [Float] {
        var rows = [Float](repeating: 0, count: max(length * apart, 1))
        gather(cache, blocks, length, column: group * size, count: size, into: &rows, from: 0, apart: apart)
        return rows
    }

    /// The whole of a cache's rows, behind what `rows` holds of each position.
    private func gather(
        _ cache: View, _ blocks: [Int], _ length: Int, into rows: inout [Float], from start: Int, apart: Int
    ) {
        gather(cache, blocks, length, column: 0, count: cache.dims[2], into: &rows, from: start, apart: apart)
    }

    private func gather(
        _ cache: View, _ blocks: [Int], _ length: Int, column: Int, count: Int, into rows: inout [Float],
        from start: Int, apart: Int
    ) {
        let (tensor, width) = (cache.tensor, cache.dims[2])
        rows.withUnsafeMutableBufferPointer { buffer in
            guard let target = buffer.baseAddress else { return }
            for position in 0..<length {
                let row = blocks[position / blockSize] * blockSize + position % blockSize
                cache.decode(
                    at: tensor.offset + row * width + column, stride: 1, count: count,
                    into: target + position * apart + start)
            }
        }
    }

    /// The device takes the mask on trust; here its corner and its last row are looked at.
    private func check(_ mask: View, _ contents: Contents) throws(Failure) {
        let side = 2048
        for row in [0, 1, 2, 17, 63, side - 1] {
            for column in row == side - 1 ? 0..<side : 0..<64 {
                let isMasked = mask.integer(at: mask.tensor.offset + row * side + column) != 0
                try contents.require(isMasked == (column > row), "attenMask is no strict upper triangle of ones")
            }
        }
    }
}

extension View {
    /// A tensor without gaps, so many elements after the other.
    fileprivate func rows(of size: Int) -> View {
        var rows = tensor
        (rows.dims, rows.strides) = ([count / size, size], [size, 1])
        return View(tensor: rows, base: base)
    }
}

private func dotArrays(_ a: [Float], _ b: [Float], _ start: Int, _ count: Int) -> Float {
    a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            guard let a = a.baseAddress, let b = b.baseAddress else { return 0 }
            return dot(a, b + start, count)
        }
    }
}

/// Attributes of FusedInferAttentionScore.
struct AttentionRequest {
    let heads: Int64
    let groups: Int64
    let scale: Double
    let before: Int64
    let behind: Int64
    let layout: String
    let sparseMode: Int64
    let innerPrecise: Int64
    let blockSize: Int64
    /// Whether every mode that is not simulated is off.
    let isPlain: Bool
}

extension Plan {
    func attention(
        _ request: AttentionRequest, query: Operand, keys: [Operand], values: [Operand], mask: Operand?, ends: [Int]?,
        lengths: [Int]?, table: Operand, output: Operand, ropes: (query: Operand?, keys: Operand?) = (nil, nil)
    ) throws(Failure) {
        try require(request.isPlain, "quantisation of the cache and softmaxLseFlag are not simulated")
        try require(request.layout == "TND", "inputLayout \(request.layout): only TND is simulated")
        guard keys.count == 1, values.count == 1, let ends, let lengths else {
            throw .invalid("\(name): TND wants one cache for keys and values each, and both lists of lengths")
        }
        try require(query.dims.count == 3 && query.dims[1] == Int(request.heads), "query is \(query.tensor.shape)")
        try type(query, ACL_FLOAT16, ACL_BF16)
        try same(query, keys[0], values[0], output)
        try shape(output, query.dims)
        try contiguous(query, keys[0], values[0], output, table)
        try require((ropes.query == nil) == (ropes.keys == nil), "queryRope and keyRope go together")
        var parts: (query: Operand, keys: Operand)?
        if let queryRope = ropes.query, let keyRope = ropes.keys {
            try latents(request, query, keys[0], values[0], queryRope, keyRope)
            parts = (queryRope, keyRope)
        }
        let geometry = try self.geometry(request, query, keys[0], values[0], isLatent: parts != nil)
        try lists(ends, lengths, table, geometry, rows: query.dims[0])
        try checkMask(request, mask)
        let far = 1 << 40
        let isBand = request.sparseMode == 4
        let attention = PagedAttention(
            query: query, keys: keys[0], values: values[0], mask: mask, table: table, output: output,
            heads: geometry.heads, groups: geometry.groups, size: geometry.size, ropes: parts,
            blockSize: geometry.blockSize, scale: Float(request.scale), ends: ends, lengths: lengths,
            before: isBand ? Int(request.before) : far,
            behind: isBand ? Int(request.behind) : request.sparseMode == 3 ? 0 : far)
        let width = query.type.bytes
        let tokens = lengths.reduce(0, +)
        var pairs = 0
        for (index, end) in ends.enumerated() { pairs += (end - (index == 0 ? 0 : ends[index - 1])) * lengths[index] }
        // A latent is key and value, and read once.
        let rope = parts?.keys.columns ?? 0
        let cached = parts == nil ? 2 * geometry.groups * geometry.size : geometry.size + rope
        let queries = 2 * query.tensor.count + (parts?.query.tensor.count ?? 0)
        let cost = Cost(
            bytes: (queries + tokens * cached) * width,
            floatOperations: 2 * Double(pairs * geometry.heads * (2 * geometry.size + rope)),
            vectorOperations: 8 * Double(pairs * geometry.heads))
        run(workspace: 1 << 20 + 4 * query.tensor.count, cost: cost) { contents throws(Failure) in
            try attention.run(contents)
        }
    }

    private struct Geometry {
        let heads: Int
        let groups: Int
        let size: Int
        let blockSize: Int
    }

    private func geometry(
        _ request: AttentionRequest, _ query: Operand, _ keys: Operand, _ values: Operand, isLatent: Bool
    ) throws(Failure) -> Geometry {
        let heads = Int(request.heads)
        let groups = request.groups == 0 ? heads : Int(request.groups)
        let size = query.columns
        try require(heads <= 256 && groups > 0 && heads % groups == 0, "\(heads) heads over \(groups)")
        let isCommon = size == 64 || size == 128 || isLatent
        try require(
            isCommon || (groups < heads && request.innerPrecise == 0 && size <= 256 && size % 16 == 0),
            "head size \(size) is not 64 or 128, nor one of grouped heads up to 256")
        try require((0...1).contains(request.innerPrecise), "innerPrecise \(request.innerPrecise)")
        let blockSize = Int(request.blockSize)
        try require(blockSize % 16 == 0 && (16...128).contains(blockSize), "blockSize \(blockSize)")
        for cache in [keys, values] {
            try require(
                cache.dims.count == 3 && cache.dims[1] == blockSize && cache.dims[2] == groups * size,
                "the cache is \(cache.tensor.shape), {blocks, \(blockSize), \(groups * size)} is wanted")
            try require(cache.dims[2] <= 65535, "heads × size of the cache exceed 65535")
        }
        return Geometry(heads: heads, groups: groups, size: size, blockSize: blockSize)
    }

    /// Keys of latents, which are values too, and of rotated elements beside them.
    private func latents(
        _ request: AttentionRequest, _ query: Operand, _ keys: Operand, _ values: Operand, _ queryRope: Operand,
        _ keyRope: Operand
    ) throws(Failure) {
        let heads = Int(request.heads)
        try require((1...128).contains(heads) && heads & (heads - 1) == 0, "\(heads) heads over latents")
        try require(request.groups == 1, "numKeyValueHeads \(request.groups), 1 is wanted over latents")
        try require(query.columns == 512, "query is \(query.tensor.shape), latents have 512 elements")
        try require(request.sparseMode == 0 || request.sparseMode == 3, "sparseMode \(request.sparseMode) over latents")
        try require(request.blockSize == 16 || request.blockSize == 128, "blockSize \(request.blockSize) over latents")
        try require(
            keys.tensor.address == values.tensor.address && keys.dims == values.dims, "value is not the latents of key")
        try same(query, queryRope, keyRope)
        try contiguous(queryRope, keyRope)
        try shape(queryRope, query.dims.dropLast() + [64])
        try shape(keyRope, keys.dims.dropLast() + [64])
    }

    private func lists(
        _ ends: [Int], _ lengths: [Int], _ table: Operand, _ geometry: Geometry, rows: Int
    ) throws(Failure) {
        try type(table, ACL_INT32)
        try require(table.dims.count == 2 && table.dims[0] == ends.count, "blockTable is \(table.tensor.shape)")
        try require(lengths.count == ends.count, "\(ends.count) ends of rows, \(lengths.count) lengths")
        try require(ends.last == rows, "actualSeqLengths end at \(ends.last ?? 0), query has \(rows) rows")
        try require(zip(ends, ends.dropFirst()).allSatisfy { $0 <= $1 }, "actualSeqLengths must not fall")
        let limit = table.dims[1] * geometry.blockSize
        try require(lengths.allSatisfy { $0 >= 0 && $0 <= limit }, "a length exceeds the \(limit) of the block table")
    }

    private func checkMask(_ request: AttentionRequest, _ mask: Operand?) throws(Failure) {
        switch request.sparseMode {
        case 0: try require(mask == nil, "sparseMode 0 with a mask is not simulated")
        case 3, 4:
            guard let mask else { throw .invalid("\(name): sparseMode \(request.sparseMode) wants attenMask") }
            try type(mask, ACL_INT8, ACL_UINT8, ACL_BOOL)
            try require(
                Array(mask.dims.suffix(2)) == [2048, 2048] && mask.tensor.count == 2048 * 2048,
                "attenMask is \(mask.tensor.shape), {2048, 2048} is wanted")
        default: throw .invalid("\(name): sparseMode \(request.sparseMode) is not for TND, or not simulated")
        }
    }
}
