internal import Glibc

/// What a read or a write came to.
enum Transfer {
    /// This many bytes moved.
    case moved(Int)
    /// Nothing moved until the socket is ready for this.
    case blocked(Readiness)
    /// The peer ended its side in good order.
    case ended
    /// The connection is broken.
    case failed(TransportError)
}

/// The two kinds of connection behind one face; an enum, because the set is closed and every byte passes here.
enum ByteStream {
    case plain(Socket)
    case tls(TLSSession)

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        switch self {
        case .plain(let socket): socket.read(into: buffer)
        case .tls(let session): session.read(into: buffer)
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        switch self {
        case .plain(let socket): socket.write(bytes)
        case .tls(let session): session.write(bytes)
        }
    }

    /// Tells the peer that nothing more will be written.
    func endOutput() {
        switch self {
        case .plain(let socket): socket.endOutput()
        case .tls(let session): session.endOutput()
        }
    }

    /// Whether one read may leave bytes behind that the poller cannot see, or take a record at a time.
    var isLayered: Bool {
        switch self {
        case .plain: false
        case .tls: true
        }
    }
}

/// A connected socket and the seam it is used through.
struct Socket {
    let descriptor: Int32
    let system: any System

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        let count = uninterrupted { system.receive(descriptor, into: buffer) }
        if count == 0 { return .ended }
        return count > 0 ? .moved(count) : failure(count, "reading from the peer", blocked: .input)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        let count = uninterrupted { system.send(descriptor, bytes) }
        return count >= 0 ? .moved(count) : failure(count, "writing to the peer", blocked: .output)
    }

    func endOutput() { system.shutdownOutput(descriptor) }

    private func failure(_ result: Int, _ operation: String, blocked: Readiness) -> Transfer {
        let errno = Int32(clamping: -result)
        return errno == EAGAIN ? .blocked(blocked) : .failed(TransportError(operation, errno: errno))
    }
}
