import LMSupport
import Testing

/// Three requests whose figures can be worked out by hand, and one that failed.
private let records: [RequestRecord] = {
    func record(_ sent: Double, _ frames: [(Double, Int)], end: Double) -> RequestRecord {
        var record = RequestRecord(arrival: sent, due: sent, sent: sent, promptTokens: 10)
        record.frameTimes = frames.map(\.0)
        record.frameTokens = frames.map(\.1)
        record.outputTokens = frames.reduce(0) { $0 + $1.1 }
        record.end = end
        record.serverPrefill = 0.25
        return record
    }
    var failure = RequestRecord(arrival: 0, due: 0, sent: 0, promptTokens: 10)
    failure.error = "overloaded"
    return [
        record(0, [(0.5, 1), (0.75, 1), (1.0, 2)], end: 1.0),
        record(0.5, [(1.0, 1), (1.5, 1)], end: 1.5),
        record(1.5, [(1.75, 1)], end: 2.0),
        failure,
    ]
}()

private func report(rate: Double = .infinity, limit: Int? = 2, _ records: [RequestRecord] = records) -> LoadReport {
    LoadReport(
        setup: .init(
            promptCount: 4, model: "m", arrival: ArrivalProcess(rate: rate), maxConcurrency: limit,
            percentiles: [50, 99]), records: records, duration: 2, clientProcessorSeconds: 0.5)
}

@Suite struct LoadReportTests {
    @Test func theBlockIsVLLMs() {
        let block = report().text.split(separator: "\n").map(String.init).prefix { !$0.hasPrefix("Load:") }
        #expect(block.allSatisfy { $0.count == ($0.hasPrefix("-") || $0.hasPrefix("=") ? 50 : 51) })
        let trimmed = block.map { line in String(line.reversed().drop { $0 == " " }.reversed()) }
        #expect(
            trimmed.joined(separator: "\n") == """
                ============ Serving Benchmark Result ============
                Successful requests:                     3
                Failed requests:                         1
                Maximum request concurrency:             2
                Benchmark duration (s):                  2.00
                Total input tokens:                      30
                Total generated tokens:                  7
                Request throughput (req/s):              1.50
                Output token throughput (tok/s):         3.50
                Peak output token throughput (tok/s):    5.00
                Peak concurrent requests:                2.00
                Total token throughput (tok/s):          18.50
                ---------------Time to First Token----------------
                Mean TTFT (ms):                          416.67
                Median TTFT (ms):                        500.00
                P50 TTFT (ms):                           500.00
                P99 TTFT (ms):                           500.00
                -----Time per Output Token (excl. 1st token)------
                Mean TPOT (ms):                          333.33
                Median TPOT (ms):                        333.33
                P50 TPOT (ms):                           333.33
                P99 TPOT (ms):                           496.67
                ---------------Inter-token Latency----------------
                Mean ITL (ms):                           333.33
                Median ITL (ms):                         250.00
                P50 ITL (ms):                            250.00
                P99 ITL (ms):                            495.00
                ----------------End-to-end Latency----------------
                Mean E2EL (ms):                          833.33
                Median E2EL (ms):                        1000.00
                P50 E2EL (ms):                           1000.00
                P99 E2EL (ms):                           1000.00
                ---------------Client-side Queueing---------------
                Mean Client Queue Time (ms):             0.00
                Median Client Queue Time (ms):           0.00
                P50 Client Queue Time (ms):              0.00
                P99 Client Queue Time (ms):              0.00
                ==================================================
                """)
    }

    @Test func sectionsFollowTheLoadAsInVLLM() {
        #expect(!report(limit: nil).text.contains("Client-side Queueing"))
        let both = report(rate: 4, limit: 2).text
        #expect(both.contains("--------Queue-inclusive End-to-end Latency--------"))
        #expect(both.contains("Request rate configured (RPS):           4.00"))
        #expect(both.contains("open loop, Poisson"))
        #expect(report().text.contains("closed loop"))
    }

    @Test func aLateHarnessIsStampedAndItsDelayIsNotHidden() {
        var late = records
        late[0].due = -1
        late[0].arrival = -1
        let text = report(rate: 4, limit: nil, late).text
        #expect(text.contains("CLIENT-LIMITED"))
        #expect(text.contains("P99 planned TTFT (ms):                   1480.00"))
        #expect(!report().text.contains("CLIENT-LIMITED"))
    }

    @Test func theFileHasVLLMsKeys() throws {
        guard case .object(let members) = report().json(date: "20260101-000000") else {
            Issue.record("not an object")
            return
        }
        #expect(members["request_rate"] == .number(.infinity))
        #expect(members["total_output_tokens"] == .integer(7))
        #expect(members["p99_itl_ms"] == .number(495))
        #expect(
            members["itls"]
                == .array([.array([.number(0.25), .number(0.25)]), .array([.number(0.5)]), .array([]), .array([])]))
        #expect(members["output_lens"] == .array([.integer(4), .integer(2), .integer(1), .integer(0)]))
        for key in ["std_ttft_ms", "median_tpot_ms", "mean_e2el_ms", "p50_client_queue_time_ms", "queue_times", "x"] {
            #expect(members[key] != nil, "\(key)")
        }
        #expect(try JSONText.line(JSONValue.object(members)).contains(#""request_rate":"inf""#))
    }

    @Test func nothingCompletedIsAllZeros() {
        let text = report([records[3]]).text
        #expect(text.contains("Failed requests:                         1"))
        #expect(text.contains("P99 TTFT (ms):                           0.00"))
    }
}
