import Glibc
import LMTransport
import Synchronization
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5))) struct ListenerTests {
    @Test func aPortInUseSaysSoAndWhatToDo() throws {
        let loop = try EventLoop(name: "test")
        let first = try Listener(at: loopback, on: loop)
        let error = #expect(throws: TransportError.self) { try Listener(at: first.address, on: loop) }
        #expect(error?.code == .addressInUse)
        #expect(
            error?.description == "listening on \(first.address): Address already in use. "
                + "Stop the program that listens there (see ss -ltnp) or choose another port.")
    }

    @Test func anAddressOfAnotherMachineIsRefused() throws {
        let loop = try EventLoop(name: "test")
        let error = #expect(throws: TransportError.self) {
            try Listener(at: .ipv4(0xC000_0201, port: 0), on: loop)
        }
        #expect(error?.code == .badAddress)
    }

    @Test func aDeadConnectionInTheQueueIsPassedOver() throws {
        let system = ScriptedSystem(ScriptedSystem.Script(accepts: [-ECONNABORTED, -EINTR, -EPROTO]))
        let server = try TestServer(system: system) { .echo() }
        let peer = try Peer(to: server.address)
        peer.send([5])
        #expect(peer.receive(1) == [5])
    }

    /// Out of descriptors: one connection is shed, the listener rests, later ones are served.
    @Test func runningOutOfDescriptorsNeitherSpinsNorDies() throws {
        let system = ScriptedSystem(ScriptedSystem.Script(accepts: [-EMFILE]))
        let server = try TestServer(system: system) { .echo() }
        let shed = try Peer(to: server.address)
        #expect(shed.receive(1).isEmpty)
        let served = try Peer(to: server.address)
        served.send([5])
        #expect(served.receive(1) == [5])
        // One real accept shed the first, one took the second, one found the queue empty.
        #expect(system.script.withLock { $0.realAccepts } <= 3)
    }

    @Test func aUnixSocketServesAndIsRemoved() throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.path + "/socket"
        for _ in 0..<2 {
            let server = try TestServer(at: .unix(path)) { .echo() }
            let peer = try Peer(to: .unix(path))
            peer.send(pattern(100_000))
            #expect(peer.receive(100_000).elementsEqual(pattern(100_000)))
            // Somebody answers there: the path is not stale.
            let error = #expect(throws: TransportError.self) { try Listener(at: .unix(path), on: server.loop) }
            #expect(error?.code == .addressInUse)
            server.loop.stop()
            #expect(access(path, F_OK) != 0)
        }
    }

    @Test func aStaleUnixSocketIsReplacedAndAFileIsNot() throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.path + "/socket"
        let system = LinuxSystem()
        let killed = system.openSocket(for: .unix(path))
        #expect(system.bind(killed, to: .unix(path)) == 0)
        system.close(killed)
        let loop = try EventLoop(name: "test")
        let listener = try Listener(at: .unix(path), on: loop)
        try listener.start { _ in }
        listener.close()

        close(open(path, O_CREAT | O_WRONLY, 0o600))
        #expect(throws: TransportError.self) { try Listener(at: .unix(path), on: loop) }
        #expect(access(path, F_OK) == 0)
    }

    @Test func refusedConnectionsSayWhatToCheck() throws {
        let loop = try EventLoop(name: "test")
        let client = Recorder()
        loop.post {
            // A name with several addresses: each is tried before giving up. The kernel never gives out this port: a freed one
            // may be another test's by now.
            _ = Channel(connectingTo: .host("localhost", port: 1), on: loop, handler: client)
        }
        try loop.start()
        defer { loop.stop() }
        guard case .closed(let error?) = client.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .unreachable)
        #expect(error.description.hasSuffix("Check that the server runs and listens on this address."))
    }

    @Test func unknownNamesAreUnresolved() throws {
        let loop = try EventLoop(name: "test")
        let client = Recorder()
        loop.post { _ = Channel(connectingTo: .host("no-such-host.invalid", port: 1), on: loop, handler: client) }
        try loop.start()
        defer { loop.stop() }
        guard case .closed(let error?) = client.told.next() else {
            Issue.record("the connection was made")
            return
        }
        #expect(error.code == .unresolved)
    }
}

@Suite struct AddressTests {
    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80", true), ("[::1]:8080", "[::1]:8080", true), ("0.0.0.0:0", "0.0.0.0:0", false),
        ("[2001:db8::1]:65535", "[2001:db8::1]:65535", false), ("unix:/tmp/s", "unix:/tmp/s", true),
        ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true), ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1", false),
    ])
    func readsNumbers(text: String, description: String, isLoopback: Bool) throws {
        let address = try #require(try Endpoint(text).resolve().first)
        #expect(address.description == description)
        #expect(address.isLoopback == isLoopback)
    }

    @Test(arguments: [
        ("", "no port"), ("localhost", "no port"), (":80", "no host"), ("a:", "port is not a number"),
        ("a:65536", "port is not a number"), ("a:-1", "port is not a number"), ("a:+1", "port is not a number"),
        ("::1:80", "in brackets"), ("unix:", "1 to 107"), ("unix:" + String(repeating: "x", count: 108), "1 to 107"),
    ])
    func refusesWithTheReason(text: String, reason: String) {
        let error = #expect(throws: TransportError.self) { try Endpoint(text) }
        #expect(error?.code == .badAddress)
        #expect(error?.reason.contains(reason) == true)
        #expect(error?.advice == "Write HOST:PORT, [IPv6]:PORT or unix:PATH.")
    }

    @Test func looksNamesUp() throws {
        #expect(try Endpoint("localhost:80").resolve().allSatisfy(\.isLoopback))
    }
}
