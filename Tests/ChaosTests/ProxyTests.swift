import ChaosKit
import TestKit
import Testing

/// The proxy does what its plans say: each fault is seen by plain sockets at both ends.
@Suite(.timeLimit(.minutes(5))) struct ProxyTests {
    private let sent = (0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }

    /// A client and a server with the proxy between them.
    private struct Ends {
        let proxy: ChaosProxy
        let client: PlainSocket
        let server: PlainSocket

        init(_ plan: LinkPlan) throws {
            let listener = try PlainListener()
            proxy = try ChaosProxy(to: listener.port) { _ in plan }
            client = try PlainSocket(to: proxy.port)
            server = try listener.accept()
        }
    }

    @Test func withoutAPlanEverythingArrivesInOrder() async throws {
        let ends = try Ends(LinkPlan())
        try ends.client.send(sent)
        try ends.server.send(sent.reversed())
        #expect(try ends.server.receive(sent.count) == sent)
        #expect(try ends.client.receive(sent.count) == sent.reversed())
        #expect(await eventually { ends.proxy.records.map(\.toServer) == [sent.count] })
        #expect(await eventually { ends.proxy.records.map(\.toClient) == [sent.count] })
    }

    @Test func aHalfCloseIsPassedOnAndTheOtherDirectionLives() throws {
        let ends = try Ends(LinkPlan())
        try ends.client.send([1, 2, 3])
        ends.client.endOutput()
        #expect(try ends.server.receiveAll() == [1, 2, 3])
        try ends.server.send(sent)
        #expect(try ends.client.receive(sent.count) == sent)
    }

    @Test func aResetIsPassedOn() throws {
        let ends = try Ends(LinkPlan())
        ends.client.reset()
        #expect(throws: PlainSocket.Reset.self) { try ends.server.receiveAll() }
    }

    @Test(arguments: [0, 1, 777, 4_999])
    func aCutComesAfterExactlySoManyBytes(offset: Int) throws {
        let ends = try Ends(LinkPlan(toServer: FaultPlan(after: offset, .reset)))
        #expect(throws: PlainSocket.Reset.self) {
            try ends.client.send(sent)
            _ = try ends.client.receiveAll()
        }
        #expect(try ends.server.receive(offset) == sent[..<offset].map { $0 })
        #expect(throws: PlainSocket.Reset.self) { try ends.server.receiveAll() }
        #expect(ends.proxy.records.map(\.toServer) == [offset])
    }

    @Test func aCloseEndsBothSidesInGoodOrder() throws {
        let ends = try Ends(LinkPlan(toClient: FaultPlan(after: 1_000, .close)))
        try ends.server.send(sent)
        #expect(try ends.client.receiveAll() == sent[..<1_000].map { $0 })
        #expect(try ends.server.receiveAll() == [])
    }

    @Test func anEndOfOutputLeavesTheOtherDirectionOpen() throws {
        let ends = try Ends(LinkPlan(toServer: FaultPlan(after: 10, .endOutput)))
        try ends.client.send(sent)
        #expect(try ends.server.receiveAll() == sent[..<10].map { $0 })
        try ends.server.send(sent)
        #expect(try ends.client.receive(sent.count) == sent)
    }

    @Test func exactlyTheChosenByteIsFlipped() throws {
        let ends = try Ends(LinkPlan(toClient: FaultPlan(after: 4_321, .flip(0x10))))
        try ends.server.send(sent)
        var expected = sent
        expected[4_321] ^= 0x10
        #expect(try ends.client.receive(sent.count) == expected)
    }

    @Test func piecesArriveOneByOne() throws {
        var plan = FaultPlan()
        plan.piece = 3
        plan.gap = .milliseconds(20)
        let ends = try Ends(LinkPlan(toServer: plan))
        let start = ContinuousClock.now
        try ends.client.send([UInt8](repeating: 1, count: 12))
        var reads: [Int] = []
        while reads.reduce(0, +) < 12 { reads.append(try ends.server.receiveSome().count) }
        #expect(reads.allSatisfy { $0 % 3 == 0 }, "\(reads)")
        #expect(ContinuousClock.now - start >= .milliseconds(60))
    }

    @Test func gatheredBytesArriveTogether() throws {
        var plan = FaultPlan()
        plan.gather = 300
        let ends = try Ends(LinkPlan(toServer: plan))
        for byte in 0..<100 { try ends.client.send([UInt8(byte)]) }
        #expect(try ends.server.receive(100) == (0..<100).map { UInt8($0) })
        for _ in 0..<3 { try ends.client.send([UInt8](repeating: 1, count: 100)) }
        #expect(try ends.server.receive(300).count == 300)
    }

    @Test func timeIsTakenWhereThePlanSaysSo() throws {
        var slow = FaultPlan()
        slow.rate = 10_000
        var late = FaultPlan()
        late.delay = .milliseconds(150)
        for plan in [FaultPlan(after: 1_500, .stall(.milliseconds(150))), slow, late] {
            let ends = try Ends(LinkPlan(toServer: plan))
            let start = ContinuousClock.now
            try ends.client.send(sent[..<2_000].map { $0 })
            #expect(try ends.server.receive(2_000) == sent[..<2_000].map { $0 })
            #expect(ContinuousClock.now - start >= .milliseconds(140), "\(plan)")
        }
    }

    @Test func aSlowDirectionHoldsItsSenderUp() throws {
        let ends = try Ends(LinkPlan(toServer: FaultPlan(after: 0, .stall(.seconds(3_600)))))
        let accepted = ends.client.sendUntilFull(limit: 64 << 20)
        #expect(accepted < 64 << 20)
    }

    @Test func cutAllResetsEveryConnection() throws {
        let ends = try Ends(LinkPlan())
        try ends.client.send([1])
        #expect(try ends.server.receive(1) == [1])
        ends.proxy.cutAll()
        #expect(throws: PlainSocket.Reset.self) { try ends.client.receiveAll() }
        #expect(throws: PlainSocket.Reset.self) { try ends.server.receiveAll() }
    }

    @Test func aServerThatIsAwayIsAReset() throws {
        let port = try PlainListener().port
        let proxy = try ChaosProxy(to: port)
        let client = try PlainSocket(to: proxy.port)
        #expect(throws: PlainSocket.Reset.self) { try client.receiveAll() }
    }

    @Test func equalSeedsGiveEqualPlansThatAllStrikeOnce() throws {
        for seed in 0..<200 {
            var (one, other) = (TestRandom(seed: UInt64(seed)), TestRandom(seed: UInt64(seed)))
            let plan = LinkPlan.lossy(toServer: 100, toClient: 5_000, using: &one)
            #expect(plan == LinkPlan.lossy(toServer: 100, toClient: 5_000, using: &other))
            let ends = [plan.toServer, plan.toClient].flatMap(\.faults).filter { [.close, .reset].contains($0.kind) }
            #expect(ends.count == 1)
        }
    }
}
