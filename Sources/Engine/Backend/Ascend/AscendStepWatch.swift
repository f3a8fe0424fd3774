/// How long a step may take before the device is taken for hung.
package struct AscendStepWatch: Sendable {
    /// Bounds, in milliseconds.
    package struct Limits: Sendable {
        /// For steps that may be the first of their kind, which load operators from files.
        package var first: Int32 = 120_000
        /// For every other, at least; a step that takes long beside others is none that hangs.
        package var least: Int32 = 10_000
        /// For setting a device up, from one matrix that is copied to the next.
        package var setUp: Int32 = 120_000
        /// For giving a device back.
        package var giveBack: Int32 = 30_000

        /// The defaults.
        package init() {}
    }

    private let limits: Limits
    private var count = 0
    private var mean: Double = 0

    /// Steps that may be the first of their kind: prompts, and a batch of each size.
    private static let firstSteps = 16
    /// How many times the mean a step may take.
    private static let factor = 20.0

    /// Nothing is known of steps yet.
    package init(_ limits: Limits) { self.limits = limits }

    /// Milliseconds that the next step may take.
    package var timeout: Int32 {
        guard count >= Self.firstSteps else { return limits.first }
        return min(limits.first, max(limits.least, Int32(clamping: Int(min(mean * Self.factor, 1e9)))))
    }

    /// Learns from a step that took so many milliseconds.
    package mutating func learn(milliseconds: Double) {
        mean = count == 0 ? milliseconds : mean + (milliseconds - mean) / 8
        count += 1
    }
}
