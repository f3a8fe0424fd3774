/// One numbered check of the specification.
package struct Case: Sendable {
    /// Section and number, for example "5.1/3". Numbers are never given to another case.
    package let id: String
    /// What is done.
    package let title: String
    /// What the page says must come of it.
    package let expectation: String
    /// A SHOULD of the page: not to follow it fails strict runs only.
    package let isRecommendation: Bool
    /// Whether the server goes away in it, so that it comes last.
    let drains: Bool
    let body: @Sendable (Lab) throws -> Void

    /// The part of `id` before the slash.
    package var section: String { String(id.prefix { $0 != "/" }) }
}

/// The cases of a section while they are written down.
struct CaseList {
    private let section: String
    private(set) var cases: [Case] = []

    init(_ section: String) { self.section = section }

    private mutating func add(
        _ title: String, _ expectation: String, isRecommendation: Bool = false, drains: Bool = false,
        _ body: @escaping @Sendable (Lab) throws -> Void
    ) {
        cases.append(
            Case(
                id: "\(section)/\(cases.count + 1)", title: title, expectation: expectation,
                isRecommendation: isRecommendation, drains: drains, body: body))
    }

    /// A case that every server must pass.
    mutating func must(
        _ title: String, _ expectation: String, _ body: @escaping @Sendable (Lab) throws -> Void
    ) {
        add(title, expectation, body)
    }

    /// A case that a server should pass.
    mutating func should(
        _ title: String, _ expectation: String, _ body: @escaping @Sendable (Lab) throws -> Void
    ) {
        add(title, expectation, isRecommendation: true, body)
    }

    /// Frames that are a violation on a connection after the handshake.
    mutating func violation(_ title: String, _ frames: @escaping @Sendable (Peer) throws -> [Frame]) {
        add(title, "ERROR PROTOCOL on stream 0, close") { lab in
            let peer = try lab.greet()
            peer.send(try frames(peer))
            try peer.violation()
        }
    }

    /// Frames that are without effect on a connection after the handshake.
    mutating func ignored(_ title: String, _ frames: @escaping @Sendable (Peer) throws -> [Frame]) {
        add(title, "no answer; the connection goes on") { lab in
            let peer = try lab.greet()
            let frames = try frames(peer)
            try peer.ignores(frames)
        }
    }

    /// A GENERATE that is accepted and ends by length.
    mutating func accepts(_ title: String, _ request: @escaping @Sendable (Lab) throws -> Generate) {
        add(title, "ACCEPT, then FINISH") { lab in
            let peer = try lab.greet()
            let stream = try peer.openAccepted(try request(lab))
            try peer.finishes(stream, Finish.Reason.length, Finish.Reason.stop)
        }
    }

    /// A GENERATE that is refused, while the connection goes on.
    mutating func refuses(
        _ title: String, _ codes: UInt16..., request: @escaping @Sendable (Lab) throws -> Generate
    ) {
        let codes = codes.isEmpty ? [Code.invalid] : codes
        add(title, "ERROR \(codes.map(Code.name).joined(separator: " or ")) on the stream, no more") { lab in
            let peer = try lab.greet()
            let stream = try peer.open(try request(lab))
            try peer.fails(stream, codes)
            try peer.fence()
        }
    }

    /// A case in which the server has been told to drain.
    mutating func drained(
        _ title: String, _ expectation: String, _ body: @escaping @Sendable (DrainScene) throws -> Void
    ) {
        add(title, expectation, drains: true) { lab in try body(try DrainScene.of(lab)) }
    }
}
