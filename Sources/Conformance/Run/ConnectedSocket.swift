internal import Glibc
internal import LMTransport

/// A blocking socket that is connected to the endpoint; of several addresses to the first that answers.
func connectedSocket(to endpoint: Endpoint, milliseconds: Int) throws -> Int32 {
    switch endpoint {
    case .host(let host, let port): try connectedSocket(to: host, port, milliseconds)
    case .unix(let path): try connectedSocket(toPath: path, milliseconds)
    }
}

private func connectedSocket(to host: String, _ port: UInt16, _ milliseconds: Int) throws -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, String(port), &hints, &list)
    defer { if let list { freeaddrinfo(list) } }
    guard status == 0 else { throw Stop.failed("looking up \(host): \(String(cString: gai_strerror(status)))") }
    var problem = "it has no address"
    var entry = list
    while let address = entry?.pointee {
        do {
            return try connectedSocket(address.ai_family, address.ai_addr, address.ai_addrlen, milliseconds)
        } catch Stop.failed(let reason) {
            problem = reason
        }
        entry = address.ai_next
    }
    throw Stop.failed("connecting to \(host), port \(port): \(problem)")
}

private func connectedSocket(toPath path: String, _ milliseconds: Int) throws -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { room in
        precondition(path.utf8.count < room.count, "Endpoint checks the length of paths")
        room.copyBytes(from: path.utf8)
    }
    do {
        return try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try connectedSocket(AF_UNIX, $0, socklen_t(MemoryLayout<sockaddr_un>.size), milliseconds)
            }
        }
    } catch Stop.failed(let reason) {
        throw Stop.failed("connecting to \(path): \(reason)")
    }
}

private func connectedSocket(
    _ family: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t, _ milliseconds: Int
) throws -> Int32 {
    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Stop.failed(String(cString: strerror(errno))) }
    // On Linux it limits the time of connect(2) too.
    var limit = timeval(tv_sec: milliseconds / 1_000, tv_usec: milliseconds % 1_000 * 1_000)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    guard connect(descriptor, address, length) == 0 else {
        defer { close(descriptor) }
        throw Stop.failed(String(cString: strerror(errno)))
    }
    return descriptor
}
