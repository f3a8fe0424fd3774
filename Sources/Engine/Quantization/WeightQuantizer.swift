internal import CKernels

/// Quantizes the matrices of a model one after the other, the rows of each shared out among the threads: the scale of a
/// row is its largest magnitude / 127, its integers are rounded to nearest even.
final class WeightQuantizer {
    /// (rows, columns) of the matrix quantized last.
    var weights: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<count]) }
    /// (rows) of the matrix quantized last.
    private(set) var scales: [Float] = []

    private let team: ThreadTeam
    private let memory: UnsafeMutableRawBufferPointer
    private var count = 0

    /// - Parameter largest: elements of the largest matrix that will come.
    init(team: ThreadTeam, largest: Int) {
        self.team = team
        memory = .allocate(byteCount: max(1, largest), alignment: 64)
    }

    deinit { memory.deallocate() }

    /// Fills `weights` and `scales`.
    ///
    /// - Parameters:
    ///   - columnFactors: what columns are multiplied by before; nil for nothing.
    ///   - rowDivisors: what rows are divided by before; nil for nothing.
    /// - Throws: `EngineError.invalidModel` naming a row that holds NaN or infinity.
    func quantize(
        _ tensor: Tensor, layer: Int?, columnFactors: [Float]? = nil, rowDivisors: [Float]? = nil
    ) throws(EngineError) -> QuantizationRecord {
        count = tensor.rows * tensor.columns
        let job = QuantizationJob(tensor, columnFactors, rowDivisors, target: memory)
        team.run(job)
        scales = Array(job.scales)
        if let row = scales.firstIndex(where: { !$0.isFinite }) {
            throw EngineError(
                .invalidModel,
                "\(tensor.file.map { $0.path + ": " } ?? "")tensor '\(tensor.name.printable)' holds NaN or infinity in "
                    + "row \(row) and cannot be quantized; the model is damaged")
        }
        var total = ck_error()
        for part in job.errors {
            total.products += part.products
            total.squares += part.squares
            total.decoded += part.decoded
            total.largest = max(total.largest, part.largest)
        }
        let lengths = (total.squares * total.decoded).squareRoot()
        return QuantizationRecord(
            name: tensor.name, layer: layer, cosine: lengths > 0 ? Float(total.products / lengths) : 1,
            largestError: total.largest)
    }
}

private final class QuantizationJob: TeamJob {
    nonisolated(unsafe) let scales: UnsafeMutableBufferPointer<Float>  // each row is written by one thread
    nonisolated(unsafe) let errors: UnsafeMutableBufferPointer<ck_error>  // each part is written by one thread
    private nonisolated(unsafe) let target: UnsafeMutableRawBufferPointer  // each row is written by one thread
    private let tensor: Tensor
    private let columnFactors: [Float]?
    private let rowDivisors: [Float]?
    private static let rowsPerPart = 16

    init(
        _ tensor: Tensor, _ columnFactors: [Float]?, _ rowDivisors: [Float]?, target: UnsafeMutableRawBufferPointer
    ) {
        (self.tensor, self.columnFactors, self.rowDivisors) = (tensor, columnFactors, rowDivisors)
        self.target = target
        scales = .allocate(capacity: tensor.rows)
        scales.initialize(repeating: 0)
        errors = .allocate(capacity: (tensor.rows + Self.rowsPerPart - 1) / Self.rowsPerPart)
        errors.initialize(repeating: ck_error())
    }

    deinit {
        scales.deallocate()
        errors.deallocate()
    }

    func run(as member: TeamMember) {
        member.share(errors.count) { part in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: tensor.columns) { values in
                withUnsafeTemporaryAllocation(of: Int8.self, capacity: ck_padded(tensor.columns)) { quants in
                    let first = part * Self.rowsPerPart
                    for row in first..<min(tensor.rows, first + Self.rowsPerPart) {
                        quantize(row, values, quants, &errors[part])
                    }
                }
            }
        }
    }

    private func quantize(
        _ row: Int, _ values: UnsafeMutableBufferPointer<Float>, _ quants: UnsafeMutableBufferPointer<Int8>,
        _ error: inout ck_error
    ) {
        let columns = tensor.columns
        let rowByteCount = tensor.bytes.count / tensor.rows
        ck_dequantize(
            tensor.type.storage, tensor.bytes.baseAddress.map { $0 + row * rowByteCount }, columns, values.baseAddress)
        if let columnFactors { for column in 0..<columns { values[column] *= columnFactors[column] } }
        if let rowDivisors { for column in 0..<columns { values[column] /= rowDivisors[row] } }
        var block = ck_block()
        ck_quantize_rows(values.baseAddress, 1, columns, columns, quants.baseAddress, &block)
        ck_add_error(values.baseAddress, quants.baseAddress, block.scale, columns, &error)
        scales[row] = block.scale
        UnsafeMutableRawBufferPointer(rebasing: target[row * columns..<(row + 1) * columns])
            .copyMemory(from: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: quants[..<columns])))
    }
}
