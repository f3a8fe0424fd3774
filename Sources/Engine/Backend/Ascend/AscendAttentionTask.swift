internal import CAscend

/// The library's object for a list of integers.
final class AscendIntegers {
    let object: OpaquePointer

    /// - Throws: when the library makes no array.
    init(_ values: [Int64]) throws(AscendError) {
        guard let object = AscendLibraries.shared.objects.aclCreateIntArray?(values, UInt64(values.count)) else {
            throw .objectNotMade("aclCreateIntArray")
        }
        self.object = object
    }

    deinit { _ = AscendLibraries.shared.objects.aclDestroyIntArray?(object) }
}

/// How long the sequences of a step are, as the attention operator takes it.
struct AscendLengths {
    /// Ends of each sequence's rows, counted from the first row of the step.
    let rowEnds: AscendIntegers
    /// Tokens in the cache of each sequence.
    let contextLengths: AscendIntegers

    /// Those of a plan, padded by sequences of one row and one token.
    ///
    /// - Parameter rowEnds: what is known already, from a step of equal rows.
    /// - Throws: when the library makes no array.
    init(_ plan: borrowing StepPlan, paddedTo sequences: Int, rowEnds: AscendIntegers?) throws(AscendError) {
        let padding = max(0, sequences - plan.sequenceCount)
        if let rowEnds {
            self.rowEnds = rowEnds
        } else {
            let ends = plan.rowStart.dropFirst().map { Int64($0) }
            self.rowEnds = try AscendIntegers(ends + (0..<padding).map { Int64(plan.rowCount + $0 + 1) })
        }
        contextLengths = try AscendIntegers(
            plan.contextLengths.map { Int64($0) } + [Int64](repeating: 1, count: padding))
    }
}

/// The attention of one layer in steps of one size: its tensors, made once.
final class AscendAttentionTask {
    private let call: AscendAttention
    private let blockSize: Int64
    private var tensors: [OpaquePointer] = []
    private var lists: [OpaquePointer] = []

    /// - Throws: when the library makes no object.
    init(_ call: AscendAttention, _ addresses: AscendAddresses, _ size: AscendStepSize) throws(AscendError) {
        self.call = call
        blockSize = Int64(addresses.cache.blockSize)
        let latents = call.latents.map { [$0.query, $0.keyCache] } ?? []
        for tensor in [call.query, call.mask, call.blockTables, call.out] + latents {
            tensors.append(try addresses.object(tensor, size))
        }
        for tensor in [call.keyCache, call.valueCache] { lists.append(try addresses.list(tensor, size)) }
    }

    deinit {
        let objects = AscendLibraries.shared.objects
        for tensor in tensors { _ = objects.aclDestroyTensor?(tensor) }
        for list in lists { _ = objects.aclDestroyTensorList?(list) }
    }

    /// Enqueues the operator for sequences of these lengths.
    ///
    /// - Throws: what the operator or the runtime returned.
    func launch(_ lengths: AscendLengths, _ operators: AscendOperators) throws(AscendError) {
        guard call.latents == nil else { return try launchOverLatents(lengths, operators) }
        let table = AscendLibraries.shared.operators
        let (query, mask, blocks, out) = (tensors[0], tensors[1], tensors[2], tensors[3])
        let (keys, values) = (lists[0], lists[1])
        let everything = Int64(Int32.max)
        try operators.run(
            "aclnnFusedInferAttentionScoreV3", table.aclnnFusedInferAttentionScoreV3GetWorkspaceSize,
            table.aclnnFusedInferAttentionScoreV3
        ) {
            $0(
                query, keys, values, nil, mask, lengths.rowEnds.object, lengths.contextLengths.object, nil, nil, nil,
                nil, nil, nil, nil, blocks, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
                Int64(call.headCount), call.scale, everything, everything, Self.layout, Int64(call.keyValueHeadCount),
                Self.rightDownCausal, 0, blockSize, 0, false, 0, 0, out, nil, $1, $2)
        }
    }

    /// The same with queries and keys of two parts, latents being keys and values.
    private func launchOverLatents(_ lengths: AscendLengths, _ operators: AscendOperators) throws(AscendError) {
        let table = AscendLibraries.shared.operators
        let (query, mask, blocks, out) = (tensors[0], tensors[1], tensors[2], tensors[3])
        let (rotatedQuery, rotatedKeys) = (tensors[4], tensors[5])
        let (keys, values) = (lists[0], lists[1])
        let everything = Int64(Int32.max)
        try operators.run(
            "aclnnFusedInferAttentionScoreV4", table.aclnnFusedInferAttentionScoreV4GetWorkspaceSize,
            table.aclnnFusedInferAttentionScoreV4
        ) {
            $0(
                query, keys, values, nil, mask, lengths.rowEnds.object, lengths.contextLengths.object, nil, nil, nil,
                nil, nil, nil, nil, blocks, nil, nil, nil, nil, nil, nil, nil, nil, nil, rotatedQuery, rotatedKeys, nil,
                nil, nil, Int64(call.headCount), call.scale, everything, everything, Self.layout,
                Int64(call.keyValueHeadCount), Self.rightDownCausal, 0, blockSize, 0, false, 0, 0, 0, out, nil, $1, $2)
        }
    }

    /// The mask's diagonal ends at a sequence's last query and last key.
    private static let rightDownCausal: Int64 = 3

    /// Rows of all sequences one after the other. Attributes must stay where they are behind stage 1.
    private static nonisolated(unsafe) let layout: UnsafeMutablePointer<CChar> = {  // never written after this
        let text = UnsafeMutablePointer<CChar>.allocate(capacity: 4)
        for (index, byte) in "TND".utf8.enumerated() { text[index] = CChar(byte) }
        text[3] = 0
        return text
    }()
}
