/// The figures of a load test, by the formulas of `vllm bench serve`. Times in milliseconds.
package struct LoadMetrics: Sendable {
    /// Requests that ended well.
    package let completed: Int
    /// Requests that did not.
    package let failed: Int
    /// Seconds from the first send to the last answer.
    package let duration: Double
    /// Prompt tokens of completed requests.
    package let inputTokens: Int
    /// Tokens produced by completed requests.
    package let outputTokens: Int
    /// Most tokens that arrived in one second of the run (buckets of a second from the first send).
    package let peakOutputTokensPerSecond: Double
    /// Most completed requests in flight at one moment.
    package let peakConcurrentRequests: Int

    let timeToFirstToken: SampleSummary
    let timePerOutputToken: SampleSummary
    let interTokenLatency: SampleSummary
    let endToEndLatency: SampleSummary
    let clientQueueTime: SampleSummary
    let latencyIncludingQueue: SampleSummary
    let timeToFirstTokenFromDue: SampleSummary
    let slip: SampleSummary
    /// Gaps above ten times the median gap: freezes a reader notices.
    let stallCount: Int
    let stallMilliseconds: Double
    let serverQueue: SampleSummary
    let serverPrefill: SampleSummary
    let serverDecode: SampleSummary

    /// Computes the figures of a run.
    ///
    /// - Parameter duration: seconds the run took; above 0.
    package init(_ records: [RequestRecord], duration: Double) {
        let good = records.filter { $0.error == nil }
        completed = good.count
        failed = records.count - good.count
        self.duration = duration
        inputTokens = good.reduce(0) { $0 + $1.promptTokens }
        outputTokens = good.reduce(0) { $0 + $1.outputTokens }
        peakOutputTokensPerSecond = Self.peakTokens(good)
        peakConcurrentRequests = Self.peakConcurrency(good)

        func summary(_ value: (RequestRecord) -> Double?) -> SampleSummary {
            SampleSummary(good.compactMap(value).map { $0 * 1000 })
        }
        timeToFirstToken = summary(\.timeToFirstToken)
        timePerOutputToken = summary(\.timePerOutputToken)
        endToEndLatency = summary(\.latency)
        clientQueueTime = summary(\.clientQueueTime)
        latencyIncludingQueue = summary { $0.latency + $0.clientQueueTime }
        timeToFirstTokenFromDue = summary(\.timeToFirstTokenFromDue)
        slip = summary(\.slip)
        serverQueue = summary(\.serverQueue)
        serverPrefill = summary(\.serverPrefill)
        serverDecode = summary(\.serverDecode)

        let gaps = good.flatMap(\.interTokenLatencies).map { $0 * 1000 }
        interTokenLatency = SampleSummary(gaps)
        let limit = 10 * interTokenLatency.median
        let stalls = gaps.filter { limit > 0 && $0 > limit }
        stallCount = stalls.count
        stallMilliseconds = stalls.reduce(0, +)
    }

    package var requestThroughput: Double { Double(completed) / duration }
    package var outputThroughput: Double { Double(outputTokens) / duration }
    package var totalTokenThroughput: Double { Double(inputTokens + outputTokens) / duration }

    /// The harness itself was late by so much that the latencies are not the server's alone.
    package var isClientLimited: Bool {
        slip.percentile(99) > 0.05 * timeToFirstToken.percentile(99)
    }

    private static func peakTokens(_ records: [RequestRecord]) -> Double {
        guard let start = records.map(\.sent).min() else { return 0 }
        var buckets: [Int: Int] = [:]
        for record in records {
            for (time, tokens) in zip(record.frameTimes, record.frameTokens) {
                buckets[Int(time - start), default: 0] += tokens
            }
        }
        return Double(buckets.values.max() ?? 0)
    }

    /// Sweeps over starts and ends; an end at the same moment comes first, because intervals are half open.
    private static func peakConcurrency(_ records: [RequestRecord]) -> Int {
        let changes = records.flatMap { [($0.sent, 1), ($0.end, -1)] }.sorted { $0 < $1 }
        var current = 0
        var peak = 0
        for (_, change) in changes {
            current += change
            peak = max(peak, current)
        }
        return peak
    }
}
