/// How many rows a step may have after the device had no memory for one.
struct StepCeiling {
    /// Nil for as many as are configured.
    private(set) var rows: Int?
    private var steps = 0

    /// Steps after which twice the rows are tried again: what took the memory may be gone. A step that fails costs the
    /// computation of all its sequences, and so not often.
    static let patience = 4_096

    /// The device had no memory for a step of so many rows.
    mutating func stepDidNotFit(rows: Int) {
        (self.rows, steps) = (max(1, rows / 2), 0)
    }

    /// A step was computed.
    mutating func stepSucceeded() {
        guard let rows else { return }
        steps += 1
        guard steps == Self.patience else { return }
        let (twice, overflow) = rows.multipliedReportingOverflow(by: 2)
        (self.rows, steps) = (overflow ? nil : twice, 0)
    }
}
