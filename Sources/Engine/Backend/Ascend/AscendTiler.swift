internal import CAscend

/// Turns matrices that were copied to the device row by row into tiles, where they are.
struct AscendTiler {
    private let operators: AscendOperators

    /// Its workspace is the caller's to give back when all is done.
    init(_ device: AscendDevice, workspace: AscendArena) {
        operators = AscendOperators(stream: device.stream, workspace: workspace)
    }

    /// Puts the conversion of one matrix on the stream. Its rows lie at `place`, where there is room for the tiles.
    ///
    /// - Throws: what the operator or the runtime returned.
    func tile(_ shape: AscendTileShape, at place: UnsafeMutableRawPointer) throws(AscendError) {
        let libraries = AscendLibraries.shared
        var storage = Int64(shape.elementCount)
        let matrix = libraries.objects.aclCreateTensor?(
            [Int64(shape.rows), Int64(shape.columns)], 2, aclDataType(shape.element.rawValue), nil, 0, ACL_FORMAT_ND,
            &storage, 1, place)
        guard let matrix else { throw .objectNotMade("aclCreateTensor") }
        defer { _ = libraries.objects.aclDestroyTensor?(matrix) }
        let table = libraries.operators
        try operators.run(
            "aclnnTransMatmulWeight", table.aclnnTransMatmulWeightGetWorkspaceSize, table.aclnnTransMatmulWeight
        ) { $0(matrix, $1, $2) }
    }
}
