internal import CAscend

/// The sums over rows of logits.
extension AscendLauncher {
    /// Sums rows, so many at a time as there is room for in float32.
    ///
    /// - Throws: what an operator or the runtime returned.
    mutating func launch(_ sums: AscendLogSums) throws(AscendError) {
        let width = Int(addresses.length(of: sums.x.shape[1], size))
        let room = Int(addresses.length(of: sums.scaled.shape[0], size))
        for start in stride(from: 0, to: size.samples, by: room) {
            let rows = start..<min(size.samples, start + room)
            func some(_ tensor: AscendTensor, _ columns: Int?) -> AscendTensor {
                var view = tensor
                // Where a part begins depends on the length, which is that of some rows from here on.
                view.offset = tensor.part * size.samples + rows.lowerBound * (columns ?? 1)
                view.part = 0
                view.shape = [.fixed(rows.count)] + (columns.map { [.fixed($0)] } ?? [])
                return view
            }
            var scaled = sums.scaled
            scaled.shape[0] = .fixed(rows.count)
            let x = some(sums.x, width)
            try launchLogSumExp(x, some(sums.plain, nil))
            try launchMul(x, some(sums.factors, 1), scaled)
            try launchLogSumExp(scaled, some(sums.tempered, nil))
        }
    }

    private mutating func launchLogSumExp(_ x: AscendTensor, _ y: AscendTensor) throws(AscendError) {
        let last = try AscendIntegers([-1])
        objects.add(integers: last)
        let (x, y) = (try make(x), try make(y))
        let table = libraries.operators
        try operators.run("aclnnLogSumExp", table.aclnnLogSumExpGetWorkspaceSize, table.aclnnLogSumExp) {
            $0(x, last.object, false, y, $1, $2)
        }
    }
}
