import LMProtocol

extension FuzzTarget {
    /// Nothing opens a connection but both HELLOs, and nothing is kept for a peer that does not come to its point.
    func checkHandshake(_ input: [UInt8]) throws(Broken) {
        try checkGreetedServer(input)
        try checkGreetedClient(input)
        // Chance seldom makes a longer field with the two lengths that belong to it.
        if let key = input.first { try checkGreetedServer(Self.greeting(with: key, Array(input.dropFirst()))) }
    }

    /// A client's first bytes, with one field.
    private static func greeting(with key: UInt8, _ value: [UInt8]) -> [UInt8] {
        let start: [UInt8] = [1, 1, 0, 0] + integers(UInt32(Limits.smallestAnnouncedPayload), 0, 0)
        return Connection.preface + frame(0x81, 0, start + [key, 0] + integers(UInt32(value.count)) + value)
    }

    private func checkGreetedServer(_ input: [UInt8]) throws(Broken) {
        var server = Connection.server(HelloMessage(maxPayload: Limits.serverPayload))
        var inbox = Inbox()
        inbox.append(input)
        let first = inbox.next(of: &server)
        guard let first else {
            try hold(!server.isOpen && !server.hasPeer, "a server trusts a client that said nothing")
            let most = Connection.preface.count + Limits.header + Limits.helloPayload
            if input.count >= most { try hold(server.isClosed, "a server waits for more than a HELLO") }
            var bytes: [UInt8] = []
            server.close(with: ErrorMessage(.internal, "enough"), into: &bytes)
            if !input.starts(with: Connection.preface) { try hold(bytes.isEmpty, "a server talks to a stranger") }
            return
        }
        guard case .hello(let hello) = first else { throw Broken(property: "a connection begins with \(first)") }
        try hold(input.starts(with: Connection.preface), "a client is heard without the preface")
        try checkHello(hello)
        try hold(!server.isOpen, "a server is open before it has answered")
        try hold(inbox.next(of: &server) == nil, "a client is heard before it is answered")
        var bytes: [UInt8] = []
        do { try server.sendHello(into: &bytes) } catch { throw Broken(property: "HELLO cannot be answered: \(error)") }
        try hold(server.isOpen, "a server that has answered is not open")
    }

    private func checkGreetedClient(_ input: [UInt8]) throws(Broken) {
        var client = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
        var start: [UInt8] = []
        do { try client.start(into: &start) } catch { throw Broken(property: "a client cannot start: \(error)") }
        var inbox = Inbox()
        inbox.append(input)
        switch inbox.next(of: &client) {
        case .hello(let hello):
            try checkHello(hello)
            try hold(client.isOpen && hello.versions.contains(1), "a client agrees to a version it does not speak")
        case .error(0, _), nil:
            try hold(!client.isOpen, "a client is open without a HELLO")
            if input.count >= Limits.header + Limits.helloPayload {
                try hold(client.isClosed, "a client waits for more than a HELLO")
            }
        case let other?: throw Broken(property: "a connection begins with \(other)")
        }
    }

    private func checkHello(_ hello: HelloMessage) throws(Broken) {
        try hold(hello.agent.utf8.count <= Limits.name, "an agent beyond the limit")
        try hold(hello.maxPayload >= UInt32(Limits.smallestAnnouncedPayload), "a payload below the limit")
        try hold(hello.maxPayload <= UInt32(Limits.largestPayload), "a payload beyond what a header can say")
    }
}
