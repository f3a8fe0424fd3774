internal import CAscend

/// What the chip of an NPU can do, by the name that the runtime gives it.
struct AscendChip: Sendable, Equatable {
    /// For example "Ascend910B3".
    let name: String
    let family: Family

    enum Family {
        /// Atlas A2 and A3.
        case training
        /// Atlas 300I and its like: float16 alone, no attention over grouped heads, no operator that writes rows to slots, no
        /// copies from and to mapped memory.
        case inference
        /// Taken for one of A2.
        case unknown
    }

    /// One that has everything.
    static let standard = "Ascend910B3"

    init(name: String) {
        self.name = name
        family =
            switch name {
            case _ where name.hasPrefix("Ascend910B") || name.hasPrefix("Ascend910_93"): .training
            case _ where name.hasPrefix("Ascend310P"): .inference
            default: .unknown
            }
    }

    /// That of the first NPU, as far as the runtime tells.
    ///
    /// - Throws: what the runtime returned.
    static func current() throws(AscendError) -> AscendChip {
        let libraries = AscendLibraries.shared
        guard let name = libraries.runtime.aclrtGetSocName else { return AscendChip(name: "NPU") }
        try AscendDevice.initialize(libraries)
        let text = DriverCall.during("aclrtGetSocName") { name() }
        return AscendChip(name: text.map { String(cString: $0) } ?? "NPU")
    }

    private var isInference: Bool { family == .inference }

    /// Whether each row of a step attends by itself, over keys and values that every head has of its own, and its key and
    /// value are copied to their slot.
    var attendsByRows: Bool { isInference }
    /// Most rows that attend in one call then.
    static let largestBatch = 256
    /// Whether the deviation that AddRmsNorm tells is that of the rows.
    var tellsDeviations: Bool { !isInference }
    /// Whether what is copied from and to the device may lie in mapped memory.
    var copiesMappedMemory: Bool { !isInference }
    /// Whether steps can be captured: slots are among the arguments of copies otherwise.
    var capturesGraphs: Bool { !isInference }
    /// Whether matrices of 8-bit integers are multiplied as they lie; others are wanted in tiles.
    var multipliesIntegers: Bool { !isInference }

    /// For people: what it is.
    var summary: String {
        switch family {
        case .training: "\(name), all that the back end has"
        case .inference: "\(name), float16 only: no 8-bit matrices, experts, graphs, nor several together"
        case .unknown: "\(name), taken for one of an Atlas A2"
        }
    }

    /// Tells people what is otherwise than they may think.
    func note(wantsGraphs: Bool, _ notice: (String) -> Void) {
        switch family {
        case .training: break
        case .inference where wantsGraphs:
            notice("an \(name) is given every step operator by operator: steps are not captured as graphs there")
        case .inference: break
        case .unknown: notice("\(name) is no chip that this was made for; it is taken for one of an Atlas A2")
        }
    }

    // MARK: - Refusals

    /// Fails if the chip does not run a model that others do.
    ///
    /// - Throws: `EngineError.unsupportedModel` with what it is and what to use instead.
    func check(_ model: ModelConfiguration, _ element: AscendElement, _ division: AscendDivision) throws(EngineError) {
        guard isInference else { return }
        guard element == .float16 else {
            throw EngineError(
                .unsupportedModel,
                "an \(name) has no bfloat16, which the model's numbers are kept in; use --dtype float16, whose range is smaller, "
                    + "or --device cpu")
        }
        let heads = model.headDimension
        let refusals: [(Bool, String)] = [
            (model.latentAttention != nil, "attention over latents"),
            (model.mixture != nil, "experts"),
            (
                heads % 32 != 0 || heads > 128,
                "heads of \(heads) elements, where a multiple of 32 up to 128 is needed"
            ),
            (
                model.feedForwardLength % 32 != 0,
                "\(model.feedForwardLength) hidden elements, where a multiple of 32 is needed"
            ),
            (division.ranks > 1, "more than one NPU to run on (--tensor-parallel-size)"),
        ]
        guard let refusal = refusals.first(where: \.0) else { return }
        throw EngineError(
            .unsupportedModel, "the model has \(refusal.1), which an \(name) does not run; use --device cpu")
    }

    /// Fails for a matrix of 8-bit integers that the chip does not multiply.
    ///
    /// - Throws: `EngineError.unsupportedModel` with its name and what to use instead.
    func checkIntegers(_ name: String) throws(EngineError) {
        guard !multipliesIntegers else { return }
        throw EngineError(
            .unsupportedModel,
            "\(name): 8-bit integers, which an \(self.name) multiplies in a layout that is not made; use the model "
                + "in floats with --dtype float16, or --device cpu")
    }
}
