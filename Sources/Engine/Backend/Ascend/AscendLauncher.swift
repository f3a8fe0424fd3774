internal import CAscend

/// Puts the calls of a program on a stream: tensors are made, the operator checks and plans (stage 1), gets its workspace
/// and is enqueued (stage 2).
struct AscendLauncher {
    let addresses: AscendAddresses
    let size: AscendStepSize
    let lengths: AscendLengths
    let epsilon: Double
    private(set) var operators: AscendOperators
    /// Nil where there is one rank.
    private let communicator: AscendCommunicator?
    /// Of chips on which each row attends by itself; nil for others.
    private let rows: AscendStepRows?
    let libraries = AscendLibraries.shared
    /// What the call under way is planned with.
    var objects = AscendObjects()

    init(
        _ addresses: AscendAddresses, _ size: AscendStepSize, _ lengths: AscendLengths, epsilon: Double,
        _ operators: AscendOperators, _ communicator: AscendCommunicator?, _ rows: AscendStepRows?
    ) {
        (self.addresses, self.size, self.lengths, self.epsilon) = (addresses, size, lengths, epsilon)
        (self.operators, self.communicator, self.rows) = (operators, communicator, rows)
    }

    /// Enqueues one call.
    ///
    /// - Throws: what the operator or the runtime returned.
    mutating func launch(_ call: AscendCall) throws(AscendError) {
        // Objects are read by stage 1 and not needed behind stage 2.
        defer { objects.destroy() }
        try enqueue(call)
    }

    /// Enqueues one call and keeps its plan, to be launched again in steps of the same size.
    ///
    /// - Returns: nil where the library does not let the plan be kept.
    /// - Throws: what the operator or the runtime returned.
    mutating func launchToKeep(_ call: AscendCall) throws(AscendError) -> AscendKeptCall? {
        let keeper = AscendPlanKeeper()
        operators.keeper = keeper
        defer {
            operators.keeper = nil
            keeper.release()
            objects.destroy()
        }
        try enqueue(call)
        guard let plans = keeper.take() else { return nil }
        defer { objects = AscendObjects() }
        return AscendKeptCall(plans, objects)
    }

    private mutating func enqueue(_ call: AscendCall) throws(AscendError) {
        switch call {
        case .indexSelect(let source, let indices, let out): try launchIndexSelect(source, indices, out)
        case .rmsNorm(let x, let gamma, let y, let deviation, let epsilon):
            try launchNorm(x, gamma, y, deviation, epsilon.map { Double($0) } ?? self.epsilon)
        case .addRmsNorm(let x1, let x2, let gamma, let y, let deviation, let sum):
            try launchAddNorm(x1, x2, gamma, y, deviation, sum)
        case .addRmsNormDynamicQuant(let x1, let x2, let gamma, let y, let scale, let sum):
            try launchAddNormDynamicQuant(x1, x2, gamma, y, scale, sum)
        case .addRmsNormQuant(let x1, let x2, let gamma, let scales, let offsets, let y, let unused, let sum):
            try launchAddNormQuant(x1, x2, gamma, scales, offsets, y, unused, sum)
        case .matmul(let x, let weight, let y): try launchMatmul(x, weight, y)
        case .batchMatmul(let x, let weight, let y): try launchBatchMatmul(x, weight, y)
        case .inplaceAdd(let x, let other): try launchAdd(x, other)
        case .inplaceCopy(let target, let source): try launchCopy(target, source)
        case .rotaryPositionEmbedding(let x, let cosines, let sines, let y):
            try launchRotary(x, cosines, sines, y)
        case .storeKeyValue(let key, let value, let keys, let values, let slots):
            try launchStore(key, value, keys, values, slots)
        case .attention(let attention):
            if let rows { return try launch(attention, rows) }
            try AscendAttentionTask(attention, addresses, size).launch(lengths, operators)
        case .argMax(let x, let y): try launchArgMax(x, y)
        case .topK(let x, let values, let places): try launchTopK(x, values, places)
        case .logSums(let sums): try launch(sums)
        case .swiGlu(let x, let y): try launchSwiGlu(x, y)
        case .dynamicQuant(let x, let y, let scale): try launchDynamicQuant(x, y, scale)
        case .ascendQuant(let x, let factor, let offset, let y): try launchQuant(x, factor, offset, y)
        case .quantMatmul(let x, let weight, let scale, let tokenScale, let bias, let y):
            try launchQuantMatmul(x, weight, scale, tokenScale, bias, y)
        case .expert(let call): try launch(call)
        case .collective(let collective): try launch(collective)
        }
    }

    private func launch(_ collective: AscendCollective) throws(AscendError) {
        guard let communicator else { preconditionFailure("a rank alone has nobody to tell") }
        func place(_ tensor: AscendTensor) -> UnsafeMutableRawPointer { addresses.address(of: tensor.place, size) }
        func count(_ tensor: AscendTensor) -> Int { addresses.count(of: tensor, size) }
        let stream = operators.stream
        switch collective {
        case .sum(let x): try communicator.sum(place(x), count: count(x), x.element, on: stream)
        case .sumRows(let x, let y):
            try communicator.sumRows(place(x), into: place(y), count: count(y), y.element, on: stream)
        case .gather(let x, let y):
            try communicator.gather(place(x), into: place(y), count: count(x), x.element, on: stream)
        }
    }

    // MARK: - Objects

    mutating func make(_ tensor: AscendTensor) throws(AscendError) -> OpaquePointer {
        let object = try addresses.object(tensor, size)
        objects.add(tensor: object)
        return object
    }

    mutating func make(_ tensor: AscendTensor?) throws(AscendError) -> OpaquePointer? {
        guard let tensor else { return nil }
        let object: OpaquePointer = try make(tensor)
        return object
    }

    /// A list of one tensor, which destroys it.
    mutating func makeList(_ tensor: AscendTensor) throws(AscendError) -> OpaquePointer {
        let list = try addresses.list(tensor, size)
        objects.add(list: list)
        return list
    }

    private mutating func makeScalar(_ value: Float) throws(AscendError) -> OpaquePointer {
        var value = value
        guard let scalar = libraries.objects.aclCreateScalar?(&value, ACL_FLOAT) else {
            throw .objectNotMade("aclCreateScalar")
        }
        objects.add(scalar: scalar)
        return scalar
    }

    // MARK: - Operators

    private mutating func launchIndexSelect(
        _ source: AscendTensor, _ indices: AscendTensor, _ out: AscendTensor
    ) throws(AscendError) {
        let (source, indices, out) = (try make(source), try make(indices), try make(out))
        let table = libraries.operators
        try operators.run("aclnnIndexSelect", table.aclnnIndexSelectGetWorkspaceSize, table.aclnnIndexSelect) {
            $0(source, 0, indices, out, $1, $2)
        }
    }

    private mutating func launchNorm(
        _ x: AscendTensor, _ gamma: AscendTensor, _ y: AscendTensor, _ deviation: AscendTensor, _ epsilon: Double
    ) throws(AscendError) {
        let (x, gamma, y, deviation) = (try make(x), try make(gamma), try make(y), try make(deviation))
        let table = libraries.operators
        try operators.run("aclnnRmsNorm", table.aclnnRmsNormGetWorkspaceSize, table.aclnnRmsNorm) {
            $0(x, gamma, epsilon, y, deviation, $1, $2)
        }
    }

    private mutating func launchAddNorm(
        _ x1: AscendTensor, _ x2: AscendTensor, _ gamma: AscendTensor, _ y: AscendTensor, _ deviation: AscendTensor,
        _ sum: AscendTensor
    ) throws(AscendError) {
        let (x1, x2, gamma) = (try make(x1), try make(x2), try make(gamma))
        let (y, deviation, sum) = (try make(y), try make(deviation), try make(sum))
        let table = libraries.operators
        try operators.run("aclnnAddRmsNorm", table.aclnnAddRmsNormGetWorkspaceSize, table.aclnnAddRmsNorm) {
            $0(x1, x2, gamma, epsilon, y, deviation, sum, $1, $2)
        }
    }

    private mutating func launchAddNormQuant(
        _ x1: AscendTensor, _ x2: AscendTensor, _ gamma: AscendTensor, _ scales: AscendTensor,
        _ offsets: AscendTensor, _ y: AscendTensor, _ unused: AscendTensor, _ sum: AscendTensor
    ) throws(AscendError) {
        let (x1, x2, gamma) = (try make(x1), try make(x2), try make(gamma))
        let (scales, offsets) = (try make(scales), try make(offsets))
        let (y, unused, sum) = (try make(y), try make(unused), try make(sum))
        let table = libraries.operators
        try operators.run(
            "aclnnAddRmsNormQuant", table.aclnnAddRmsNormQuantGetWorkspaceSize, table.aclnnAddRmsNormQuant
        ) { $0(x1, x2, gamma, scales, nil, offsets, nil, -1, epsilon, true, y, unused, sum, $1, $2) }
    }

    private mutating func launchAddNormDynamicQuant(
        _ x1: AscendTensor, _ x2: AscendTensor, _ gamma: AscendTensor, _ y: AscendTensor, _ scale: AscendTensor,
        _ sum: AscendTensor
    ) throws(AscendError) {
        // The second pair of outputs is not written, and must be there.
        var (unusedQuants, unusedScale) = (y, scale)
        (unusedQuants.shape, unusedScale.shape) = ([1], [1])
        let (x1, x2, gamma) = (try make(x1), try make(x2), try make(gamma))
        let (y, scale, sum) = (try make(y), try make(scale), try make(sum))
        let (secondY, secondScale) = (try make(unusedQuants), try make(unusedScale))
        let table = libraries.operators
        try operators.run(
            "aclnnAddRmsNormDynamicQuant", table.aclnnAddRmsNormDynamicQuantGetWorkspaceSize,
            table.aclnnAddRmsNormDynamicQuant
        ) { $0(x1, x2, gamma, nil, nil, epsilon, y, secondY, sum, scale, secondScale, $1, $2) }
    }

    private mutating func launchMatmul(
        _ x: AscendTensor, _ weight: AscendTensor, _ y: AscendTensor
    ) throws(AscendError) {
        let isTiled = weight.tiles != nil
        let (x, weight, y) = (try make(x), try make(weight), try make(y))
        let table = libraries.operators
        guard !isTiled else {
            return try operators.run(
                "aclnnMatmulWeightNz", table.aclnnMatmulWeightNzGetWorkspaceSize, table.aclnnMatmulWeightNz
            ) { $0(x, weight, y, 0, $1, $2) }
        }
        try operators.run("aclnnMm", table.aclnnMmGetWorkspaceSize, table.aclnnMm) { $0(x, weight, y, 0, $1, $2) }
    }

    private mutating func launchBatchMatmul(
        _ x: AscendTensor, _ weight: AscendTensor, _ y: AscendTensor
    ) throws(AscendError) {
        let (x, weight, y) = (try make(x), try make(weight), try make(y))
        let table = libraries.operators
        try operators.run("aclnnBatchMatMul", table.aclnnBatchMatMulGetWorkspaceSize, table.aclnnBatchMatMul) {
            $0(x, weight, y, 0, $1, $2)
        }
    }

    private mutating func launchAdd(_ x: AscendTensor, _ other: AscendTensor) throws(AscendError) {
        let (x, other, factor) = (try make(x), try make(other), try makeScalar(1))
        let table = libraries.operators
        try operators.run("aclnnInplaceAdd", table.aclnnInplaceAddGetWorkspaceSize, table.aclnnInplaceAdd) {
            $0(x, other, factor, $1, $2)
        }
    }

    mutating func launchCopy(_ target: AscendTensor, _ source: AscendTensor) throws(AscendError) {
        let (target, source) = (try make(target), try make(source))
        let table = libraries.operators
        try operators.run("aclnnInplaceCopy", table.aclnnInplaceCopyGetWorkspaceSize, table.aclnnInplaceCopy) {
            $0(target, source, $1, $2)
        }
    }

    private mutating func launchRotary(
        _ x: AscendTensor, _ cosines: AscendTensor, _ sines: AscendTensor, _ y: AscendTensor
    ) throws(AscendError) {
        let (x, cosines, sines, y) = (try make(x), try make(cosines), try make(sines), try make(y))
        let table = libraries.operators
        try operators.run(
            "aclnnRotaryPositionEmbedding", table.aclnnRotaryPositionEmbeddingGetWorkspaceSize,
            table.aclnnRotaryPositionEmbedding
        ) { $0(x, cosines, sines, 0, y, $1, $2) }
    }

    private mutating func launchStore(
        _ key: AscendTensor, _ value: AscendTensor, _ keys: AscendTensor, _ values: AscendTensor,
        _ slots: AscendTensor
    ) throws(AscendError) {
        if let rows {
            try launchCopies(key, to: keys, rows)
            return try launchCopies(value, to: values, rows)
        }
        let table = libraries.operators
        guard table.aclnnScatterPaKvCacheGetWorkspaceSize != nil else {
            try launchIndexCopy(key, keys, slots)
            return try launchIndexCopy(value, values, slots)
        }
        let (key, value, slots) = (try make(key), try make(value), try make(slots))
        let (keys, values) = (try make(keys), try make(values))
        try operators.run(
            "aclnnScatterPaKvCache", table.aclnnScatterPaKvCacheGetWorkspaceSize, table.aclnnScatterPaKvCache
        ) { $0(key, keys, slots, value, values, nil, nil, nil, nil, nil, nil, nil, $1, $2) }
    }

    /// For releases without an operator that knows blocks: slots are rows of the cache.
    private mutating func launchIndexCopy(
        _ rows: AscendTensor, _ cache: AscendTensor, _ slots: AscendTensor
    ) throws(AscendError) {
        let slotCount = addresses.cache.blockCount * addresses.cache.blockSize
        let width = cache.shape[2...].reduce(1) { $0 * Int(addresses.length(of: $1, size)) }
        let (rows, cache, slots) = (
            try make(rows.reshaped([.rows, .fixed(width)])),
            try make(cache.reshaped([.fixed(slotCount), .fixed(width)])), try make(slots)
        )
        let table = libraries.operators
        try operators.run(
            "aclnnInplaceIndexCopy", table.aclnnInplaceIndexCopyGetWorkspaceSize, table.aclnnInplaceIndexCopy
        ) {
            $0(cache, 0, slots, rows, $1, $2)
        }
    }

    private mutating func launchSwiGlu(_ x: AscendTensor, _ y: AscendTensor) throws(AscendError) {
        let (x, y) = (try make(x), try make(y))
        let table = libraries.operators
        try operators.run("aclnnSwiGlu", table.aclnnSwiGluGetWorkspaceSize, table.aclnnSwiGlu) { $0(x, -1, y, $1, $2) }
    }

    private mutating func launchArgMax(_ x: AscendTensor, _ y: AscendTensor) throws(AscendError) {
        let (x, y) = (try make(x), try make(y))
        let table = libraries.operators
        try operators.run("aclnnArgMax", table.aclnnArgMaxGetWorkspaceSize, table.aclnnArgMax) {
            $0(x, -1, false, y, $1, $2)
        }
    }

    private mutating func launchTopK(
        _ x: AscendTensor, _ values: AscendTensor, _ places: AscendTensor
    ) throws(AscendError) {
        let count = addresses.length(of: values.shape[1], size)
        let (x, values, places) = (try make(x), try make(values), try make(places))
        let table = libraries.operators
        try operators.run("aclnnTopk", table.aclnnTopkGetWorkspaceSize, table.aclnnTopk) {
            $0(x, count, -1, true, true, values, places, $1, $2)
        }
    }

    private mutating func launchDynamicQuant(
        _ x: AscendTensor, _ y: AscendTensor, _ scale: AscendTensor
    ) throws(AscendError) {
        let (x, y, scale) = (try make(x), try make(y), try make(scale))
        let table = libraries.operators
        try operators.run("aclnnDynamicQuant", table.aclnnDynamicQuantGetWorkspaceSize, table.aclnnDynamicQuant) {
            $0(x, nil, y, scale, $1, $2)
        }
    }

    private mutating func launchQuant(
        _ x: AscendTensor, _ factor: AscendTensor, _ offset: AscendTensor, _ y: AscendTensor
    ) throws(AscendError) {
        let (x, factor, offset, y) = (try make(x), try make(factor), try make(offset), try make(y))
        let table = libraries.operators
        try operators.run("aclnnAscendQuant", table.aclnnAscendQuantGetWorkspaceSize, table.aclnnAscendQuant) {
            $0(x, factor, offset, false, Self.rounding, ACL_INT8.rawValue, y, $1, $2)
        }
    }

    private static nonisolated(unsafe) let rounding: UnsafePointer<CChar> = {  // never written after this
        let text = UnsafeMutablePointer<CChar>.allocate(capacity: 6)
        for (index, byte) in "round".utf8.enumerated() { text[index] = CChar(byte) }
        text[5] = 0
        return UnsafePointer(text)
    }()

    private mutating func launchQuantMatmul(
        _ x: AscendTensor, _ weight: AscendTensor, _ scale: AscendTensor, _ tokenScale: AscendTensor?,
        _ bias: AscendTensor?, _ y: AscendTensor
    ) throws(AscendError) {
        let isTiled = weight.tiles != nil
        let (x, weight, scale) = (try make(x), try make(weight), try make(scale))
        let tokenScale: OpaquePointer? = try make(tokenScale)
        let bias: OpaquePointer? = try make(bias)
        let y: OpaquePointer = try make(y)
        let table = libraries.operators
        guard !isTiled else {
            return try operators.run(
                "aclnnQuantMatmulWeightNz", table.aclnnQuantMatmulWeightNzGetWorkspaceSize,
                table.aclnnQuantMatmulWeightNz
            ) { $0(x, weight, tokenScale, scale, nil, nil, nil, nil, bias, false, true, 0, y, $1, $2) }
        }
        guard table.aclnnQuantMatmulV5GetWorkspaceSize != nil else {
            return try operators.run(
                "aclnnQuantMatmulV4", table.aclnnQuantMatmulV4GetWorkspaceSize, table.aclnnQuantMatmulV4
            ) {
                $0(x, weight, scale, nil, tokenScale, bias, false, true, y, $1, $2)
            }
        }
        try operators.run("aclnnQuantMatmulV5", table.aclnnQuantMatmulV5GetWorkspaceSize, table.aclnnQuantMatmulV5) {
            $0(x, weight, tokenScale, scale, nil, nil, nil, nil, bias, false, true, 0, y, $1, $2)
        }
    }
}
