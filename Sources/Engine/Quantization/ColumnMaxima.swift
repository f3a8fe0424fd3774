internal import CKernels

/// Finds the largest magnitude in each column of float matrices, the rows of each shared out among the threads.
struct ColumnMaxima {
    private let team: ThreadTeam

    init(team: ThreadTeam) { self.team = team }

    /// (columns) the largest magnitudes over all matrices, of their rows as divided by their divisors.
    ///
    /// - Parameter matrices: with equally many columns; divisors are one per row, or nil for none.
    func callAsFunction(_ matrices: [(tensor: Tensor, divisors: [Float]?)]) -> [Float] {
        var largest: [Float] = []
        for (tensor, divisors) in matrices {
            let job = ColumnMaximaJob(tensor, divisors, threads: team.count)
            team.run(job)
            tensor.discard()
            let own = job.maxima()
            largest = largest.isEmpty ? own : zip(largest, own).map { max($0, $1) }
        }
        return largest
    }
}

private final class ColumnMaximaJob: TeamJob {
    private nonisolated(unsafe) let parts: UnsafeMutableBufferPointer<Float>  // each part is written by one thread
    private let partCount: Int
    private let tensor: Tensor
    private let divisors: [Float]?

    init(_ tensor: Tensor, _ divisors: [Float]?, threads: Int) {
        (self.tensor, self.divisors) = (tensor, divisors)
        partCount = min(tensor.rows, 4 * threads)
        parts = .allocate(capacity: partCount * tensor.columns)
        parts.initialize(repeating: 0)
    }

    deinit { parts.deallocate() }

    func maxima() -> [Float] {
        let columns = tensor.columns
        return (0..<columns).map { column in
            (0..<partCount).reduce(0) { max($0, parts[$1 * columns + column]) }
        }
    }

    func run(as member: TeamMember) {
        let columns = tensor.columns
        let rowByteCount = tensor.bytes.count / tensor.rows
        member.share(partCount) { part in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { values in
                for row in part * tensor.rows / partCount..<(part + 1) * tensor.rows / partCount {
                    ck_dequantize(
                        tensor.type.storage, tensor.bytes.baseAddress.map { $0 + row * rowByteCount }, columns,
                        values.baseAddress)
                    let scale = divisors.map { 1 / $0[row] } ?? 1
                    for column in 0..<columns {
                        let index = part * columns + column
                        parts[index] = max(parts[index], abs(values[column]) * scale)
                    }
                }
            }
        }
    }
}
