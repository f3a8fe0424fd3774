import Foundation
import LMConformance
import Testing

/// Stands between the suite and a good server and makes it a broken one. A defect is what it does to the frames.
final class DefectProxy {
    /// Where it listens.
    let address: String
    private let listener: Int32

    /// - Parameter port: of the server, on this machine.
    init(port: UInt16, defect: Defect) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.listener = listener
        var address = loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try #require(withSockaddr(&address) { bind(listener, $0, length) } == 0 && listen(listener, 64) == 0)
        try #require(withSockaddr(&address) { getsockname(listener, $0, &length) } == 0)
        self.address = "127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        Thread.detachNewThread {
            while case let client = accept(listener, nil, nil), client >= 0 {
                let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
                var upstream = loopback(port: port)
                _ = withSockaddr(&upstream) { connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
                Thread.detachNewThread { DefectiveConnection(client, server, defect).run() }
            }
        }
    }

    deinit {
        // Wakes the thread that accepts; the number is free once it has left.
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
}

/// One connection through the proxy, on a thread of its own.
final class DefectiveConnection {
    private let client, server: Int32
    private let defect: Defect
    private var fromClient: ArraySlice<UInt8> = []
    private var fromServer: ArraySlice<UInt8> = []
    private var prefaceCount = 0
    private var isClientOpen = true
    private var isServerOpen = true
    private var isOver = false
    private var hasServerSpoken = false
    /// What a socket did not take yet. A proxy that waited to write would keep both ends from reading.
    private var unwritten: [Int32: ArraySlice<UInt8>] = [:]
    /// Frames that the defect remembers.
    var memory: [String: Frame] = [:]

    private static let preface: [UInt8] = [0x89, 0x4C, 0x4D, 0x43, 0x0D, 0x0A, 0x1A, 0x0A]

    init(_ client: Int32, _ server: Int32, _ defect: Defect) {
        (self.client, self.server, self.defect) = (client, server, defect)
        var on: Int32 = 1
        for descriptor in [client, server] {
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }
    }

    deinit {
        for descriptor in [client, server] {
            // A program that was started meanwhile may have inherited the socket, and would keep it open.
            shutdown(descriptor, Int32(SHUT_RDWR))
            close(descriptor)
        }
    }

    /// Ends the connection without a word.
    func end() { isOver = true }

    /// Sends frames that the server never wrote.
    func answer(_ frames: Frame...) { write(frames.flatMap(\.bytes), to: client) }

    /// Works until the connection is over and what was said has been passed on and read.
    func run() {
        pass()
        shutdown(server, Int32(SHUT_RDWR))
        linger()
    }

    private func pass() {
        while !isOver || isWriting(to: client) {
            var entries = [
                pollfd(fd: client, events: events(client, isOpen: isClientOpen && !isOver), revents: 0),
                pollfd(fd: server, events: events(server, isOpen: isServerOpen && !isOver), revents: 0),
            ]
            for index in entries.indices where entries[index].events == 0 { entries[index].fd = -1 }
            // A connection that both sides forgot ends with the test.
            guard poll(&entries, 2, 60_000) > 0 else { return }
            if entries[0].revents & ~Int16(POLLOUT) != 0, isClientOpen, !isOver { takeFromClient() }
            if entries[1].revents & ~Int16(POLLOUT) != 0, isServerOpen, !isOver { takeFromServer() }
            flush(client)
            flush(server)
        }
    }

    /// Waits for the client to have read: closing with unread input would reset the connection and could destroy the last words.
    private func linger() {
        shutdown(client, Int32(SHUT_WR))
        let deadline = ContinuousClock.now + .seconds(5)
        var entry = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
        while isClientOpen, ContinuousClock.now < deadline, poll(&entry, 1, 5_000) > 0 {
            isClientOpen = read(client) != nil
        }
    }

    private func events(_ descriptor: Int32, isOpen: Bool) -> Int16 {
        Int16((isOpen ? POLLIN : 0) | (isWriting(to: descriptor) ? POLLOUT : 0))
    }

    private func isWriting(to descriptor: Int32) -> Bool { unwritten[descriptor]?.isEmpty == false }

    private func takeFromClient() {
        guard let bytes = read(client) else {
            isClientOpen = false
            isOver = !isServerOpen || defect.kind == .closesOnHalfClose
            write(fromClient, to: server)
            return
        }
        fromClient += bytes
        while prefaceCount < Self.preface.count, !fromClient.isEmpty {
            let byte = fromClient.removeFirst()
            write([defect.kind == .repairsPreface ? Self.preface[prefaceCount] : byte], to: server)
            prefaceCount += 1
        }
        forward(&fromClient, to: server, defect.toServer)
    }

    private func takeFromServer() {
        guard let bytes = read(server) else {
            isServerOpen = false
            write(fromServer, to: client)
            if defect.kind == .answersSilence, !hasServerSpoken {
                answer(Frame(FrameType.error, 0, [1, 0, 0, 0, 0, 0, 0, 0]))
            }
            isOver = defect.kind != .neverCloses
            return
        }
        fromServer += bytes
        hasServerSpoken = true
        forward(&fromServer, to: client, defect.toClient)
    }

    /// Passes on what is complete. A payload that is too long to wait for is passed on as it comes.
    private func forward(
        _ bytes: inout ArraySlice<UInt8>, to descriptor: Int32, _ change: (DefectiveConnection, Frame) -> [Frame]
    ) {
        while !isOver {
            if let length = Frame.payloadLength(bytes), length > (memory.isEmpty ? 4_096 : 1_114_112) {
                write(bytes, to: descriptor)
                return bytes = []
            }
            guard let frame = Frame(takenFrom: &bytes) else { return }
            let frames = change(self, frame)
            if frame.type == FrameType.hello { memory["HELLO from \(descriptor)"] = frame }
            write(frames.flatMap(\.bytes), to: descriptor)
        }
    }

    /// Nil at the end.
    private func read(_ descriptor: Int32) -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return [] }
        return count > 0 ? Array(chunk[..<count]) : nil
    }

    /// What was written in a turn leaves at its end: a system call for each frame of a flood would take too long.
    private func write(_ bytes: some Sequence<UInt8>, to descriptor: Int32) {
        unwritten[descriptor, default: []] += bytes
    }

    /// Writes what the socket takes; then, to the server, that the client has nothing more to say.
    private func flush(_ descriptor: Int32) {
        while let rest = unwritten[descriptor], !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EAGAIN { return }
            unwritten[descriptor] = count > 0 ? rest.dropFirst(count) : []
        }
        if descriptor == server, !isClientOpen { shutdown(server, Int32(SHUT_WR)) }
    }
}

private func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
}

private func withSockaddr<Result>(
    _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> Result
) -> Result {
    withUnsafeMutablePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
}
