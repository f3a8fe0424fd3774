/// How much an engine runs at once. Names and meanings are those of vLLM's options.
public struct EngineOptions: Sendable {
    /// Most tokens of prompt and output together; nil takes the model's context length.
    public var maxModelLength: Int?
    /// Most sequences in one step. 32, because reading the weights dominates a CPU's step up to about there: the step
    /// then takes longer with each further sequence, and total throughput no longer grows.
    public var maxNumSeqs = 32
    /// Most rows (prompt tokens of prefilling and one token of each decoding sequence) in one step; at least
    /// `maxNumSeqs`. 512 keeps the pause that a long prompt makes in other streams short and the kernels busy.
    public var maxNumBatchedTokens = 512
    /// Bytes of the KV pool; nil takes what `maxNumSeqs` sequences of `maxModelLength` need, but at most a quarter of the
    /// memory that is available.
    public var keyValueCacheBytes: Int?
    /// Tokens of one KV block.
    public var blockSize = 16
    /// Most requests in the engine, running, parked or waiting; one more is refused as `overloaded`.
    public var maxNumRequests = 4_096
    /// Keep the KV blocks of finished requests for later ones that begin alike.
    public var prefixCaching = true
    /// What is done about a device whose driver does not come back.
    public var hangs = DeviceHang.Watch()

    /// The defaults.
    public init() {}
}

/// What an engine can hold, decided when it starts.
public struct EngineCapacity: Sendable, Equatable {
    /// Most tokens of prompt and output together.
    public let maxModelLength: Int
    /// Tokens of one KV block.
    public let blockSize: Int
    /// Blocks of the KV pool.
    public let blockCount: Int
    /// Bytes of the KV pool.
    public let keyValueCacheBytes: Int

    /// Tokens that the KV pool holds.
    public var keyValueTokens: Int { blockCount * blockSize }
    /// Sequences of `maxModelLength` tokens that the KV pool holds at once; 0 when it is too small for one.
    public var sequencesAtFullLength: Int { blockCount / max(1, (maxModelLength + blockSize - 1) / blockSize) }

    /// Checks the options against the model and decides the size of the KV pool.
    ///
    /// - Parameter keyValueMemory: bytes the pool may take if the options do not say; nil for any number.
    /// - Throws: `EngineError.invalidRequest` for options out of range, `insufficientMemory` for a pool of no block.
    package init(
        options: EngineOptions, contextLength: Int, bytesPerToken: Int, keyValueMemory: Int?
    ) throws(EngineError) {
        let contextLength = min(contextLength, Int(Int32.max))  // positions are 32-bit
        try Self.check(options, contextLength: contextLength)
        maxModelLength = options.maxModelLength ?? contextLength
        blockSize = options.blockSize

        let blocksPerSequence = (maxModelLength + blockSize - 1) / blockSize
        let (bytesPerBlock, overflow) = bytesPerToken.multipliedReportingOverflow(by: blockSize)
        guard !overflow, bytesPerBlock > 0 else {
            throw EngineError(.invalidModel, "a KV block of \(blockSize) tokens of \(bytesPerToken) bytes has no size")
        }
        let enough = blocksPerSequence * options.maxNumSeqs
        let affordable = (keyValueMemory ?? .max) / bytesPerBlock
        let wanted = options.keyValueCacheBytes.map { $0 / bytesPerBlock } ?? min(enough, affordable)
        // Slot numbers are 32-bit.
        blockCount = min(wanted, Int(Int32.max) / blockSize)
        guard blockCount > 0 else {
            throw EngineError(
                .insufficientMemory,
                "no room for a KV block of \(bytesPerBlock) bytes: --kv-cache-memory gives "
                    + "\(options.keyValueCacheBytes ?? affordable * bytesPerBlock) bytes; raise it")
        }
        keyValueCacheBytes = blockCount * bytesPerBlock
    }

    /// What the pool may take of the system's memory, which others use as well.
    package static func keyValueShare(of available: Int) -> Int { available / 4 }

    private static func check(_ options: EngineOptions, contextLength: Int) throws(EngineError) {
        let rows = options.maxNumSeqs...max(options.maxNumSeqs, 65_536)
        let ranges: [(String, Int, ClosedRange<Int>)] = [
            ("--max-model-len", options.maxModelLength ?? contextLength, 2...max(2, contextLength)),
            ("--max-num-seqs", options.maxNumSeqs, 1...4_096),
            ("--max-num-batched-tokens", options.maxNumBatchedTokens, rows),
            ("--block-size", options.blockSize, 1...1_024),
            ("the limit of requests", options.maxNumRequests, 1...1_048_576),
            ("--kv-cache-memory", options.keyValueCacheBytes ?? 1, 1...Int.max),
        ]
        for (name, value, range) in ranges where !range.contains(value) {
            throw EngineError(
                .invalidRequest, "\(name) is \(value); it must lie in \(range.lowerBound)...\(range.upperBound)")
        }
    }
}
