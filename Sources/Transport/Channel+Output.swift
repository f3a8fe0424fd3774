extension Channel {
    /// Appends to the pending output, which leaves at the end of this turn. After closing, what is appended is dropped.
    ///
    /// - Parameter body: appends to the buffer and leaves what is in it alone; must not use the channel.
    package func write<Result, Failure: Error>(
        _ body: (inout [UInt8]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var bytes = borrowOutput()
        defer { returnOutput(bytes) }
        return try body(&bytes)
    }

    /// Lends the pending output, to be appended to and given back by `returnOutput` before anything else is asked of the
    /// channel: `write` without a closure, for what is written very often.
    package func borrowOutput() -> [UInt8] {
        guard !isClosed else { return [] }
        if outbound.capacity == 0 { outbound = loop.takeBuffer() }
        markDirty()
        return takeOutbound()
    }

    /// Takes back what `borrowOutput` lent.
    package func returnOutput(_ bytes: consuming [UInt8]) {
        guard !isClosed else { return }
        outbound = bytes
        if pendingOutboundBytes > options.highWater { isCongested = true }
    }

    /// Bytes written and not yet taken by the kernel.
    package var pendingOutboundBytes: Int { outbound.count - flushed }

    func markDirty() {
        guard !isDirty else { return }
        isDirty = true
        loop.flushLater(self)
    }

    /// Writes until the socket takes no more. EPOLLOUT is asked for only then.
    func flush() {
        isDirty = false
        guard phase == .open || phase == .closing, outputBlock == nil, let stream else { return }
        while flushed < outbound.count, outputBlock == nil {
            switch writePending(to: stream) {
            case .moved(let count):
                flushed += count
                // A plain socket that took less is full; a TLS session takes one record at a time.
                if !stream.isLayered && flushed < outbound.count { outputBlock = .output }
            case .blocked(let needed): outputBlock = needed
            case .ended: fail(TransportError(.disconnected, "writing to the peer", "it closed the connection"))
            case .failed(let error): fail(phase == .closing ? nil : error)
            }
            guard phase != .closed else { return }
        }
        compact()
        updateInterest()
        guard phase != .closed else { return }
        updateCongestion()
        if phase == .closing && outbound.isEmpty { endOutput() }
    }

    private func writePending(to stream: ByteStream) -> Transfer {
        // Through a reference of its own: no access to the property is open while others' code runs, so that the compiler
        // need not watch over any.
        let bytes = outbound
        return bytes.withUnsafeBytes { stream.write(UnsafeRawBufferPointer(rebasing: $0[flushed...])) }
    }

    /// Moves the buffer out: with a second owner its next change would copy it.
    func takeOutbound() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &outbound)
        return taken
    }

    private func compact() {
        if flushed == outbound.count {
            loop.give(takeOutbound())
            flushed = 0
        } else if flushed > outbound.count / 2 {
            // Each byte is moved at most once per halving: linear in what is written.
            outbound.removeFirst(flushed)
            flushed = 0
        }
    }

    private func updateCongestion() {
        guard isCongested else { return }
        isCongested = pendingOutboundBytes > options.lowWater
        guard !isCongested || !hasToldCongestion else { return }
        hasToldCongestion = isCongested
        handler?.channelWritabilityChanged(self)
    }

    func endOutput() {
        guard !hasEndedOutput else { return }
        hasEndedOutput = true
        stream?.endOutput()
        isInputEnded ? close() : linger()
    }
}
