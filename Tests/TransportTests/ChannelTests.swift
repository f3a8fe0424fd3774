import Glibc
import LMTransport
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5))) struct ChannelTests {
    @Test(arguments: [1, 2, 3, 7, 4095, 4096, 65535, 65536, 65537, 1_000_003])
    func echoesEverySize(count: Int) throws {
        let server = try TestServer { .echo() }
        let loop = try EventLoop(name: "test-client")
        try loop.start()
        defer { loop.stop() }
        let client = Recorder()
        let address = server.address
        loop.post {
            let channel = Channel(connectingTo: .host("127.0.0.1", port: address.port), on: loop, handler: client)
            channel.write { $0.append(contentsOf: pattern(count)) }
        }
        #expect(client.bytes(count).elementsEqual(pattern(count)))
    }

    @Test func echoesBytesThatComeOneByOne() throws {
        let server = try TestServer { .echo() }
        let peer = try Peer(to: server.address)
        for byte in pattern(300) {
            peer.send([byte])
            #expect(peer.receive(1) == [byte])
        }
    }

    @Test func keepsWhatTheHandlerLeaves() throws {
        let lines = Waiting<[UInt8]>()
        let server = try TestServer {
            Recorder { _, bytes in
                guard let end = bytes.lastIndex(of: 10) else { return 0 }
                lines.put(Array(bytes[...end]))
                return end + 1
            }
        }
        let peer = try Peer(to: server.address)
        for part in ["a", "b", "cd\ne", "f", "\n\n", "g\nh"] { peer.send(part.utf8) }
        var text: [UInt8] = []
        while text.count < 10, let line = lines.next() { text += line }
        #expect(String(decoding: text, as: UTF8.self) == "abcd\nef\n\ng\n")
    }

    @Test func closesAPeerWhoseBytesNobodyCanConsume() throws {
        var options = ChannelOptions()
        options.maximumUnconsumed = 1000
        let handler = Recorder { _, _ in 0 }
        let server = try TestServer(options: options) { handler }
        let peer = try Peer(to: server.address)
        peer.send(pattern(2000))
        guard case .closed(let error) = handler.closing() else {
            Issue.record("not closed")
            return
        }
        #expect(error?.code == .overflow)
    }

    /// Every second call is interrupted or would block, the others move very little.
    @Test func survivesShortAndInterruptedCalls() throws {
        let script = ScriptedSystem.Script(
            onSend: { call, size in [-Int(EINTR), 3, -Int(EAGAIN), min(size, 1000)][call % 4] },
            onReceive: { call, _ in [-Int(EINTR), 1, -Int(EAGAIN), 777][call % 4] })
        let server = try TestServer(system: ScriptedSystem(script)) { .echo() }
        let peer = try Peer(to: server.address)
        peer.send(pattern(100_000))
        #expect(peer.receive(100_000).elementsEqual(pattern(100_000)))
    }

    @Test func goesOnWritingAfterTheOthersHalfClose() throws {
        let handler = Recorder()
        handler.onEnd = { channel in channel.write { $0.append(contentsOf: pattern(500_000)) } }
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address)
        peer.send([1, 2, 3])
        peer.endOutput()
        #expect(peer.receive(500_000).elementsEqual(pattern(500_000)))
        peer.close()
        #expect(handler.told.next() == .ready)
        #expect(handler.bytes(3) == [1, 2, 3])
    }

    @Test func aResetClosesWithItsReason() throws {
        let handler = Recorder()
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address)
        #expect(handler.told.next() == .ready)
        peer.reset()
        guard case .closed(let error) = handler.closing() else {
            Issue.record("not closed")
            return
        }
        #expect(error?.code == .disconnected)
    }

    @Test func aResetWhilePausedCloses() throws {
        let handler = Recorder()
        handler.onReady = { $0.pauseReading() }
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address)
        #expect(handler.told.next() == .ready)
        peer.reset()
        #expect(handler.closing() != nil)
    }

    @Test func writesOncePerTurn() throws {
        let system = ScriptedSystem(ScriptedSystem.Script())
        let handler = Recorder { channel, bytes in
            for byte in bytes { channel.write { $0.append(byte) } }
            return bytes.count
        }
        let server = try TestServer(system: system) { handler }
        let peer = try Peer(to: server.address)
        for _ in 0..<10 {
            peer.send(pattern(1000))
            #expect(peer.receive(1000).elementsEqual(pattern(1000)))
        }
        // The peer may see its bytes split over several of the server's reads, hence turns; never more writes than those.
        let (sends, receives) = system.script.withLock { ($0.sends, $0.receives) }
        #expect(sends <= receives)
        #expect(sends < 100)
    }

    @Test func closingFlushesFirst() throws {
        let handler = Recorder { channel, bytes in
            channel.write { $0.append(contentsOf: pattern(3_000_000)) }
            channel.closeAfterFlush()
            channel.write { $0.append(contentsOf: [9, 9, 9]) }
            return bytes.count
        }
        var options = ChannelOptions()
        options.closeTimeout = .seconds(60)
        let server = try TestServer(options: options) { handler }
        let peer = try Peer(to: server.address)
        peer.send([1])
        // Unread input at closing must not reset the connection before the peer has read the rest.
        peer.send(pattern(100_000))
        let isWhole = peer.receive(4_000_000).elementsEqual(pattern(3_000_000))
        #expect(isWhole)
        peer.close()
        #expect(handler.closing() == .closed(nil))
    }

    @Test func aSlowReaderBoundsMemory() throws {
        let written = Atomic(0)
        let largest = Atomic(0)
        let total = 4 * 1024 * 1024
        let piece = [UInt8](repeating: 7, count: 64 * 1024)
        @Sendable func fill(_ channel: Channel) {
            while !channel.isCongested, written.load(ordering: .relaxed) < total {
                channel.write { $0 += piece }
                written.add(piece.count, ordering: .relaxed)
                if channel.pendingOutboundBytes > largest.load(ordering: .relaxed) {
                    largest.store(channel.pendingOutboundBytes, ordering: .relaxed)
                }
            }
        }
        let handler = Recorder()
        handler.onReady = fill
        handler.onWritability = fill
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address, receiveBuffer: 4096)
        #expect(peer.receive(total).count == total)
        #expect(largest.load(ordering: .relaxed) <= 256 * 1024 + 64 * 1024)
    }

    @Test func pausedInputStaysInTheKernel() throws {
        let channels = Waiting<Channel>()
        let handler = Recorder { channel, bytes in
            channel.pauseReading()
            channels.put(channel)
            return 1
        }
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address)
        peer.send([1, 2, 3])
        // Each resumption offers what the handler left, though no new byte arrives.
        for expected in [[1, 2, 3], [2, 3], [3]] as [[UInt8]] {
            #expect(handler.bytes(1) == expected)
            guard let channel = channels.next() else { return }
            server.loop.post { channel.resumeReading() }
        }
    }

    @Test func tellsOfClosingExactlyOnce() throws {
        let handler = Recorder { channel, bytes in
            channel.close()
            channel.close()
            channel.closeAfterFlush()
            return bytes.count
        }
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address)
        peer.send([1])
        #expect(handler.closing() == .closed(nil))
        server.loop.stop()
        #expect(handler.told.isEmpty)
    }
}
