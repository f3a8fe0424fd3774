internal import CKernels

/// What steps of a model cost at least on the processor: every weight that a step needs is read once, and every product
/// takes the time of its instruction. Attention, norms and sampling are not counted: they are what is lost.
package struct CPUWork {
    /// Matrices of one format that the same rows meet.
    private struct Products {
        let format: ck_format
        /// Whether only sampled rows meet them.
        let isHead: Bool
        /// The share of routed experts that a row meets; nil for matrices that all rows meet.
        let expertShare: Double?
        var bytes = 0.0
        /// For every row.
        var operations = 0.0
    }

    /// The least that a step can take.
    package struct Bound {
        /// Bytes of weights.
        package var bytes = 0.0
        /// Operations, a product and its sum being two.
        package var operations = 0.0
        /// Of the operations alone, at the peak of their instructions.
        package var arithmeticSeconds = 0.0
        /// Of the bytes alone.
        package var memorySeconds = 0.0
        /// The longer of both.
        package var seconds: Double { max(arithmeticSeconds, memorySeconds) }
    }

    private let products: [Products]
    private let ceilings: CPUCeilings

    /// - Throws: as `CPUBackend.packedByteCount(of:dataType:)`.
    package init(of checkpoint: any Checkpoint, dataType: DataType, ceilings: CPUCeilings) throws(EngineError) {
        let model = checkpoint.configuration
        let head: TensorRole = model.tiesEmbeddings ? .tokenEmbedding : .output
        let expertShare = model.mixture.map { Double($0.expertsPerToken) / Double($0.expertCount) }
        var products: [Products] = []
        try PackingPlan(checkpoint, dataType).forEachMatrix { role, format, bytes, elements in
            let isExpert = if case .expert = role { true } else { false }
            var own = Products(format: format, isHead: role == head, expertShare: isExpert ? expertShare : nil)
            let index =
                products.firstIndex {
                    $0.format == own.format && $0.isHead == own.isHead && $0.expertShare == own.expertShare
                } ?? products.endIndex
            if index < products.endIndex { own = products.remove(at: index) }
            own.bytes += Double(bytes)
            own.operations += 2 * Double(elements) * (own.expertShare ?? 1)
            products.append(own)
        }
        self.products = products
        self.ceilings = ceilings
    }

    /// A step of so many rows, of which some are sampled.
    package func bound(rows: Int, samples: Int) -> Bound {
        var bound = Bound()
        for part in products {
            let count = Double(part.isHead ? samples : rows)
            guard count > 0 else { continue }
            var unmet = 0.0  // experts that none of the rows chose, as chance has it
            if let share = part.expertShare {
                unmet = 1
                for _ in 0..<rows { unmet *= 1 - share }
            }
            bound.bytes += part.bytes * (1 - unmet)
            bound.operations += part.operations * count
            bound.arithmeticSeconds += part.operations * count / ceilings.operationsPerSecond(part.format)
        }
        bound.memorySeconds = bound.bytes / ceilings.bytesPerSecond
        return bound
    }
}
