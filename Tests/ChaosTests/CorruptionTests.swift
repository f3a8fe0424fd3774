import ChaosKit
import LMClient
import ProgramKit
import TestKit
import Testing

extension ChaosTests {
    /// A network that changes what is sent.
    @Suite struct CorruptionTests {
        @Test func aCorruptedByteUnderTLSIsNeverAToken() async throws {
            let certificates = try TestCertificates()
            let site = try Site(["--tls-cert", certificates.certificate, "--tls-key", certificates.key]) {
                $0.tls = .init(authorityFile: certificates.certificate)
            }
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            let size = try await Self.size(of: known, at: site) {
                $0.tls = .init(authorityFile: certificates.certificate)
            }
            var failed = 0
            for seed in ChaosTests.seeds(40) {
                let proxy = try ChaosProxy(to: site.port) { number in
                    number == 0 ? Self.flip(within: size, seed: seed) : LinkPlan()
                }
                let client = try Site.client(proxy.address) { $0.tls = .init(authorityFile: certificates.certificate) }
                let verdict = await known.check(over: client)
                #expect(!verdict.isWrong, "LM_CHAOS_SEED=\(seed): \(verdict)")
                if verdict != .whole { failed += 1 }
                client.shutdown()
            }
            #expect(failed > 0)
            try await site.expectNothingLeft()
        }

        /// Shows that the checker would have seen it: without TLS, a changed byte becomes a wrong token.
        @Test func theCheckerSeesACorruptedByteWithoutTLS() async throws {
            let site = try Site()
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            let size = try await Self.size(of: known, at: site)
            let seen = await withTaskGroup(of: Verdict.self) { group in
                for seed in UInt64(0)..<20 {
                    group.addTask {
                        guard
                            let proxy = try? ChaosProxy(
                                to: site.port, plan: { _ in Self.flip(within: size, seed: seed) }),
                            let client = try? Site.client(proxy.address)
                        else { return .failed(.configuration) }
                        defer { client.shutdown() }
                        return await known.check(over: client)
                    }
                }
                for await verdict in group where verdict.isWrong {
                    // A flipped length leaves its reader waiting for bytes that never come.
                    group.cancelAll()
                    return true
                }
                return false
            }
            #expect(seen)
        }

        /// How many bytes each direction carries when nothing happens.
        private static func size(
            of known: KnownRequest, at site: Site, _ change: (inout ClientConfiguration) -> Void = { _ in }
        ) async throws -> ChaosProxy.Record {
            let proxy = try ChaosProxy(to: site.port)
            let client = try Site.client(proxy.address, change)
            defer { client.shutdown() }
            #expect(await known.check(over: client) == .whole)
            return try #require(proxy.records.first)
        }

        /// One bit of one byte, three times in four of what the server sends.
        private static func flip(within size: ChaosProxy.Record, seed: UInt64) -> LinkPlan {
            var random = TestRandom(seed: seed)
            let kind = FaultPlan.Kind.flip(1 << random.below(8))
            return random.below(4) == 0
                ? LinkPlan(toServer: FaultPlan(after: random.below(size.toServer), kind))
                : LinkPlan(toClient: FaultPlan(after: random.below(size.toClient), kind))
        }
    }
}
