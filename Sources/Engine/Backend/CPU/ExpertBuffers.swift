internal import CKernels

/// Memory of a step's work with experts. A slot is one choice of one row; those of an expert are neighbours.
struct ExpertBuffers {
    /// (rows, experts) scratch of the choice
    let ranks: UnsafeMutablePointer<Float>
    /// (rows, experts per token) what was chosen, the best first
    let chosen: UnsafeMutablePointer<Int32>
    /// (rows, experts per token) what the results are multiplied by
    let weights: UnsafeMutablePointer<Float>
    /// (rows, experts per token) the slots of the choices
    let slots: UnsafeMutablePointer<Int32>
    /// (slots) the row of each
    let rows: UnsafeMutablePointer<Int32>
    /// (experts + 1) first slot of each expert
    let starts: UnsafeMutablePointer<Int32>
    /// (experts) those that have slots, in order, then -1
    let used: UnsafeMutablePointer<Int32>
    /// (slots, inputs) what the next matrices multiply
    let inputs: UnsafeMutablePointer<Float>
    /// `inputs` in the other forms that matrices take
    let prepared: PreparedInputs
    /// (slots, outputs) what matrices yield
    let outputs: UnsafeMutablePointer<Float>

    /// Sizes in elements.
    struct Widths {
        let experts: Int
        let expertsPerToken: Int
        /// Per slot.
        let inputs: Int
        /// Per slot.
        let outputs: Int

        init(_ model: ModelConfiguration) {
            let hidden = model.mixture?.expertLength ?? 0
            experts = model.mixture?.expertCount ?? 0
            expertsPerToken = model.mixture?.expertsPerToken ?? 0
            inputs = max(model.embeddingLength, hidden)
            outputs = max(ForwardStep.padded(model.embeddingLength), 2 * ForwardStep.padded(hidden))
        }
    }

    private let memory: HugePages

    /// Makes room for `rowCount` rows.
    init(_ widths: Widths, rowCount: Int) throws(EngineError) {
        let slotCount = rowCount * widths.expertsPerToken
        var layout = BumpLayout()
        let ranks = layout.reserve(Float.self, rowCount * widths.experts)
        let chosen = layout.reserve(Int32.self, slotCount)
        let weights = layout.reserve(Float.self, slotCount)
        let slots = layout.reserve(Int32.self, slotCount)
        let rows = layout.reserve(Int32.self, slotCount)
        let starts = layout.reserve(Int32.self, widths.experts + 1)
        let used = layout.reserve(Int32.self, widths.experts)
        let inputs = layout.reserve(Float.self, slotCount * widths.inputs)
        let prepared = PreparedInputs.Layout(&layout, rows: slotCount, width: widths.inputs)
        let outputs = layout.reserve(Float.self, slotCount * widths.outputs)
        let memory = try HugePages(byteCount: layout.byteCount, purpose: "activations of experts")
        func at<Element>(_ offset: Int, _ type: Element.Type) -> UnsafeMutablePointer<Element> {
            (memory.base + offset).assumingMemoryBound(to: type)
        }
        self.ranks = at(ranks, Float.self)
        self.chosen = at(chosen, Int32.self)
        self.weights = at(weights, Float.self)
        self.slots = at(slots, Int32.self)
        self.rows = at(rows, Int32.self)
        self.starts = at(starts, Int32.self)
        self.used = at(used, Int32.self)
        self.inputs = at(inputs, Float.self)
        self.prepared = prepared.at(memory.base)
        self.outputs = at(outputs, Float.self)
        self.memory = memory
    }
}
