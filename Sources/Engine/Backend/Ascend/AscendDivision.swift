/// How several NPUs share one model.
public struct AscendDivision: Sendable, Equatable {
    /// NPUs that compute each step together, every one a part of each layer.
    public var ranks: Int
    /// Whether each NPU has some of the experts, whole, and not a part of every one.
    public var dividesExperts: Bool
    /// Rows from which on a step's residual stream is divided too: sums over all ranks are scattered to them by rows, and what
    /// they normalize is gathered. Nil for never.
    public var scatteredRows: Int?

    /// The model is whole on one NPU.
    public static let none = AscendDivision(ranks: 1)
    /// Most NPUs: those of the largest machine, and more than any model has heads for.
    public static let largest = 64

    /// Divides a model among `ranks` NPUs, at least one.
    public init(ranks: Int, dividesExperts: Bool = false, scatteredRows: Int? = nil) {
        (self.ranks, self.dividesExperts, self.scatteredRows) = (max(1, ranks), dividesExperts, scatteredRows)
    }

    /// Fails if there are not enough NPUs for so many copies of a model, or what joins NPUs is not installed.
    ///
    /// - Throws: `EngineError.deviceUnavailable` with what is missing.
    public func requireDevices(copies: Int = 1) throws(EngineError) {
        if ranks > 1, let missing = AscendLibraries.shared.missingCollectives {
            throw EngineError(.deviceUnavailable, "several NPUs need HCCL: \(missing); install it with CANN")
        }
        let count = try ascend { () throws(AscendError) in try AscendDevice.count() }
        guard ranks * copies <= count else {
            let options = [("--tensor-parallel-size", ranks), ("--data-parallel-size", copies)]
            let asked = options.filter { $0.1 > 1 }.map { "\($0.0) \($0.1)" }.joined(separator: " and ")
            throw EngineError(
                .deviceUnavailable,
                "\(asked) needs \(ranks * copies) NPUs, but this process sees \(count); lower it, or see "
                    + "ASCEND_RT_VISIBLE_DEVICES")
        }
    }
}
