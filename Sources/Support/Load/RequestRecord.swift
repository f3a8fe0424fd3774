/// What the harness saw of one request. Times are monotonic seconds since the start of the run.
package struct RequestRecord: Sendable {
    /// When the arrival process created it.
    package var arrival: Double
    /// When it should have been sent: its arrival, or in a closed loop the moment its place became free.
    package var due: Double
    /// When it was handed to the client library.
    package var sent: Double
    /// Arrival of each frame that carried tokens.
    package var frameTimes: [Double] = []
    /// Tokens in each of those frames.
    package var frameTokens: [Int] = []
    /// When the terminal frame arrived.
    package var end: Double
    /// Tokens of the prompt.
    package var promptTokens: Int
    /// Tokens produced, as the server counts them; never differs from the sum of `frameTokens` in a correct run.
    package var outputTokens = 0
    /// Why it failed; nil when it succeeded.
    package var error: String?
    /// Seconds the server says it spent on queueing, prefill and decoding.
    package var serverQueue = 0.0
    package var serverPrefill = 0.0
    package var serverDecode = 0.0

    /// Starts a record; a request that never gets an answer keeps `end == sent`.
    package init(arrival: Double, due: Double, sent: Double, promptTokens: Int) {
        self.arrival = arrival
        self.due = due
        self.sent = sent
        self.end = sent
        self.promptTokens = promptTokens
    }

    /// Time to first token, from sending.
    var timeToFirstToken: Double { (frameTimes.first ?? end) - sent }
    /// Time to first token from when it was due: a harness that sends late does not hide the wait.
    var timeToFirstTokenFromDue: Double { (frameTimes.first ?? end) - due }
    /// From sending to the terminal frame.
    var latency: Double { end - sent }
    /// Time the request waited in the harness.
    var clientQueueTime: Double { sent - arrival }
    /// How late the harness was by its own doing.
    var slip: Double { sent - due }
    /// Gaps between frames: tokens that share a frame add no gap, as in vLLM.
    var interTokenLatencies: [Double] { zip(frameTimes.dropFirst(), frameTimes).map { $0 - $1 } }

    /// Mean time per token after the first; nil for fewer than two tokens.
    var timePerOutputToken: Double? {
        guard outputTokens > 1, let first = frameTimes.first, let last = frameTimes.last else { return nil }
        return (last - first) / Double(outputTokens - 1)
    }
}
