import ChaosKit
import LMClient
import ProgramKit
import TestKit
import Testing

extension ChaosTests {
    /// A network that is slow and uneven, or loses connections.
    @Suite struct NetworkTests {
        private let site: Site

        init() throws { site = try Site() }

        @Test func anUnevenNetworkChangesNothing() async throws {
            let known = try await KnownRequest.make(4, tokens: 100, from: site.direct)
            for seed in ChaosTests.seeds(12) {
                let proxy = try ChaosProxy(to: site.port) { number in
                    var random = TestRandom(seed: seed &+ UInt64(number) << 32)
                    return LinkPlan(
                        toServer: .uneven(span: 300, using: &random), toClient: .uneven(span: 6_000, using: &random))
                }
                let client = try Site.client(proxy.address)
                #expect(
                    await known.checkAll(over: client) == [.whole, .whole, .whole, .whole], "LM_CHAOS_SEED=\(seed)")
                client.shutdown()
            }
            try await site.expectNothingLeft()
        }

        @Test func oneByteAtATimeGivesTheSameAnswer() async throws {
            let known = try await KnownRequest(1, tokens: 200, from: site.direct)
            var plan = FaultPlan()
            plan.piece = 1
            plan.gap = .microseconds(20)
            let proxy = try ChaosProxy(to: site.port) { [plan] _ in LinkPlan(toServer: plan, toClient: plan) }
            let client = try Site.client(proxy.address)
            #expect(await known.check(over: client) == .whole)
            client.shutdown()
        }

        @Test func aClientThatWritesNoMoreGetsItsWholeAnswer() async throws {
            let known = try await KnownRequest(1, tokens: 120, from: site.direct)
            let proxy = try ChaosProxy(to: site.port)
            // So large, and the answer so short, that the client reports nothing: what it sends is always the same.
            let client = try Site.client(proxy.address) { $0.window = 1_000 }
            #expect(await known.check(over: client) == .whole)
            // The same bytes again, and then the end of them, before the first token is there.
            let asked = try #require(proxy.records.first?.toServer)
            client.shutdown()
            for _ in 0..<3 {
                let proxy = try ChaosProxy(to: site.port) { _ in LinkPlan(toServer: FaultPlan(after: asked, .endOutput))
                }
                let client = try Site.client(proxy.address) { $0.window = 1_000 }
                #expect(await known.check(over: client) == .whole)
                #expect(await eventually { proxy.records.first?.faults.count == 1 })
                client.shutdown()
            }
            try await site.expectNothingLeft()
        }

        @Test func aLostConnectionIsARightBeginningAndLeavesNothingBehind() async throws {
            let known = try await KnownRequest.make(4, tokens: 100, from: site.direct)
            for seed in ChaosTests.seeds(20) {
                var random = TestRandom(seed: seed)
                let plan = LinkPlan.lossy(toServer: 300, toClient: 6_000, using: &random)
                let proxy = try ChaosProxy(to: site.port) { _ in plan }
                let client = try Site.client(proxy.address)
                let verdicts = await known.checkAll(over: client)
                #expect(!verdicts.contains { $0.isWrong }, "LM_CHAOS_SEED=\(seed): \(verdicts)")
                client.shutdown()
            }
            try await site.expectNothingLeft()
        }

        @Test(
            "who reads 1 KiB a second, or nothing, stops his own streams and no others",
            arguments: [FaultPlan(bytesPerSecond: 1_024), FaultPlan(after: 1_000, .stall(.seconds(3_600)))])
        func slowReader(plan: FaultPlan) async throws {
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            let before = try Footprint(of: site.server.process.id)
            let proxy = try ChaosProxy(to: site.port, receiveBuffer: 4_096) { _ in LinkPlan(toClient: plan) }
            let slow = try Site.client(proxy.address) { $0.window = 1 << 24 }
            let readers = (0..<4).map { number in
                // Twenty alternatives a token: the socket is full the sooner.
                var request = KnownRequest.request(number, tokens: 1_000_000)
                request.sampling.logprobs = 20
                return Task { [request] in try await slow.generate(request).collect() }
            }
            #expect(try await eventually(within: .seconds(120)) { try await site.statistic("requests_parked") == 4 })
            #expect(await known.check(over: site.direct) == .whole)
            #expect(try await site.statistic("requests_parked") == 4)
            let after = try Footprint(of: site.server.process.id)
            #expect(after.residentKiB < before.residentKiB + 65_536, "\(before) before, \(after) after")
            proxy.cutAll()
            for reader in readers { _ = await reader.result }
            slow.shutdown()
            try await site.expectNothingLeft()
        }

        @Test("half a request is given up after 30 s", .enabled(if: ChaosTests.isLong, "only in the long form"))
        func halfARequest() async throws {
            let known = try await KnownRequest(1, tokens: 100, from: site.direct)
            let plan = LinkPlan(toServer: FaultPlan(after: 60, .stall(.seconds(3_600))))
            let proxy = try ChaosProxy(to: site.port) { _ in plan }
            let client = try Site.client(proxy.address)
            #expect(await known.check(over: client) == .failed(.protocolViolation))
            client.shutdown()
            try await site.expectNothingLeft()
        }

        @Test(
            "who is cut off without a word is given up within two minutes",
            .enabled(if: ChaosTests.isLong, "only in the long form"))
        func halfOpen() async throws {
            #expect(try await site.statistic("requests_running") == 0)
            let before = try Footprint(of: site.server.process.id)
            let silence = FaultPlan(after: 600, .stall(.seconds(3_600)))
            let proxy = try ChaosProxy(to: site.port) { _ in LinkPlan(toServer: silence, toClient: silence) }
            let client = try Site.client(proxy.address)
            // A long prompt, so that nothing passes once it has.
            var request = KnownRequest.request(1, tokens: 1_000_000)
            request.prompt = .text(String(repeating: "the ", count: 100))
            let stream = try await client.generate(request)
            let isGone = try await eventually(within: .seconds(120)) {
                try await site.statistic("requests_running") == 0
                    && Footprint(of: site.server.process.id).descriptors <= before.descriptors
            }
            #expect(isGone)
            stream.cancel()
            client.shutdown()
            try await site.expectNothingLeft()
        }

        @Test func aStormOfConnectionsThatSayNothingLeavesHonestStreamsAlone() async throws {
            let known = try await KnownRequest.make(4, tokens: 200, from: site.direct)
            let before = try Footprint(of: site.server.process.id)
            async let verdicts = known.checkAll(over: site.direct)
            let port = site.port
            let storm = Task.detached {
                try (0..<600).map { number in
                    let socket = try PlainSocket(to: port)
                    // Half a greeting is no more than none.
                    if number % 3 == 1 { try socket.send([0x89, 0x4C]) }
                    if number % 3 == 2 { socket.reset() }
                    return socket
                }
            }
            #expect(await verdicts == [.whole, .whole, .whole, .whole])
            let sockets = try await storm.value
            #expect(await known[0].check(over: site.direct) == .whole)
            #expect(await eventually { sockets.allSatisfy(\.isEnded) })
            #expect(
                try await eventually { try Footprint(of: site.server.process.id).descriptors <= before.descriptors })
        }

        @Test func whenEveryoneVanishesAtOnceTheNextOneIsServed() async throws {
            let known = try await KnownRequest(1, tokens: 50, from: site.direct)
            let before = try Footprint(of: site.server.process.id)
            for _ in 0..<ChaosTests.seeds(3).count {
                let proxy = try ChaosProxy(to: site.port)
                let clients = try (0..<10).map { _ in try Site.client(proxy.address) }
                let readers = clients.flatMap { client in
                    (0..<8).map { number in
                        Task { try await client.generate(KnownRequest.request(number, tokens: 1_000_000)).collect() }
                    }
                }
                #expect(
                    try await eventually {
                        try await site.statistic("requests_running") + site.statistic("requests_waiting") == 80
                    })
                proxy.cutAll()
                #expect(await known.check(over: site.direct) == .whole)
                for reader in readers { await #expect(throws: LMError.self) { try await reader.value } }
                for client in clients { client.shutdown() }
            }
            try await site.expectNothingLeft()
            #expect(
                try await eventually { try Footprint(of: site.server.process.id).descriptors <= before.descriptors })
        }
    }
}
