import COpenSSL
import Glibc
import LMTransport
import TestKit
import Testing

/// The rules for using OpenSSL that a review checks one by one. What `TLSTests` shows already is not repeated here.
@Suite(.timeLimit(.minutes(5))) final class TLSChecklistTests {
    private let files: TestCertificates

    init() throws { files = try TestCertificates() }

    private func context(requiresTLS13: Bool = false) throws -> TLSContext {
        try .server(
            .init(certificateFile: files.certificate, keyFile: files.key), requiresTLS13: requiresTLS13,
            applicationProtocol: lmcall)
    }

    private func server(system: any System = LinuxSystem(), _ handler: @escaping @Sendable () -> Recorder) throws
        -> TestServer
    {
        try TestServer(system: system, tls: context(), handler: handler)
    }

    private func connected(to server: TestServer, version: Int32 = TLS1_3_VERSION) throws -> TLSPeer {
        let peer = try TLSPeer(to: server.address, version: version)
        try #require(peer.handshake())
        return peer
    }

    @Test("1: a reset while writing raises no signal") func signals() throws {
        let server = try server {
            let recorder = Recorder()
            recorder.onReady = { channel in
                channel.write { $0.append(contentsOf: [UInt8](repeating: 0, count: 8_000_000)) }
            }
            return recorder
        }
        defer { withExtendedLifetime(server) {} }
        for _ in 0..<4 {
            let peer = try connected(to: server)
            #expect(peer.read(1) == [0])
            peer.peer.reset()
        }
        #expect(try connected(to: server).read(100).count == 100)
    }

    @Test("2: a write that blocked goes on although its buffer has moved") func movingBuffer() throws {
        let loop = try EventLoop(name: "test-moving")
        let listener = try Listener(at: loopback, on: loop)
        let tls = try context()
        let blocked = Waiting<Void>()
        try listener.start { socket in
            let recorder = Recorder()
            recorder.onReady = { channel in
                channel.write { $0.append(contentsOf: [UInt8](repeating: 3, count: 12_000_000)) }
            }
            recorder.onWritability = { channel in
                guard channel.isCongested else { return }
                // Larger than the buffer's capacity can be: it is allocated anew.
                channel.write { $0.append(contentsOf: [UInt8](repeating: 7, count: 1_000_000)) }
                blocked.put(())
            }
            _ = Channel(accepted: socket, on: loop, tls: tls, handler: recorder)
        }
        try loop.start()
        defer { loop.stop() }
        let peer = try TLSPeer(to: listener.address, version: TLS1_3_VERSION, receiveBuffer: 4_096)
        #expect(peer.handshake())
        #expect(blocked.next() != nil)
        // A difference would be computed for minutes if `==` were given the arrays.
        let (first, rest) = (peer.read(12_000_000), peer.read(1_000_000))
        #expect(Set(first) == [3] && first.count == 12_000_000)
        #expect(Set(rest) == [7] && rest.count == 1_000_000)
    }

    @Test("4: bytes that OpenSSL holds are delivered although the socket is empty") func pendingBytes() throws {
        let server = try server {
            Recorder { channel, bytes in
                channel.write { $0.append(contentsOf: bytes) }
                channel.pauseReading()
                channel.loop.schedule(after: .milliseconds(1)) { channel.resumeReading() }
                // Takes a part, so that the rest has to be offered again.
                return bytes.count
            }
        }
        defer { withExtendedLifetime(server) {} }
        let peer = try connected(to: server)
        peer.write(pattern(150_000))
        #expect(peer.read(150_000).elementsEqual(pattern(150_000)))
    }

    @Test("5: a failed session leaves no error behind for the next one", arguments: ["garbage", "reset", "protocol"])
    func errorQueue(failure: String) throws {
        let handler = Recorder()
        let server = try server { handler }
        defer { withExtendedLifetime(server) {} }
        switch failure {
        case "garbage":
            let peer = try Peer(to: server.address)
            peer.send("no TLS at all".utf8)
        case "reset":
            let peer = try connected(to: server)
            peer.peer.reset()
        default: _ = try TLSPeer(to: server.address, version: TLS1_3_VERSION, offer: "h2").handshake()
        }
        #expect(handler.closing() != nil)
        let queued = Waiting<UInt>()
        server.loop.post { queued.put(ERR_peek_error()) }
        #expect(queued.next() == 0)
    }

    @Test("6: a broken session is not used again") func brokenSession() throws {
        let handler = Recorder()
        let server = try server { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try connected(to: server)
        #expect(handler.told.next() == .ready)
        // A record that no key has sealed.
        peer.peer.send([0x17, 3, 3, 0, 32] + [UInt8](repeating: 0xAA, count: 32))
        guard case .closed(let error?) = handler.closing() else {
            Issue.record("the record was taken")
            return
        }
        #expect(error.code == .tls)
        // The alert that OpenSSL sent when it failed, then the end: no close_notify of a session that is broken.
        #expect(peer.read(1).isEmpty)
        #expect(SSL_get_shutdown(peer.session) & SSL_RECEIVED_SHUTDOWN == 0 || ERR_peek_error() != 0)
        ERR_clear_error()
    }

    @Test("8: a server that requires TLS 1.3 refuses TLS 1.2") func minimumVersion() throws {
        let server = try TestServer(tls: context(requiresTLS13: true)) { .echo() }
        defer { withExtendedLifetime(server) {} }
        #expect(try !TLSPeer(to: server.address, version: TLS1_2_VERSION).handshake())
        #expect(try TLSPeer(to: server.address, version: TLS1_3_VERSION).handshake())
    }

    @Test("8: nothing is compressed", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func compression(version: Int32) throws {
        let server = try server { .echo() }
        defer { withExtendedLifetime(server) {} }
        let peer = try connected(to: server, version: version)
        #expect(SSL_get_current_compression(peer.session) == nil)
    }

    @Test(
        "8: a flood of key updates or renegotiations ends the connection", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func lateHandshakes(version: Int32) throws {
        let handler = Recorder.echo()
        let server = try server { handler }
        defer { withExtendedLifetime(server) {} }
        let peer = try connected(to: server, version: version)
        /// One message that makes the server work, and a byte that shows whether it still serves.
        func provoke() -> Bool {
            if version == TLS1_3_VERSION {
                guard SSL_key_update(peer.session, SSL_KEY_UPDATE_REQUESTED) == 1 else { return false }
            } else {
                guard SSL_renegotiate(peer.session) == 1 else { return false }
                SSL_do_handshake(peer.session)
                ERR_clear_error()
            }
            return peer.write([1])
        }
        var served = 0
        while served < 1_000, provoke() { served += 1 }
        guard case .closed(let error?) = handler.closing() else {
            Issue.record("\(served) were taken")
            return
        }
        if version == TLS1_3_VERSION { #expect(error.reason.contains("the limit is 32"), "\(error)") }
        ERR_clear_error()
    }

    @Test("8: a few key updates are in order") func keyUpdates() throws {
        let server = try server { .echo() }
        defer { withExtendedLifetime(server) {} }
        let peer = try connected(to: server)
        for _ in 0..<20 {
            #expect(SSL_key_update(peer.session, SSL_KEY_UPDATE_REQUESTED) == 1)
            peer.write(pattern(1_000))
            #expect(peer.read(1_000).elementsEqual(pattern(1_000)))
        }
    }

    @Test("9: no session is resumed and no early data taken", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func resumption(version: Int32) throws {
        let server = try server { .echo() }
        defer { withExtendedLifetime(server) {} }
        let first = try connected(to: server, version: version)
        first.write([1])
        #expect(first.read(1) == [1])
        let session = try #require(SSL_get1_session(first.session))
        defer { SSL_SESSION_free(session) }
        #expect(SSL_SESSION_has_ticket(session) == 0)
        #expect(SSL_SESSION_get_max_early_data(session) == 0)
        let second = try TLSPeer(to: server.address, version: version)
        SSL_set_session(second.session, session)
        #expect(second.handshake())
        #expect(SSL_session_reused(second.session) == 0)
    }

    @Test("12, 13: two loops share a context that its owner has let go") func sharedContext() throws {
        var shared: TLSContext? = try context()
        let servers = [
            try TestServer(tls: shared) { .echo() }, try TestServer(tls: shared) { .echo() },
        ]
        defer { withExtendedLifetime(servers) {} }
        let peers = try (0..<20).map { try connected(to: servers[$0 % 2]) }
        shared = nil
        for peer in peers { peer.write(pattern(50_000)) }
        for peer in peers {
            let isWhole = peer.read(50_000).elementsEqual(pattern(50_000))
            #expect(isWhole)
        }
    }

    @Test("14: a turn of the loop signs for four clients at most") func handshakeBudget() throws {
        let loop = try EventLoop(name: "test-by-hand")
        defer { loop.stop() }
        let listener = try Listener(at: loopback, on: loop)
        let tls = try context()
        try listener.start { _ = Channel(accepted: $0, on: loop, tls: tls, handler: Recorder()) }
        let peers = try (0..<12).map { _ in try TLSPeer(to: listener.address, version: TLS1_3_VERSION) }
        loop.turn()
        // The sockets are blocking; a limit of a millisecond makes the handshake return once it has said hello.
        for peer in peers {
            peer.peer.setReceiveLimit(microseconds: 1_000)
            _ = peer.handshake()
        }
        var answered = 0
        for _ in 0..<100 where answered < peers.count {
            loop.turn(canWait: false)
            let now = peers.count { $0.peer.hasInput }
            #expect(now - answered <= 4)
            answered = now
        }
        #expect(answered == peers.count)
    }

    @Test("15: OpenSSL reads no further than the record it is in") func readAhead() throws {
        let sizes = Waiting<Int>()
        let system = ScriptedSystem(
            ScriptedSystem.Script(onReceive: { _, size in
                sizes.put(size)
                return size
            }))
        let server = try server(system: system) { .echo() }
        defer { withExtendedLifetime(server) {} }
        let peer = try connected(to: server)
        peer.write([1])
        #expect(peer.read(1) == [1])
        // A record's head.
        #expect(sizes.next() == 5)
    }
}
