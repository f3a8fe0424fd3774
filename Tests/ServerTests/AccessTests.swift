import Glibc
import LMEngine
import LMProtocol
import LMServer
import LMTransport
import TestKit
import Testing

/// Keys and roles, certificates, users of this machine, and what a reload changes.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AccessTests {
    private let alice = "alice-0123456789abcdef"
    private let admin = "admin-0123456789abcdef"

    private func server(_ file: TestKeyFile) throws -> TestServer {
        let keys = try APIKeys(file: file.path)
        return try TestServer { $0.keys = keys }
    }

    private func statistic(_ name: String, _ client: RawClient) throws -> UInt64? {
        guard case .reply(_, .statistics(let values)) = try client.ask(.statistics) else { return nil }
        return values.first { $0.name == name }?.value
    }

    @Test("statistics are for the role admin, all else is for both") func roles() throws {
        let file = TestKeyFile("alice:\(alice)\nops:\(admin):admin\n")
        let server = try server(file)
        let client = try server.client(credential: alice)
        guard case .error(_, let error) = try client.ask(.statistics) else {
            Issue.record("statistics were told")
            return
        }
        #expect(error.code == .forbidden && error.message.contains("admin"))
        for call in [CallMessage.health, .models, .tokenize(.text("a"), model: nil), .detokenize([97], model: nil)] {
            guard case .reply = try client.ask(call) else {
                Issue.record("\(call) was refused")
                continue
            }
        }
        let operations = try server.client(credential: admin)
        #expect(try statistic("connections", operations) == 2)
        let answer = try operations.collect(operations.generate(.greedy("in", maxTokens: 3)))
        #expect(answer.tokens.count == 3)
    }

    @Test("request ids tell nothing about other requests") func requestIDs() throws {
        let server = try TestServer()
        let client = try server.client()
        var ids: [[UInt8]] = []
        for _ in 0..<50 {
            let stream = try client.generate(.greedy("in", maxTokens: 1))
            var action = try client.next()
            reading: while true {
                if case .finish(stream, _) = action { break reading }
                if case .accept(stream, let message) = action { ids.append(Array((message.requestID ?? "").utf8)) }
                action = try client.next()
            }
        }
        #expect(ids.allSatisfy { $0.count == 32 } && Set(ids).count == 50)
        // Every digit varies: with fifty ids, one that does not by chance is one in 10^58.
        for position in 0..<32 { #expect(Set(ids.map { $0[position] }).count > 1, "digit \(position)") }
    }

    @Test("a key that the file holds as a digest opens the connection") func digests() throws {
        let made = try APIKeys.generate(name: "alice", role: .infer)
        let server = try server(TestKeyFile(made.line))
        #expect(try RawClient(port: server.port).refusal(credential: made.key) == nil)
        // The digest is no key.
        let digest = String(made.line.dropFirst("alice:sha256:".count))
        #expect(try RawClient(port: server.port).refusal(credential: digest)?.code == .unauthenticated)
    }

    @Test("a key lives until the end of its last day") func expiry() throws {
        var now = time(nil)
        var today = tm()
        gmtime_r(&now, &today)
        var text = [CChar](repeating: 0, count: 32)
        let length = strftime(&text, text.count, "%Y-%m-%d", &today)
        let day = String(decoding: text.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let server = try server(TestKeyFile("alice:\(alice):until=\(day)\nold:\(admin):admin:until=2020-02-29\n"))
        #expect(try RawClient(port: server.port).refusal(credential: alice) == nil)
        #expect(try RawClient(port: server.port).refusal(credential: admin)?.code == .unauthenticated)
    }

    @Test("failures are counted, and whoever keeps guessing waits") func guessing() throws {
        let file = TestKeyFile("ops:\(admin):admin\n")
        let keys = try APIKeys(file: file.path)
        let server = try TestServer {
            $0.keys = keys
            $0.limits.failureRate = .init(perSecond: 1.0 / 3_600, burst: 2)
        }
        for guess in ["", "wrong-0123456789abcdef", "wrong-0123456789abcdeg"] {
            let begin = ContinuousClock.now
            #expect(try RawClient(port: server.port).refusal(credential: guess)?.code == .unauthenticated)
            if guess.hasSuffix("g") { #expect(ContinuousClock.now - begin > .milliseconds(900)) }
        }
        #expect(try statistic("authentication_failures_total", server.client(credential: admin)) == 3)
    }

    @Test("a reload ends what a revoked key opened, and nothing else") func revocation() throws {
        let file = TestKeyFile("alice:\(alice)\nops:\(admin):admin\n")
        let server = try server(file)
        let revoked = try server.client(credential: alice)
        _ = try revoked.generate(.greedy("parked", maxTokens: 20, credit: 2))
        let kept = try server.client(credential: admin)
        let stream = try kept.generate(.greedy("parked", maxTokens: 20, credit: 2))
        #expect(server.wait { $0.parked == 2 })

        let next = "alice-fedcba9876543210"
        file.replace(with: "alice:\(next)\nops:\(admin):admin\n")
        try server.server.reload()
        var code: ErrorCode?
        while code == nil { if case .error(0, let message) = try revoked.next() { code = message.code } }
        #expect(code == .unauthenticated)
        #expect(server.wait { $0.parked == 1 })
        #expect(try RawClient(port: server.port).refusal(credential: alice)?.code == .unauthenticated)
        #expect(try RawClient(port: server.port).refusal(credential: next) == nil)

        try kept.send { (wire, bytes) throws(WireError) in
            try wire.sendCredit(on: stream, CreditMessage(limit: .max, consumed: 0), into: &bytes)
        }
        #expect(try kept.collect(stream).tokens.count == 20)
        #expect(try statistic("reloads_total", kept) == 1)
    }

    @Test("a bad file changes nothing, and is counted") func badReload() throws {
        let file = TestKeyFile("ops:\(admin):admin\n")
        let server = try server(file)
        let client = try server.client(credential: admin)
        file.replace(with: "ops:\(admin):admin\nrubbish\n")
        let error = #expect(throws: ServerError.self) { try server.server.reload() }
        #expect(error?.message.contains("line 2") == true)
        #expect(try statistic("reload_failures_total", client) == 1)
        #expect(try statistic("reload_failures_total", server.client(credential: admin)) == 1)
    }

    @Test("a reload may take a role away") func demotion() throws {
        let file = TestKeyFile("ops:\(admin):admin\n")
        let server = try server(file)
        let client = try server.client(credential: admin)
        file.replace(with: "ops:\(admin)\n")
        try server.server.reload()
        // A question takes effect after the reload only if it comes to the loop after it: hence until it does.
        while case .reply = try client.ask(.statistics) { usleep(1_000) }
    }

    @Test("new connections meet the new certificate, open ones go on, a bad file changes nothing")
    func certificates() throws {
        let old = try TestCertificates()
        let new = try TestCertificates()
        let (certificate, key) = (old.directory + "/served.pem", old.directory + "/served-key.pem")
        func serve(_ files: TestCertificates) {
            for (from, to) in [(files.certificate, certificate), (files.key, key)] {
                unlink(to)
                symlink(from, to)
            }
        }
        serve(old)
        let server = try TestServer { $0.tls = .init(certificate: certificate, privateKey: key) }
        func trusting(_ files: TestCertificates) throws -> TLSContext {
            try .client(authorityFile: files.certificate, applicationProtocol: Connection.alpn)
        }
        let endpoint = Endpoint.host("localhost", port: server.port)
        let open = try SlowQuestioner(endpoint, trusting(old))
        defer { open.stop() }
        #expect(open.began.wait())

        unlink(certificate)
        #expect(throws: ServerError.self) { try server.server.reload() }
        #expect(try ask(endpoint, trusting(old)) == .answered(tokens: 60))

        serve(new)
        try server.server.reload()
        #expect(try ask(endpoint, trusting(new)) == .answered(tokens: 60))
        guard case .refused = try ask(endpoint, trusting(old)) else {
            Issue.record("the old certificate is still served")
            return
        }
        open.goOn()
        #expect(open.ended.wait())
    }

    @Test("with a client authority, a certificate is asked for and is enough") func clientCertificates() throws {
        let files = try TestCertificates()
        let server = try TestServer {
            var tls = ServerConfiguration.TLSFiles(certificate: files.certificate, privateKey: files.key)
            tls.clientAuthority = files.client
            $0.tls = tls
        }
        let endpoint = Endpoint.host("localhost", port: server.port)
        func showing(_ certificate: String?) throws -> TLSContext {
            try .client(
                authorityFile: files.certificate,
                credentials: certificate.map { .init(certificateFile: $0, keyFile: files.key) },
                applicationProtocol: Connection.alpn)
        }
        #expect(try ask(endpoint, showing(files.client)) == .answered(tokens: 60))
        for wrong in [nil, files.certificate] {
            guard case .refused = try ask(endpoint, showing(wrong)) else {
                Issue.record("\(wrong ?? "nothing") was taken for a certificate of the client authority's")
                continue
            }
        }
    }

    @Test("the server's own user needs no key on a Unix-domain socket") func localUser() throws {
        let path = "/tmp/lmcall-access-test-\(getpid())"
        let file = TestKeyFile("alice:\(alice)\n")
        let keys = try APIKeys(file: file.path)
        let server = try TestServer {
            $0.keys = keys
            $0.listen = ["127.0.0.1:0", "unix:\(path)"]
        }
        #expect(try ask(.unix(path), nil) == .answered(tokens: 60))
        #expect(try RawClient(port: server.port).refusal()?.code == .unauthenticated)
    }
}

/// Which addresses are served with which protection: {loopback, this network, any} x {TLS} x {proof of identity} x
/// {IPv4, IPv6, Unix-domain}.
@Suite struct ExposureTests {
    enum Reach: CaseIterable { case loopback, network, any }
    enum Family: CaseIterable { case ipv4, ipv6, unix }

    private static let addresses: [Reach: [Family: String]] = [
        .loopback: [.ipv4: "127.0.0.1:0", .ipv6: "[::1]:0"],
        .network: [.ipv4: "192.168.1.5:0", .ipv6: "[fd00::5]:0"],
        .any: [.ipv4: "0.0.0.0:0", .ipv6: "[::]:0"],
    ]

    @Test(arguments: Reach.allCases, Family.allCases) func isServedOnlyWithProtection(reach: Reach, family: Family)
        throws
    {
        let file = TestKeyFile("alice:0123456789abcdef\n")
        let text = Self.addresses[reach]?[family] ?? "unix:/run/lmserve.sock"
        let addresses = try Endpoint(text).resolve()
        for hasTLS in [false, true] {
            for hasProof in [false, true] {
                // Keys prove who a client is, and so do certificates, which need TLS.
                for byCertificate in hasTLS && hasProof ? [false, true] : [false] {
                    var configuration = ServerConfiguration()
                    if hasTLS {
                        configuration.tls = .init(certificate: "c.pem", privateKey: "k.pem")
                        if byCertificate { configuration.tls?.clientAuthority = "ca.pem" }
                    }
                    if hasProof, !byCertificate { configuration.keys = try APIKeys(file: file.path) }
                    let isServed = reach == .loopback || family == .unix || hasTLS && hasProof
                    let refusal = configuration.exposure(of: addresses)
                    #expect((refusal == nil) == isServed, "\(text), TLS \(hasTLS), proof \(hasProof)")
                    // An address among others does not hide.
                    let loopback = try Endpoint("127.0.0.1:0").resolve()
                    #expect((configuration.exposure(of: loopback + addresses) == nil) == isServed)
                }
            }
        }
    }

    @Test(
        "a server does not start where strangers would reach it", arguments: ["0.0.0.0:0", "[::]:0", "192.168.1.5:0"])
    func refusesToStart(address: String) throws {
        #expect {
            try TestServer { $0.listen = ["127.0.0.1:0", address] }
        } throws: { "\($0)".contains("--tls-cert") && "\($0)".contains("--api-key-file") }
    }
}
