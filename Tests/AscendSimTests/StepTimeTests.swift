import CAscend
import Testing

/// The launches of one decoding step of Qwen2.5-7B on tensors of its shapes. Nothing is computed: the model of costs is asked.
private final class Step {
    let machine: Machine
    let batch: Int
    let isInteger: Bool
    let layers = 28
    private let (hidden, heads, groups, size, inner, words) = (3584, 28, 4, 128, 18944, 152_064)
    private var tensors: [String: Placed] = [:]
    private var workspace: UnsafeMutableRawPointer?
    private(set) var launches = 0

    init(batch: Int, isInteger: Bool) throws {
        machine = try Machine(["COMPUTE": "0", "DELAY_US": "0"])
        (self.batch, self.isInteger) = (batch, isInteger)
        workspace = try machine.allocate(64 << 20)
        // What a capture may not allocate is there after one step.
        try run()
        try machine.synchronize()
        launches = 0
    }

    /// A tensor by its use; all layers share theirs, which costs the same.
    private func tensor(_ name: String, _ type: aclDataType, _ dims: [Int]) throws -> OpaquePointer? {
        if let placed = tensors[name] { return placed.handle }
        let placed = try machine.empty(type, dims)
        tensors[name] = placed
        return placed.handle
    }

    private func launch(
        _ second: asc_launch?,
        _ body: (UnsafeMutablePointer<UInt64>?, UnsafeMutablePointer<OpaquePointer?>?) -> aclnnStatus
    ) throws {
        let (size, executor) = try machine.plan(body)
        let second = try #require(second)
        try machine.check(second(workspace, size, executor, machine.stream))
        launches += 1
    }

    /// y = x w, with the bias where there is one.
    private func linear(
        _ name: String, _ x: String, _ inputs: Int, _ outputs: Int, raw: Bool = false, bias: Bool = false
    ) throws {
        let operators = machine.operators
        guard isInteger else {
            let input = try tensor(x, ACL_BF16, [batch, inputs])
            let (weight, y) = (
                try tensor("w " + name, ACL_BF16, [inputs, outputs]), try tensor(name, ACL_BF16, [batch, outputs])
            )
            try launch(operators.aclnnMm) { operators.aclnnMmGetWorkspaceSize(input, weight, y, 0, $0, $1) }
            guard bias else { return }
            let added = try tensor("b " + name, ACL_BF16, [outputs])
            try launch(operators.aclnnInplaceAdd) { [machine] in
                operators.aclnnInplaceAddGetWorkspaceSize(y, added, machine.scalar(1), $0, $1)
            }
            return
        }
        let input = try tensor(x + " 8", ACL_INT8, [batch, inputs])
        let weight = try tensor("w " + name, ACL_INT8, [inputs, outputs])
        let y = try tensor(name, raw ? ACL_INT32 : ACL_BF16, [batch, outputs])
        let scale = try tensor("s " + name, ACL_FLOAT, [outputs])
        let tokens = raw ? nil : try tensor(x + " s", ACL_FLOAT, [batch])
        let added = bias ? try tensor("b " + name, ACL_FLOAT, [outputs]) : nil
        try launch(operators.aclnnQuantMatmulV5) {
            operators.aclnnQuantMatmulV5GetWorkspaceSize(
                input, weight, tokens, scale, nil, nil, nil, nil, added, false, false, 0, y, $0, $1)
        }
    }

    /// The residual sum and its norm, quantised where the next product wants it.
    private func norm(_ x: String) throws {
        let operators = machine.operators
        let (a, b) = (try tensor("residual", ACL_BF16, [batch, hidden]), try tensor(x, ACL_BF16, [batch, hidden]))
        let (gamma, sum) = (
            try tensor("gamma", ACL_BF16, [hidden]), try tensor("residual 2", ACL_BF16, [batch, hidden])
        )
        guard isInteger else {
            let (y, rstd) = (
                try tensor("normed", ACL_BF16, [batch, hidden]), try tensor("rstd", ACL_FLOAT, [batch, 1])
            )
            return try launch(operators.aclnnAddRmsNorm) {
                operators.aclnnAddRmsNormGetWorkspaceSize(a, b, gamma, 1e-6, y, rstd, sum, $0, $1)
            }
        }
        let (y, scale) = (
            try tensor("normed 8", ACL_INT8, [batch, hidden]), try tensor("normed s", ACL_FLOAT, [batch])
        )
        let (none, nothing) = (try tensor("none", ACL_INT8, [1]), try tensor("nothing", ACL_FLOAT, [1]))
        try launch(operators.aclnnAddRmsNormDynamicQuant) {
            operators.aclnnAddRmsNormDynamicQuantGetWorkspaceSize(
                a, b, gamma, nil, nil, 1e-6, y, none, sum, scale, nothing, $0, $1)
        }
    }

    private func attention() throws {
        let operators = machine.operators
        let query = try tensor("q", ACL_BF16, [batch, heads, size])
        let key = try tensor("k", ACL_BF16, [batch, groups, size])
        let value = try tensor("v", ACL_BF16, [batch, groups, size])
        let (cosines, sines) = (
            try tensor("cos", ACL_BF16, [batch, 1, size]), try tensor("sin", ACL_BF16, [batch, 1, size])
        )
        try launch(operators.aclnnApplyRotaryPosEmb) {
            operators.aclnnApplyRotaryPosEmbGetWorkspaceSize(query, key, cosines, sines, 4, $0, $1)
        }
        let blocks = batch * 8 + 1
        let caches = ["keys", "values"].map { try? tensor($0, ACL_BF16, [blocks, 128, groups, size]) }
        let slots = try tensor("slots", ACL_INT32, [batch])
        try launch(operators.aclnnScatterPaKvCache) {
            operators.aclnnScatterPaKvCacheGetWorkspaceSize(
                key, caches[0] ?? nil, slots, value, caches[1] ?? nil, nil, nil, nil, nil, nil, nil, nil, $0, $1)
        }
        let lists = ["keys", "values"].map { name -> OpaquePointer? in
            guard let place = tensors[name]?.place else { return nil }
            let dims = [blocks, 128, groups * size]
            return machine.list([
                Placed(handle: machine.tensor(ACL_BF16, dims, at: place), place: place, type: ACL_BF16, dims: dims)
            ])
        }
        let (mask, table) = (try tensor("mask", ACL_INT8, [2048, 2048]), try tensor("table", ACL_INT32, [batch, 8]))
        let out = try tensor("attended", ACL_BF16, [batch, heads, size])
        let ends = machine.integers((1...batch).map { $0 })
        let lengths = machine.integers([Int](repeating: 1024, count: batch))
        var layout = Array("TND".utf8CString)
        try launch(operators.aclnnFusedInferAttentionScoreV3) {
            operators.aclnnFusedInferAttentionScoreV3GetWorkspaceSize(
                query, lists[0], lists[1], nil, mask, ends, lengths, nil, nil, nil, nil, nil, nil, nil, table, nil, nil,
                nil,
                nil, nil, nil, nil, nil, nil, nil, nil, nil, 28, 0.088, 2_147_483_647, 2_147_483_647, &layout, 4, 3, 0,
                128, 0,
                false, 0, 0, out, nil, $0, $1)
        }
    }

    func run() throws {
        let operators = machine.operators
        for _ in 0..<layers {
            try linear("qkv", "normed", hidden, (heads + 2 * groups) * size, bias: true)
            try attention()
            if isInteger {
                let x = try tensor("o in", ACL_BF16, [batch, heads * size])
                let (y, scale) = (
                    try tensor("o in 8", ACL_INT8, [batch, heads * size]), try tensor("o in s", ACL_FLOAT, [batch])
                )
                try launch(operators.aclnnDynamicQuant) {
                    operators.aclnnDynamicQuantGetWorkspaceSize(x, nil, y, scale, $0, $1)
                }
            }
            try linear("o", "o in", heads * size, hidden)
            try norm("o")
            try linear("gate up", "normed", hidden, 2 * inner, raw: isInteger)
            try gate()
            try linear("down", "gated", inner, hidden)
            try norm("down")
        }
        // The head stays bf16.
        let x = try tensor("last", ACL_BF16, [batch, hidden])
        let (weight, logits) = (
            try tensor("w head", ACL_BF16, [hidden, words]), try tensor("logits", ACL_BF16, [batch, words])
        )
        try launch(operators.aclnnMm) { operators.aclnnMmGetWorkspaceSize(x, weight, logits, 0, $0, $1) }
        let best = try tensor("best", ACL_INT64, [batch])
        try launch(operators.aclnnArgMax) { operators.aclnnArgMaxGetWorkspaceSize(logits, -1, false, best, $0, $1) }
    }

    private func gate() throws {
        let operators = machine.operators
        guard isInteger else {
            let (x, y) = (
                try tensor("gate up", ACL_BF16, [batch, 2 * inner]), try tensor("gated", ACL_BF16, [batch, inner])
            )
            return try launch(operators.aclnnSwiGlu) { operators.aclnnSwiGluGetWorkspaceSize(x, -1, y, $0, $1) }
        }
        let x = try tensor("gate up", ACL_INT32, [batch, 2 * inner])
        let (scale, tokens) = (
            try tensor("s gate up", ACL_FLOAT, [2 * inner]), try tensor("normed s", ACL_FLOAT, [batch])
        )
        let (y, factor) = (try tensor("gated 8", ACL_INT8, [batch, inner]), try tensor("gated s", ACL_FLOAT, [batch]))
        var mode = Array("dynamic".utf8CString)
        try launch(operators.aclnnDequantSwigluQuant) {
            operators.aclnnDequantSwigluQuantGetWorkspaceSize(
                x, scale, tokens, nil, nil, nil, nil, true, &mode, y, factor, $0, $1)
        }
    }

    /// Milliseconds of simulated time that some work takes, on host and device together.
    func time(_ body: () throws -> Void) throws -> Double {
        var (start, end): (aclrtEvent?, aclrtEvent?)
        try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&start, UInt32(ACL_EVENT_TIME_LINE)))
        try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&end, UInt32(ACL_EVENT_TIME_LINE)))
        try machine.check(machine.runtime.aclrtRecordEvent(start, machine.stream))
        try body()
        try machine.check(machine.runtime.aclrtRecordEvent(end, machine.stream))
        try machine.synchronize()
        var milliseconds: Float = 0
        try machine.check(machine.runtime.aclrtEventElapsedTime(&milliseconds, start, end))
        return Double(milliseconds)
    }

    /// Bytes of weights that every step reads, over the rate of the memory, in milliseconds.
    var bound: Double {
        let layer = 2 * hidden * (heads + groups) * size + 3 * hidden * inner
        let bytes = layers * layer * (isInteger ? 1 : 2) + 2 * hidden * words
        return Double(bytes) / 1.6e9
    }
}

extension SimulatorTests {
    @Suite struct StepTimeTests {
        @Test(arguments: [1, 8, 32], [false, true])
        func qwen7B(batch: Int, isInteger: Bool) throws {
            let step = try Step(batch: batch, isInteger: isInteger)
            let eager = try step.time { try step.run() }
            #expect(step.launches <= (isInteger ? 16 : 14) * step.layers + 2)
            var graph: aclmdlRI?
            let machine = step.machine
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try step.run()
            try machine.check(machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph))
            let replayed = try step.time {
                try machine.check(machine.runtime.aclmdlRIExecuteAsync(graph, machine.stream))
            }
            #expect(step.bound < replayed && replayed < eager)
            print(
                "Qwen2.5-7B on Ascend910B3, \(isInteger ? "W8A8" : "bf16"), batch \(batch): bound \(step.bound) ms, replayed \(replayed) ms, eager \(eager) ms, \(step.launches / 2) launches"
            )
        }
    }
}
