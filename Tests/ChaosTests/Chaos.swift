import ChaosKit
import Glibc
import LMClient
import ProgramKit
import TestKit
import Testing

/// Real programs under faults: what each fault may do to a stream, and what it must never do.
///
/// The ordinary run is the short form. The long form, and the replay of one seed, are asked for by the environment:
///
///     LM_CHAOS_ROUNDS=1000 swift test --filter ChaosTests      rounds of every seeded test, and what takes minutes
///     LM_CHAOS_SEED=17 LM_CHAOS_ROUNDS=1 swift test --filter ChaosTests/theTestThatFailed
///
/// A failure names its seed; the seed draws all faults of its round.
@Suite(.serialized, .timeLimit(.minutes(60))) struct ChaosTests {
    /// The seeds of one test.
    ///
    /// - Parameter short: how many the ordinary run takes.
    static func seeds(_ short: Int) -> Range<UInt64> {
        let first = number("LM_CHAOS_SEED") ?? 0
        return first..<first + (number("LM_CHAOS_ROUNDS") ?? UInt64(short))
    }

    /// Whether there is time for faults that are found only after half a minute.
    static var isLong: Bool { number("LM_CHAOS_ROUNDS") != nil }

    private static func number(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}

/// A server with the tiny model, a way to it without faults, and requests whose answers are known.
struct Site {
    let model: TinyModelFile
    let server: Server
    /// Goes around every proxy.
    let direct: LMClient

    /// - Parameters:
    ///   - options: of `lmserve`.
    ///   - change: to the configuration of `direct`.
    init(
        _ options: [String] = [], shell: String? = nil, _ change: (inout ClientConfiguration) -> Void = { _ in }
    ) throws {
        model = try TinyModelFile()
        server = try Server(options, model: model.path, shell: shell)
        direct = try Self.client(server.address, change)
    }

    var port: UInt16 { server.address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0 }

    /// A client that repeats and resumes nothing.
    static func client(
        _ address: String, _ change: (inout ClientConfiguration) -> Void = { _ in }
    ) throws -> LMClient {
        var configuration = ClientConfiguration(endpoint: address)
        configuration.retry = .none
        configuration.resumesStreams = false
        change(&configuration)
        return try LMClient(configuration)
    }

    /// Counters and gauges.
    func statistics() async throws -> [String: UInt64] {
        Dictionary(uniqueKeysWithValues: try await direct.statistics().map { ($0.name, $0.value) })
    }

    /// One of them.
    func statistic(_ name: String) async throws -> UInt64 { try #require(try await statistics()[name]) }

    /// Waits until no request is left, and checks that it left nothing behind.
    func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let isIdle = try await eventually {
            let now = try await statistics()
            return now["requests_running"] == 0 && now["requests_waiting"] == 0 && now["kv_blocks_owned"] == 0
        }
        let now = try await statistics()
        #expect(isIdle, "\(now)", sourceLocation: sourceLocation)
        let (free, cached) = (now["kv_blocks_free"] ?? 0, now["kv_blocks_cached"] ?? 0)
        #expect(now["kv_blocks_total"] == free + cached, "\(now)", sourceLocation: sourceLocation)
    }
}

/// Asks until it is so.
///
/// - Returns: false when it was not so within the limit.
func eventually(
    within limit: Duration = .seconds(30), _ condition: () async throws -> Bool
) async rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { return false }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return true
}
