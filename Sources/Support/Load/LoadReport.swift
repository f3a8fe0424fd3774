/// How a run was made and what came of it, as text and as JSON. The text is the block of `vllm bench serve` with its
/// labels, order and columns, so that what reads one reads the other; ours follows after its closing line.
package struct LoadReport: Sendable {
    /// The load that was asked for.
    package struct Setup: Sendable {
        /// Requests of the run.
        package var promptCount: Int
        /// Name of the model that answered.
        package var model: String
        /// When they arrive.
        package var arrival: ArrivalProcess
        /// Most requests in flight; nil for no limit.
        package var maxConcurrency: Int?
        /// Which percentiles are reported.
        package var percentiles: [Double]

        /// A limit in flight with all requests waiting: the next is sent when one ends.
        var isClosedLoop: Bool { maxConcurrency != nil && !arrival.rate.isFinite }

        /// Describes a load.
        package init(
            promptCount: Int, model: String, arrival: ArrivalProcess, maxConcurrency: Int?, percentiles: [Double]
        ) {
            self.promptCount = promptCount
            self.model = model
            self.arrival = arrival
            self.maxConcurrency = maxConcurrency
            self.percentiles = percentiles
        }
    }

    let setup: Setup
    let metrics: LoadMetrics
    let records: [RequestRecord]
    /// Processor seconds that the harness itself used.
    let clientProcessorSeconds: Double

    /// Joins a load with the records it made.
    package init(setup: Setup, records: [RequestRecord], duration: Double, clientProcessorSeconds: Double) {
        self.setup = setup
        self.records = records
        self.clientProcessorSeconds = clientProcessorSeconds
        metrics = LoadMetrics(records, duration: duration)
    }

    /// A latency as it is reported: key in JSON, name in rows, heading of its section.
    struct Section {
        let key: String
        let name: String
        let heading: String
        let summary: SampleSummary
    }

    /// vLLM's sections; the last two only where a limit in flight can make requests wait in the harness.
    var sections: [Section] {
        var sections = [
            Section(
                key: "ttft", name: "TTFT", heading: "Time to First Token", summary: metrics.timeToFirstToken),
            Section(
                key: "tpot", name: "TPOT", heading: "Time per Output Token (excl. 1st token)",
                summary: metrics.timePerOutputToken),
            Section(key: "itl", name: "ITL", heading: "Inter-token Latency", summary: metrics.interTokenLatency),
            Section(key: "e2el", name: "E2EL", heading: "End-to-end Latency", summary: metrics.endToEndLatency),
        ]
        guard setup.maxConcurrency != nil else { return sections }
        sections.append(
            Section(
                key: "client_queue_time", name: "Client Queue Time", heading: "Client-side Queueing",
                summary: metrics.clientQueueTime))
        guard setup.arrival.rate.isFinite else { return sections }
        sections.append(
            Section(
                key: "e2el_including_client_queue", name: "E2EL incl. Client Queue",
                heading: "Queue-inclusive End-to-end Latency", summary: metrics.latencyIncludingQueue))
        return sections
    }

    /// What vLLM has no section for: the wait from when the request was due.
    var dueSection: Section {
        Section(
            key: "ttft_planned", name: "planned TTFT", heading: "Time to First Token from due time",
            summary: metrics.timeToFirstTokenFromDue)
    }

    /// "99" or "99.9".
    static func percentileName(_ percent: Double) -> String {
        percent == percent.rounded() ? "\(Int(percent))" : "\(percent)"
    }
}
