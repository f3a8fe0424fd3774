internal import CKernels

/// Memory of one step, kept and grown: activations of all rows and scratch of the threads.
struct StepBuffers {
    /// (rows, embedding) the residual stream
    private(set) var residual: UnsafeMutablePointer<Float>
    /// (rows, inputs) what the next matrices multiply, before quantization; `inputs` is the widest input
    private(set) var inputs: UnsafeMutablePointer<Float>
    /// (rows, width of a group) what matrices yield
    private(set) var outputs: UnsafeMutablePointer<Float>
    /// (rows, ranks) what stands between the two matrices of adapters
    private(set) var narrow: UnsafeMutablePointer<Float>
    /// `inputs` in the other forms that matrices take
    private(set) var prepared: PreparedInputs
    /// (rows, heads, packed head of the cache) queries against latents, then what they attended to
    private(set) var latentQueries: UnsafeMutablePointer<Float>
    /// Of the work with experts.
    private(set) var experts: ExpertBuffers
    /// (rows, tables, rotary dimension / 2)
    private(set) var cosines: UnsafeMutablePointer<Float>
    /// (rows, tables, rotary dimension / 2)
    private(set) var sines: UnsafeMutablePointer<Float>
    /// (rows) the first layer whose keys or values of the row are not finite in the cache, or -1
    private(set) var faultyLayers: UnsafeMutablePointer<Int32>
    /// (samples, padded vocabulary)
    private(set) var logits: UnsafeMutablePointer<Float>
    /// (rows, heads, segments, partial) of steps that split contexts among threads
    private(set) var partials: UnsafeMutablePointer<Float>

    /// Sizes in elements per row.
    struct Widths {
        var residual: Int
        var inputs: Int
        var outputs: Int
        var narrow: Int
        var latentQueries: Int
        var rotary: Int
        var logits: Int
        var experts: ExpertBuffers.Widths
    }

    private let widths: Widths
    private var rowCapacity: Int
    private var sampleCapacity: Int
    private var partialCapacity: Int
    private var memory: HugePages
    private var logitsMemory: HugePages
    private var partialsMemory: HugePages

    init(_ widths: Widths) throws(EngineError) {
        self.widths = widths
        (rowCapacity, sampleCapacity, partialCapacity) = (0, 0, 0)
        memory = try HugePages(byteCount: 0, purpose: "activations")
        experts = try ExpertBuffers(widths.experts, rowCount: 0)
        logitsMemory = memory
        partialsMemory = memory
        // Every pointer is set by the first `reserve`.
        let nothing = memory.base
        var layout = BumpLayout()
        prepared = PreparedInputs.Layout(&layout, rows: 0, width: 0).at(nothing)
        residual = nothing.assumingMemoryBound(to: Float.self)
        (inputs, outputs, cosines) = (residual, residual, residual)
        (sines, logits, partials, latentQueries, narrow) = (residual, residual, residual, residual, residual)
        faultyLayers = nothing.assumingMemoryBound(to: Int32.self)
    }

    /// Makes room; contents are lost. Allocates only when a step is larger than all before, and then doubles.
    mutating func reserve(rows: Int, samples: Int, partials: Int) throws(EngineError) {
        if rows > rowCapacity { try growRows(to: max(rows, 2 * rowCapacity, 16)) }
        if samples > sampleCapacity {
            let capacity = max(samples, 2 * sampleCapacity)
            logitsMemory = try HugePages(
                byteCount: capacity * widths.logits * MemoryLayout<Float>.stride, purpose: "logits")
            logits = logitsMemory.base.assumingMemoryBound(to: Float.self)
            sampleCapacity = capacity
        }
        if partials > partialCapacity {
            let capacity = max(partials, 2 * partialCapacity)
            partialsMemory = try HugePages(
                byteCount: capacity * MemoryLayout<Float>.stride, purpose: "attention of long contexts")
            self.partials = partialsMemory.base.assumingMemoryBound(to: Float.self)
            partialCapacity = capacity
        }
    }

    private mutating func growRows(to rows: Int) throws(EngineError) {
        var layout = BumpLayout()
        let residual = layout.reserve(Float.self, rows * widths.residual)
        let inputs = layout.reserve(Float.self, rows * widths.inputs)
        let outputs = layout.reserve(Float.self, rows * widths.outputs)
        let narrow = layout.reserve(Float.self, rows * widths.narrow)
        let prepared = PreparedInputs.Layout(&layout, rows: rows, width: widths.inputs)
        let latentQueries = layout.reserve(Float.self, rows * widths.latentQueries)
        let cosines = layout.reserve(Float.self, rows * widths.rotary)
        let sines = layout.reserve(Float.self, rows * widths.rotary)
        let faultyLayers = layout.reserve(Int32.self, rows)
        memory = try HugePages(byteCount: layout.byteCount, purpose: "activations")
        experts = try ExpertBuffers(widths.experts, rowCount: rows)
        func floats(_ offset: Int) -> UnsafeMutablePointer<Float> {
            (memory.base + offset).assumingMemoryBound(to: Float.self)
        }
        self.residual = floats(residual)
        self.inputs = floats(inputs)
        self.outputs = floats(outputs)
        self.narrow = floats(narrow)
        self.prepared = prepared.at(memory.base)
        self.latentQueries = floats(latentQueries)
        self.cosines = floats(cosines)
        self.sines = floats(sines)
        self.faultyLayers = (memory.base + faultyLayers).assumingMemoryBound(to: Int32.self)
        rowCapacity = rows
    }
}
