internal import Glibc

/// A blocking socket that a test holds in its hands. Reading gives up after half a minute.
package final class PlainSocket: Sendable {
    /// The peer reset the connection.
    package struct Reset: Error {}

    private let descriptor: Int32

    fileprivate init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Connects to a port of this machine.
    ///
    /// - Parameter receiveBuffer: bytes that the kernel may keep for us; nil for its default.
    package convenience init(to port: UInt16, receiveBuffer: Int32? = nil) throws {
        self.init(try Sockets.connect(to: port, receiveBuffer: receiveBuffer))
    }

    deinit { close(descriptor) }

    /// Sends all of it.
    ///
    /// - Throws: `Reset` when the peer is gone.
    package func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw Reset() }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends until the peer's side takes no more for a moment.
    ///
    /// - Returns: how many bytes it took; `limit` at most.
    package func sendUntilFull(limit: Int) -> Int {
        let chunk = [UInt8](repeating: 0, count: 65_536)
        var (total, refusals) = (0, 0)
        while total < limit, refusals < 5 {
            let count = Glibc.send(descriptor, chunk, chunk.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            if count > 0 {
                total += count
            } else {
                refusals += 1
                usleep(50_000)
            }
        }
        return total
    }

    /// Waits for the next bytes; empty at the end of the stream.
    ///
    /// - Throws: `Reset`, or `Sockets.Failure` when nothing comes.
    package func receiveSome(limit: Int = 65_536) throws -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &chunk, limit, 0)
        guard count >= 0 else { throw errno == ECONNRESET ? Reset() : Sockets.Failure("receiving") }
        return Array(chunk[..<count])
    }

    /// Exactly so many bytes, or fewer when the stream ends before.
    package func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receiveSome(limit: count - bytes.count)
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    /// Everything up to the end of the stream.
    package func receiveAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receiveSome()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    /// Whether the peer has ended the connection, one way or the other. Does not wait.
    package var isEnded: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count == 0 || count < 0 && errno != EAGAIN
    }

    /// Says that we write no more.
    package func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Makes the peer see a reset. The socket is of no use afterwards.
    package func reset() {
        // Connecting to nowhere is how a socket that others still name is reset.
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        var nowhere = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }
}

/// A listening socket that a test accepts from.
package final class PlainListener: Sendable {
    /// Where it listens.
    package let port: UInt16
    private let descriptor: Int32

    /// Listens on a free port of this machine.
    package init() throws { (descriptor, port) = try Sockets.listen() }

    deinit { close(descriptor) }

    /// Waits for the next connection.
    package func accept() throws -> PlainSocket {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 30_000) == 1, let socket = Sockets.accept(descriptor, isWaiting: true) else {
            throw Sockets.Failure("accepting")
        }
        return PlainSocket(socket)
    }
}
