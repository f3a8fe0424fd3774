import ChaosKit
import Glibc
import LMClient
import ProgramKit
import TestKit
import Testing

extension ChaosTests {
    /// Connections that are killed again and again under streams that must not notice.
    @Suite struct ResumeTests {
        /// The first connections of a seed are killed at random bytes, of the handshake as of the last frame, on a network
        /// that splits, delays and stalls; then one lives.
        @Test(arguments: [false, true])
        func aConnectionKilledAtRandomBytesGivesTheTextOfAnUninterruptedRun(isEncrypted: Bool) async throws {
            let certificates = isEncrypted ? try TestCertificates() : nil
            let options = certificates.map { ["--tls-cert", $0.certificate, "--tls-key", $0.key] } ?? []
            let tls = certificates.map { ClientConfiguration.TLS(authorityFile: $0.certificate) }
            let site = try Site(options) { $0.tls = tls }
            let known = try await KnownRequest.make(3, tokens: 150, from: site.direct)
            var (killed, whole) = (0, 0)
            for seed in ChaosTests.seeds(isEncrypted ? 15 : 45) {
                let proxy = try ChaosProxy(to: site.port) { Self.plan(seed: seed, connection: $0) }
                let client = try Site.client(proxy.address) {
                    $0.tls = tls
                    $0.resumesStreams = true
                    $0.retry.limit = 10
                    $0.retry.initialDelay = .milliseconds(1)
                    // Small, so that the end of a stream is not long since on its way when the first token is read.
                    $0.window = 32
                }
                let verdicts = await known.checkAll(over: client)
                #expect(verdicts == [.whole, .whole, .whole], "LM_CHAOS_SEED=\(seed): \(proxy.records)")
                client.shutdown()
                whole += verdicts.count { $0 == .whole }
                killed += proxy.records.count { record in record.faults.contains { $0.kind.isDeadly } }
            }
            #expect(killed > 0)
            try await site.expectNothingLeft()
            print("chaos: \(killed) connections killed\(isEncrypted ? " under TLS" : ""), \(whole) texts whole")
        }

        @Test(
            "what a client that never returns left behind is given up within two minutes",
            .enabled(if: ChaosTests.isLong, "only in the long form"))
        func neverReturns() async throws {
            let site = try Site()
            let calls = try (0..<8).map { number in
                try site.server.startCall("--raw", "--ignore-eos", "--max-tokens", "1000000", "the \(number)")
            }
            for call in calls { _ = try #require(call.output { !$0.isEmpty }, "the answer did not start") }
            for call in calls { call.send(SIGKILL) }
            #expect(
                try await eventually(within: .seconds(120)) { try await site.statistic("kv_blocks_owned") == 0 })
            try await site.expectNothingLeft()
        }

        private static func plan(seed: UInt64, connection: Int) -> LinkPlan {
            var random = TestRandom(seed: seed)
            // No more than the client's retry budget allows, should all strike before a request is accepted.
            let deaths = 1 + random.below(3)
            guard connection < deaths else { return LinkPlan() }
            random = TestRandom(seed: seed &+ UInt64(connection + 1) << 32)
            return .lossy(toServer: 800, toClient: 12_000 / deaths, using: &random)
        }
    }
}

extension FaultPlan.Kind {
    /// Whether it ends the connection.
    var isDeadly: Bool { self == .reset || self == .close }
}
