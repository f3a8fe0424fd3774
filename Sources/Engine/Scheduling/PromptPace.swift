/// How many prompt rows a step may hold beside decoding sequences, so that a long prompt slows running streams and does not
/// stop them: a step with prompt rows should take at most `stretch` times a step without.
///
/// Measured steps tell what a row costs. Chunks of prompts beside decoding are Sarathi-Serve's (Agrawal et al., OSDI 2024), with
/// a fixed number of rows; here the number follows the model and the machine. What a row computes never depends on it.
struct PromptPace {
    /// Rows of the last step that only decoded, and nanoseconds that such a step takes.
    private var decoding: (rows: Int, nanoseconds: Double)?
    /// Nanoseconds that a prompt row adds to a step; nil before the first step with both.
    private var promptRow: Double?
    private var lastPromptRows = PromptPace.fewest

    /// A step beside decoding may take so many times one that only decodes.
    static let stretch = 3.0
    /// A prompt advances by so many rows at least: fewer would not fill the kernels' tiles.
    static let fewest = 16

    /// Most prompt rows for the next step beside `decodeRows`; nil for as many as it holds.
    func promptRows(beside decodeRows: Int) -> Int? {
        guard let alone = stepAlone(decodeRows) else { return nil }
        guard let promptRow else { return Self.fewest }
        // At most twice the last number: one mismeasured step must not let a whole prompt through.
        let affordable = min((Self.stretch - 1) * alone / promptRow, Double(2 * lastPromptRows))
        return max(Self.fewest, Int(affordable))
    }

    /// Learns from a step that took `nanoseconds`.
    mutating func learn(nanoseconds: UInt64, decodeRows: Int, promptRows: Int) {
        guard nanoseconds > 0, decodeRows > 0 else { return }
        let duration = Double(nanoseconds)
        let expected = stepAlone(decodeRows)
        guard promptRows > 0 else {
            // Slowly up: a step that something else has delayed must not make room for many rows.
            return decoding = (decodeRows, expected.map { min(duration, $0 * 1.1) } ?? duration)
        }
        lastPromptRows = promptRows
        guard let alone = expected else { return }
        // Not nothing, however the steps were measured.
        let measured = max(duration - alone, duration / 100) / Double(promptRows)
        promptRow = promptRow.map { ($0 + measured) / 2 } ?? measured
    }

    /// What a step of so many decoding rows takes by itself: as the last one took, and each further row as a prompt's.
    private func stepAlone(_ rows: Int) -> Double? {
        decoding.map { $0.nanoseconds + Double(max(0, rows - $0.rows)) * (promptRow ?? 0) }
    }
}
