internal import Glibc

/// What a person writes to name a peer or a listening address: `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
package enum Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// A name or numeric address, and a port.
    case host(String, port: UInt16)
    /// The path of a Unix-domain socket.
    case unix(String)

    /// Reads `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    ///
    /// - Throws: `badAddress`, with what is expected.
    package init(_ text: String) throws(TransportError) {
        if text.hasPrefix("unix:") {
            try self.init(path: String(text.dropFirst(5)), of: text)
            return
        }
        guard let colon = text.lastIndex(of: ":") else {
            throw Self.bad(text, "it has no port")
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw Self.bad(text, "an IPv6 address stands in brackets")
        }
        guard !host.isEmpty else { throw Self.bad(text, "it has no host") }
        let digits = text[text.index(after: colon)...]
        guard digits.allSatisfy(\.isNumber), let port = UInt16(digits) else {
            throw Self.bad(text, "its port is not a number from 0 to 65535")
        }
        self = .host(String(host), port: port)
    }

    private init(path: String, of text: String) throws(TransportError) {
        guard !path.isEmpty, path.utf8.count <= SocketAddress.longestPath, !path.utf8.contains(0) else {
            throw Self.bad(text, "a path has 1 to \(SocketAddress.longestPath) bytes")
        }
        self = .unix(path)
    }

    /// For `CustomStringConvertible`: what `init(_:)` reads.
    package var description: String {
        switch self {
        case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// The address, when no name has to be looked up.
    var numericAddress: SocketAddress? {
        switch self {
        case .host(let host, let port): SocketAddress(numericHost: host, port: port)
        case .unix(let path): .unix(path)
        }
    }

    /// All addresses, in the order to try them. Blocks while the resolver works, so never on a loop's thread.
    ///
    /// - Throws: `unresolved`.
    package func resolve() throws(TransportError) -> [SocketAddress] {
        if let numericAddress { return [numericAddress] }
        guard case .host(let host, let port) = self else { return [] }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard status == 0 else {
            throw TransportError(
                .unresolved, "looking up \(host)", String(cString: gai_strerror(status)),
                advice: "Check the spelling of the name, or write a numeric address.")
        }
        var addresses: [SocketAddress] = []
        var entry = list
        while let current = entry?.pointee {
            var storage = sockaddr_storage()
            if let source = current.ai_addr, Int(current.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size {
                memcpy(&storage, source, Int(current.ai_addrlen))
            }
            if let address = SocketAddress(storage), !addresses.contains(address) { addresses.append(address) }
            entry = current.ai_next
        }
        guard !addresses.isEmpty else {
            throw TransportError(.unresolved, "looking up \(host)", "the name has no address")
        }
        return addresses
    }

    private static func bad(_ text: String, _ reason: String) -> TransportError {
        TransportError(
            .badAddress, "reading the address \"\(text)\"", reason,
            advice: "Write HOST:PORT, [IPv6]:PORT or unix:PATH.")
    }
}
