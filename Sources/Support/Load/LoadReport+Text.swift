extension LoadReport {
    /// The report for people, ending in a newline.
    package var text: String {
        (vllmBlock + ownBlock).joined(separator: "\n") + "\n"
    }

    /// Every line as `vllm bench serve` prints it: labels in 40 columns, values left-aligned in 10.
    private var vllmBlock: [String] {
        var lines = [" Serving Benchmark Result ".centered(in: 50, fill: "=")]
        lines.append(row("Successful requests:", metrics.completed))
        lines.append(row("Failed requests:", metrics.failed))
        if let limit = setup.maxConcurrency { lines.append(row("Maximum request concurrency:", limit)) }
        if setup.arrival.rate.isFinite { lines.append(row("Request rate configured (RPS):", setup.arrival.rate)) }
        lines += [
            row("Benchmark duration (s):", metrics.duration),
            row("Total input tokens:", metrics.inputTokens),
            row("Total generated tokens:", metrics.outputTokens),
            row("Request throughput (req/s):", metrics.requestThroughput),
            row("Output token throughput (tok/s):", metrics.outputThroughput),
            row("Peak output token throughput (tok/s):", metrics.peakOutputTokensPerSecond),
            row("Peak concurrent requests:", Double(metrics.peakConcurrentRequests)),
            row("Total token throughput (tok/s):", metrics.totalTokenThroughput),
        ]
        lines += sections.flatMap(rows)
        lines.append(String(repeating: "=", count: 50))
        return lines
    }

    private var ownBlock: [String] {
        var lines = ["Load:".padded(to: 41) + loadDescription]
        lines += rows(of: dueSection)
        lines += [
            "Stalls and server side".centered(in: 50, fill: "-"),
            row("Stalls (gap > 10 x median):", metrics.stallCount),
            row("Time stalled (ms):", metrics.stallMilliseconds),
            row("Mean server queue time (ms):", metrics.serverQueue.mean),
            row("Mean server prefill time (ms):", metrics.serverPrefill.mean),
            row("Mean server decode time (ms):", metrics.serverDecode.mean),
            row("P99 send delay of this client (ms):", metrics.slip.percentile(99)),
            row("Client CPU (% of one core):", 100 * clientProcessorSeconds / metrics.duration),
            String(repeating: "=", count: 50),
        ]
        if metrics.isClientLimited {
            lines.append("CLIENT-LIMITED: requests were sent late; these latencies are not the server's alone.")
        }
        return lines
    }

    private var loadDescription: String {
        if setup.isClosedLoop { return "closed loop" }
        guard setup.arrival.rate.isFinite else { return "open loop, all at once" }
        return switch setup.arrival.burstiness {
        case 1: "open loop, Poisson"
        case .infinity: "open loop, constant"
        default: "open loop, gamma \(setup.arrival.burstiness)"
        }
    }

    private func rows(of section: Section) -> [String] {
        let percentiles = setup.percentiles.map { percent in
            row("P\(Self.percentileName(percent)) \(section.name) (ms):", section.summary.percentile(percent))
        }
        return [
            section.heading.centered(in: 50, fill: "-"),
            row("Mean \(section.name) (ms):", section.summary.mean),
            row("Median \(section.name) (ms):", section.summary.median),
        ] + percentiles
    }

    private func row(_ label: String, _ value: Int) -> String { row(label, String(value)) }
    private func row(_ label: String, _ value: Double) -> String { row(label, value.fixed(2)) }
    private func row(_ label: String, _ value: String) -> String {
        label.padded(to: 40) + " " + value.padded(to: 10)
    }
}
