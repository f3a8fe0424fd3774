internal import CAscend

/// Attributes of IncreFlashAttention.
struct IncrementRequest {
    let heads: Int64
    let groups: Int64
    let scale: Double
    let layout: String
    let innerPrecise: Int64
    let blockSize: Int64
}

extension Plan {
    /// Attention of one row of each sequence, the last, over a paged cache.
    func increment(
        _ request: IncrementRequest, query: Operand, keys: [Operand], values: [Operand], lengths: [Int]?,
        table: Operand, output: Operand
    ) throws(Failure) {
        try require(request.layout == "BSH", "inputLayout \(request.layout): only BSH is simulated")
        guard keys.count == 1, values.count == 1, let lengths else {
            throw .invalid("\(name): a block table wants one cache for keys and values each, and actualSeqLengths")
        }
        let (heads, batch) = (Int(request.heads), query.dims.first ?? 0)
        try require((1...256).contains(heads), "\(heads) heads")
        try require(
            query.dims.count == 3 && query.dims[1] == 1 && query.dims[2] % heads == 0,
            "query is \(query.tensor.shape), {B, 1, \(heads) × D} is wanted")
        try require(!profile.is310P || request.groups == 0, "numKeyValueHeads is 0 on \(profile.name)")
        try require(!profile.is310P || batch <= 256, "a batch of \(batch), at most 256 on \(profile.name)")
        let groups = request.groups == 0 ? heads : Int(request.groups)
        try require(groups > 0 && heads % groups == 0, "\(heads) heads over \(groups)")
        let size = query.dims[2] / heads
        try require(size % 16 == 0 && size <= 512, "head size \(size)")
        try require((0...1).contains(request.innerPrecise), "innerPrecise \(request.innerPrecise)")
        let blockSize = Int(request.blockSize)
        try require(blockSize % 16 == 0 && (16...512).contains(blockSize), "blockSize \(blockSize)")
        try type(query, ACL_FLOAT16, ACL_BF16)
        try same(query, keys[0], values[0], output)
        try shape(output, query.dims)
        try contiguous(query, keys[0], values[0], output, table)
        for cache in [keys[0], values[0]] {
            try require(
                cache.dims.count == 3 && cache.dims[1] == blockSize && cache.dims[2] == groups * size,
                "the cache is \(cache.tensor.shape), {blocks, \(blockSize), \(groups * size)} is wanted")
        }
        try type(table, ACL_INT32)
        try require(table.dims.count == 2 && table.dims[0] == batch, "blocktable is \(table.tensor.shape)")
        try require(lengths.count == batch, "\(batch) sequences, \(lengths.count) lengths")
        let limit = table.dims[1] * blockSize
        try require(lengths.allSatisfy { $0 >= 0 && $0 <= limit }, "a length exceeds the \(limit) of the block table")

        let far = 1 << 40
        let attention = PagedAttention(
            query: query, keys: keys[0], values: values[0], mask: nil, table: table, output: output, heads: heads,
            groups: groups, size: size, blockSize: blockSize, scale: Float(request.scale),
            ends: Array(1...max(batch, 1)),
            lengths: lengths, before: far, behind: far)
        let tokens = lengths.reduce(0, +)
        let cost = Cost(
            bytes: (2 * query.tensor.count + 2 * tokens * groups * size) * query.type.bytes,
            floatOperations: 4 * Double(tokens * heads * size), vectorOperations: 8 * Double(tokens * heads))
        run(workspace: 1 << 20 + 4 * query.tensor.count, cost: cost) { contents throws(Failure) in
            try attention.run(contents)
        }
    }
}
