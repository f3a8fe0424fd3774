extension LoadReport {
    /// The result file: vLLM's keys with vLLM's meanings; ours are under "x".
    ///
    /// - Parameter date: when the run started, as `YYYYmmdd-HHMMSS`.
    package func json(date: String) -> JSONValue {
        var members: [String: JSONValue] = [
            "date": .string(date),
            "endpoint_type": .string("lmcall"),
            "backend": .string("lmcall"),
            "label": .null,
            "model_id": .string(setup.model),
            "tokenizer_id": .string(setup.model),
            "num_prompts": .integer(setup.promptCount),
            "request_rate": .number(setup.arrival.rate),
            "burstiness": .number(setup.arrival.burstiness),
            "max_concurrency": setup.maxConcurrency.map { .integer($0) } ?? .null,
            "duration": .number(metrics.duration),
            "completed": .integer(metrics.completed),
            "failed": .integer(metrics.failed),
            "total_input_tokens": .integer(metrics.inputTokens),
            "total_output_tokens": .integer(metrics.outputTokens),
            "request_throughput": .number(metrics.requestThroughput),
            "request_goodput": .null,
            "output_throughput": .number(metrics.outputThroughput),
            "total_token_throughput": .number(metrics.totalTokenThroughput),
            "max_output_tokens_per_s": .number(metrics.peakOutputTokensPerSecond),
            "max_concurrent_requests": .integer(metrics.peakConcurrentRequests),
            "input_lens": .array(records.map { .integer($0.promptTokens) }),
            "output_lens": .array(records.map { .integer($0.error == nil ? $0.outputTokens : 0) }),
            "ttfts": .array(records.map { .number($0.timeToFirstToken) }),
            "itls": .array(records.map { .array($0.interTokenLatencies.map { .number($0) }) }),
            "latencies": .array(records.map { .number($0.latency) }),
            "start_times": .array(records.map { .number($0.sent) }),
            "queue_times": .array(records.map { .number($0.clientQueueTime) }),
            "errors": .array(records.map { .string($0.error ?? "") }),
            "x": own,
        ]
        for section in sections { add(section, to: &members) }
        return .object(members)
    }

    private var own: JSONValue {
        var members: [String: JSONValue] = [
            "schema_version": .integer(1),
            "closed_loop": .boolean(setup.isClosedLoop),
            "client_limited": .boolean(metrics.isClientLimited),
            "client_cpu_s": .number(clientProcessorSeconds),
            "p99_send_delay_ms": .number(metrics.slip.percentile(99)),
            "stalls": .integer(metrics.stallCount),
            "stalled_ms": .number(metrics.stallMilliseconds),
            "mean_server_queue_ms": .number(metrics.serverQueue.mean),
            "mean_server_prefill_ms": .number(metrics.serverPrefill.mean),
            "mean_server_decode_ms": .number(metrics.serverDecode.mean),
        ]
        add(dueSection, to: &members)
        return .object(members)
    }

    private func add(_ section: Section, to members: inout [String: JSONValue]) {
        members["mean_\(section.key)_ms"] = .number(section.summary.mean)
        members["median_\(section.key)_ms"] = .number(section.summary.median)
        members["std_\(section.key)_ms"] = .number(section.summary.standardDeviation)
        for percent in setup.percentiles {
            members["p\(Self.percentileName(percent))_\(section.key)_ms"] = .number(section.summary.percentile(percent))
        }
    }
}
