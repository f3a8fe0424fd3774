internal import LMProtocol

/// A generation's tokens, and the way to its client for as long as nothing has to be decided: of most tokens that is all
/// that is looked at. The loop keeps it behind a pointer, so that no token counts a reference.
struct TokenFlow: ~Copyable {
    /// Where tokens leave, as `Generation.flush` found it; nil when it must be asked.
    var route: Route?
    /// What the engine has produced.
    var buffer = TokenBuffer()

    struct Route {
        /// Kept alive by the generation for as long as this is its route.
        let connection: Unmanaged<ServerConnection>
        let stream: UInt32
        /// Tokens with an index below this may leave, and need no word to the engine.
        let limit: UInt32
        /// A client that is lost does not come back for what was sent.
        let dropsSent: Bool
    }

    /// Sends the tokens that came in this turn.
    ///
    /// - Returns: false when `Generation.flush` has to do it.
    mutating func send(into outlet: inout Outlet) -> Bool {
        guard let route, buffer.endIndex <= route.limit else { return false }
        guard route.connection._withUnsafeGuaranteedRef({ outlet.lend(from: $0) }) else { return false }
        buffer.settle()
        do throws(WireError) {
            try buffer.send(buffer.unsentCount) { (index, slice) throws(WireError) in
                try outlet.append(slice, from: index, on: route.stream)
            }
        } catch {
            return false
        }
        if route.dropsSent { buffer.drop(below: buffer.nextIndex) }
        return true
    }
}
