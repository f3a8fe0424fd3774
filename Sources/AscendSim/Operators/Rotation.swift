internal import CAscend

/// y = x cos + rotate(x) sin over the last dimension, halves turned against each other.
func rotate(_ x: View, _ cosines: View, _ sines: View, _ result: View) {
    let half = x.columns / 2
    for row in 0..<x.rows {
        let (values, c, s) = (x.row(row), cosines.row(row), sines.row(row))
        var turned = values
        for index in 0..<half {
            turned[index] = values[index] * c[index] - values[half + index] * s[index]
            turned[half + index] = values[half + index] * c[half + index] + values[index] * s[half + index]
        }
        result.write(row: row, turned)
    }
}

extension Plan {
    /// Query and key in place.
    func rotary(
        _ query: OpaquePointer?, _ key: OpaquePointer?, _ cos: OpaquePointer?, _ sin: OpaquePointer?, _ layout: Int64
    ) throws(Failure) {
        let query = try output(query, "query")
        let key = try output(key, "key")
        let cosines = try input(cos, "cos")
        let sines = try input(sin, "sin")
        try type(query, ACL_FLOAT, ACL_FLOAT16, ACL_BF16)
        try same(query, key, cosines, sines)
        try require(layout == 1 || layout == 4, "layout \(layout) is neither 1 (BSND) nor 4 (TND)")
        let rank = layout == 1 ? 4 : 3
        try require(query.dims.count == rank && key.dims.count == rank, "query and key have \(rank) dimensions")
        let size = query.columns
        try require(size == 64 || size == 128, "head size \(size) is neither 64 nor 128")
        try require(
            Array(query.dims.dropLast(2)) == Array(key.dims.dropLast(2)) && key.columns == size,
            "query is \(query.tensor.shape), key \(key.tensor.shape)")
        let width = query.type == ACL_BF16 ? 4 : query.type.bytes
        let heads = query.dims[rank - 2] + key.dims[rank - 2]
        try require(heads * size * width * 5 < (profile.is310P ? 256 : 192) << 10, "\(heads) heads do not fit")
        try shape(cosines, query.dims.dropLast(2) + [1, size])
        try shape(sines, cosines.dims)
        run(cost: vector(query, query, key, key, operations: 3)) { contents throws(Failure) in
            for part in [query, key] {
                rotate(
                    contents[part], contents[cosines].broadcast(to: part.dims),
                    contents[sines].broadcast(to: part.dims), contents[part])
            }
        }
    }
}
