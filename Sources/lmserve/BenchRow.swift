import LMEngine
import LMSupport

/// One line of what `lmserve bench` prints.
struct BenchRow: Encodable {
    /// "prefill" or "decode".
    let kind: String
    let model: String
    let backend: String
    let threads: Int
    let batch: Int
    /// Tokens of every sequence that were in the cache before.
    let depth: Int
    /// Tokens of every sequence that were read or written.
    let tokens: Int
    /// The median of `samples`.
    let tokensPerSecond: Double
    let samples: [Double]
    /// What the median is of what the machine can do; nil where that is not known.
    let percentOfCeiling: Double?
    /// Operations for every byte of weights.
    let operationsPerByte: Double?
    let operationsPerSecond: Double?
    /// The peak of the instructions in use.
    let peakOperationsPerSecond: Double?
    let peakBytesPerSecond: Double?

    /// - Parameters:
    ///   - seconds: what each repetition took.
    ///   - bounds: of each step of a repetition; empty where not known.
    init(
        kind: String, model: String, backend: String, threads: Int, batch: Int, depth: Int, tokens: Int,
        seconds: [Double], bounds: [CPUWork.Bound]
    ) {
        self.kind = kind
        self.model = model
        self.backend = backend
        self.threads = threads
        self.batch = batch
        self.depth = depth
        self.tokens = tokens
        samples = seconds.map { Double(batch * tokens) / $0 }
        tokensPerSecond = SampleSummary(samples).median
        let median = Double(batch * tokens) / tokensPerSecond
        let bytes = bounds.reduce(0) { $0 + $1.bytes }
        let operations = bounds.reduce(0) { $0 + $1.operations }
        let isKnown = bytes > 0
        percentOfCeiling = isKnown ? 100 * bounds.reduce(0) { $0 + $1.seconds } / median : nil
        operationsPerByte = isKnown ? operations / bytes : nil
        operationsPerSecond = isKnown ? operations / median : nil
        peakOperationsPerSecond = isKnown ? operations / bounds.reduce(0) { $0 + $1.arithmeticSeconds } : nil
        peakBytesPerSecond = isKnown ? bytes / bounds.reduce(0) { $0 + $1.memorySeconds } : nil
    }

    static let heading = "threads  batch   depth  kind       tokens/s  of ceiling    GOP/s  of peak\n"

    /// The row under `heading`.
    var line: String {
        let percent = percentOfCeiling.map { $0.fixed(0) + " %" } ?? "-"
        let speed = operationsPerSecond.map { ($0 / 1e9).fixed(1) } ?? "-"
        let peak = peakOperationsPerSecond.map { ($0 / 1e9).fixed(0) } ?? "-"
        let columns = [
            "\(threads)".padded(to: 7), "\(batch)".padded(to: 5), "\(depth)".padded(to: 6),
            kind + String(repeating: " ", count: max(0, 8 - kind.count)), tokensPerSecond.fixed(1).padded(to: 9),
            percent.padded(to: 10), speed.padded(to: 7), peak.padded(to: 7),
        ]
        return columns.joined(separator: "  ") + "\n"
    }
}
