import Glibc
import LMClient
import LMSupport
import Synchronization

/// Sends the requests of a load on their schedule and records what became of each.
struct LoadRunner: Sendable {
    let clients: [LMClient]
    let model: String
    let requests: [RandomWorkload.Request]
    /// Seconds from the start, ascending, one per request.
    let arrivals: [Double]
    let arrival: ArrivalProcess
    let maxConcurrency: Int?

    /// What a run yields.
    struct Outcome {
        let records: [RequestRecord]
        /// Seconds.
        let duration: Double
        /// Processor seconds of this program during the run.
        let processorSeconds: Double
    }

    func run() async -> Outcome {
        let tally = Tally(total: requests.count)
        let processorStart = Self.processorSeconds()
        let start = LMClient.now
        var records: [(index: Int, record: RequestRecord)] = []
        await withTaskGroup(of: (index: Int, record: RequestRecord).self) { group in
            for index in requests.indices {
                if let maxConcurrency, index - records.count >= maxConcurrency, let ended = await group.next() {
                    records.append(ended)
                }
                await sleep(until: arrivals[index], from: start)
                let due = arrival.rate.isFinite ? arrivals[index] : Self.seconds(since: start)
                group.addTask {
                    let record = await perform(index, due: due, start: start)
                    tally.count(record)
                    return (index, record)
                }
            }
            while let ended = await group.next() { records.append(ended) }
        }
        let duration = Self.seconds(since: start)
        tally.clear()
        return Outcome(
            records: records.sorted { $0.index < $1.index }.map(\.record), duration: duration,
            processorSeconds: Self.processorSeconds() - processorStart)
    }

    private func perform(_ index: Int, due: Double, start: UInt64) async -> RequestRecord {
        let planned = requests[index]
        var record = RequestRecord(
            arrival: arrivals[index], due: due, sent: Self.seconds(since: start), promptTokens: planned.prompt.count)
        var request = GenerateRequest(.tokens(planned.prompt))
        request.model = model
        request.sampling.temperature = 0
        request.stop.maxTokens = planned.outputLength
        request.stop.ignoresEndOfSequence = true
        do throws(LMError) {
            let stream = try await clients[index % clients.count].generate(request)
            record.sent = Self.seconds(from: start, to: stream.sent)
            try await follow(stream, start: start, into: &record)
        } catch {
            record.error = "\(error.code): \(error.message)"
            record.end = Self.seconds(since: start)
        }
        return record
    }

    private func follow(_ stream: TokenStream, start: UInt64, into record: inout RequestRecord) async throws(LMError) {
        var tokens = stream.makeAsyncIterator()
        var lastArrival: UInt64?
        while let token = try await tokens.next() {
            // Tokens of one frame share the moment of their arrival.
            if token.arrival == lastArrival {
                record.frameTokens[record.frameTokens.count - 1] += 1
            } else {
                record.frameTimes.append(Self.seconds(from: start, to: token.arrival))
                record.frameTokens.append(1)
                lastArrival = token.arrival
            }
        }
        guard let finish = stream.finish else { throw LMError(.internal, "the stream ended without saying how") }
        record.end = Self.seconds(from: start, to: finish.arrival)
        record.outputTokens = finish.usage.completionTokens
        record.serverQueue = finish.usage.queueTime / .seconds(1)
        record.serverPrefill = finish.usage.prefillTime / .seconds(1)
        record.serverDecode = finish.usage.decodeTime / .seconds(1)
        let received = record.frameTokens.reduce(0, +)
        guard received == record.outputTokens else {
            throw LMError(.internal, "the server counts \(record.outputTokens) tokens, \(received) arrived")
        }
    }

    private func sleep(until moment: Double, from start: UInt64) async {
        let wait = moment - Self.seconds(since: start)
        guard wait > 0 else { return }
        // Only cancellation ends a sleep early, and nothing cancels a load.
        try? await Task.sleep(for: .seconds(wait), tolerance: .zero)
    }

    private static func seconds(since start: UInt64) -> Double { seconds(from: start, to: LMClient.now) }

    private static func seconds(from start: UInt64, to end: UInt64) -> Double { Double(end - min(start, end)) / 1e9 }

    private static func processorSeconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}

/// Shows how far a run is.
private final class Tally: Sendable {
    private let counts = Mutex((done: 0, failed: 0))
    private let line = ProgressLine()
    private let total: Int

    init(total: Int) { self.total = total }

    func count(_ record: RequestRecord) {
        let (done, failed) = counts.withLock { counts in
            counts.done += 1
            counts.failed += record.error == nil ? 0 : 1
            return counts
        }
        line.show("\(done) of \(total) requests done, \(failed) failed")
    }

    func clear() { line.clear() }
}
