import LMProtocol
import LMServer
import LMTransport
import Testing

/// Each limit of `ServerLimits` on who may connect.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AdmissionTests {
    private func source(_ text: String) throws -> Source {
        let address = try #require(SocketAddress(numericHost: text, port: 1))
        return Source(address)
    }

    @Test("connectionsPerSource and strangersPerSource") func sources() throws {
        var limits = ServerLimits()
        limits.connectionsPerSource = 4
        limits.strangersPerSource = 2
        let admission = Admission(limits)
        let peer = try source("192.0.2.1")
        #expect(admission.enter(from: peer) && admission.enter(from: peer))
        #expect(!admission.enter(from: peer), "two strangers are there")
        #expect(admission.enter(from: try source("192.0.2.2")))
        #expect(admission.admit(7, from: peer) == nil && admission.admit(7, from: peer) == nil)
        #expect(admission.enter(from: peer) && admission.enter(from: peer))
        #expect(admission.admit(7, from: peer) == nil && admission.admit(7, from: peer) == nil)
        #expect(!admission.enter(from: peer), "four connections are there")
        admission.leave(7, from: peer)
        #expect(admission.enter(from: peer))
        admission.leave(nil, from: peer)
        for _ in 0..<3 { admission.leave(7, from: peer) }
        #expect(admission.total == 1)
    }

    @Test("an IPv6 customer is one source, this machine is none") func whatASourceIs() throws {
        #expect(try source("2001:db8::1") == source("2001:db8::ffff:2"))
        #expect(try source("2001:db8::1") != source("2001:db8:0:1::1"))
        #expect(try source("::ffff:192.0.2.1") == source("192.0.2.1"))
        var limits = ServerLimits()
        limits.connectionsPerSource = 1
        limits.strangersPerSource = 1
        let admission = Admission(limits)
        for text in ["127.0.0.1", "127.9.9.9", "::1"] {
            let local = try source(text)
            #expect(admission.enter(from: local) && admission.enter(from: local))
        }
        #expect(admission.enter(from: Source(.unix("/run/s"))) && admission.enter(from: Source(.unix("/run/s"))))
    }

    @Test("strangers: whoever says nothing does not take places for ever") func strangers() throws {
        let server = try TestServer { $0.limits.strangers = 2 }
        let silent = [try RawClient(port: server.port), try RawClient(port: server.port)]
        let third = try RawClient(port: server.port)
        try third.waitForEnd()
        #expect(try silent[0].refusal() == nil)
        // A place of a stranger is free now.
        #expect(try RawClient(port: server.port).refusal() == nil)
        #expect(try silent[1].refusal() == nil)
    }

    @Test("connections: a full server says so, and has room again when somebody leaves") func connections() throws {
        let server = try TestServer { $0.limits.connections = 2 }
        var clients = [try server.client(), try server.client()]
        let refusal = try RawClient(port: server.port).refusal()
        #expect(refusal?.code == .overloaded && refusal?.isRetryable == true && refusal?.retryAfter == 1_000)
        clients.removeLast()
        while try RawClient(port: server.port).refusal() != nil {}
        #expect(try clients[0].collect(clients[0].generate(.greedy("in", maxTokens: 3))).tokens.count == 3)
    }

    @Test("connectionsPerTenant") func tenants() throws {
        let file = TestKeyFile("alice:alice-0123456789abcdef\nalice:alice-1123456789abcdef\nbob:bob-0123456789abcdef\n")
        let keys = try APIKeys(file: file.path)
        let server = try TestServer {
            $0.keys = keys
            $0.limits.connectionsPerTenant = 2
        }
        let first = try server.client(credential: "alice-0123456789abcdef")
        let second = try server.client(credential: "alice-1123456789abcdef")
        let refusal = try RawClient(port: server.port).refusal(credential: "alice-0123456789abcdef")
        #expect(refusal?.code == .rateLimited && refusal?.isRetryable == true)
        #expect(try RawClient(port: server.port).refusal(credential: "bob-0123456789abcdef") == nil)
        for client in [first, second] {
            #expect(try client.collect(client.generate(.greedy("in", maxTokens: 3))).tokens.count == 3)
        }
    }

    @Test("failureRate is for each source, and the memory of sources is bounded") func failures() throws {
        var limits = ServerLimits()
        limits.failureRate = .init(perSecond: 1, burst: 2)
        let admission = Admission(limits)
        let second: UInt64 = 1_000_000_000
        let guesser = try source("192.0.2.1")
        #expect(!admission.isGuessing(guesser, now: 0) && !admission.isGuessing(guesser, now: 0))
        #expect(admission.isGuessing(guesser, now: 0))
        #expect(try !admission.isGuessing(source("192.0.2.2"), now: 0))
        #expect(!admission.isGuessing(guesser, now: second))
        #expect(admission.isGuessing(guesser, now: second))
        // Others come and go: those that are not guessing are forgotten first.
        for host in 0..<UInt32(5_000) { _ = admission.isGuessing(Source(.ipv4(host, port: 1)), now: second) }
        #expect(try admission.isGuessing(source("::ffff:0.0.0.1"), now: second) == false)
    }
}
