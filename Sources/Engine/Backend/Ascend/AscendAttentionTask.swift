internal import CAscend

/// How long the sequences of a step are, as the attention operator takes it.
final class AscendLengths {
    /// Ends of each sequence's rows, counted from the first row of the step.
    let rowEnds: OpaquePointer
    /// Tokens in the cache of each sequence.
    let contextLengths: OpaquePointer

    /// - Throws: when the library makes no array.
    init(rowEnds: [Int64], contextLengths: [Int64]) throws(AscendError) {
        let objects = AscendLibraries.shared.objects
        guard let ends = objects.aclCreateIntArray?(rowEnds, UInt64(rowEnds.count)) else {
            throw .objectNotMade("aclCreateIntArray")
        }
        guard let lengths = objects.aclCreateIntArray?(contextLengths, UInt64(contextLengths.count)) else {
            _ = objects.aclDestroyIntArray?(ends)
            throw .objectNotMade("aclCreateIntArray")
        }
        (self.rowEnds, self.contextLengths) = (ends, lengths)
    }

    /// Those of a plan, padded by sequences of one row and one token.
    convenience init(_ plan: borrowing StepPlan, paddedTo sequences: Int) throws(AscendError) {
        var ends = plan.rowStart.dropFirst().map { Int64($0) }
        var lengths = plan.contextLengths.map { Int64($0) }
        for number in 0..<max(0, sequences - ends.count) {
            ends.append(Int64(plan.rowCount + number + 1))
            lengths.append(1)
        }
        try self.init(rowEnds: ends, contextLengths: lengths)
    }

    deinit {
        let objects = AscendLibraries.shared.objects
        _ = objects.aclDestroyIntArray?(rowEnds)
        _ = objects.aclDestroyIntArray?(contextLengths)
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
        for tensor in [call.query, call.mask, call.blockTables, call.out] {
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
        let table = AscendLibraries.shared.operators
        let (query, mask, blocks, out) = (tensors[0], tensors[1], tensors[2], tensors[3])
        let (keys, values) = (lists[0], lists[1])
        let everything = Int64(Int32.max)
        try operators.run(
            "aclnnFusedInferAttentionScoreV3", table.aclnnFusedInferAttentionScoreV3GetWorkspaceSize,
            table.aclnnFusedInferAttentionScoreV3
        ) {
            $0(
                query, keys, values, nil, mask, lengths.rowEnds, lengths.contextLengths, nil, nil, nil, nil, nil, nil,
                nil, blocks, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, Int64(call.headCount),
                call.scale, everything, everything, Self.layout, Int64(call.keyValueHeadCount), Self.rightDownCausal, 0,
                blockSize, 0, false, 0, 0, out, nil, $1, $2)
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
