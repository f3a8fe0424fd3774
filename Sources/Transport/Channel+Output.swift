extension Channel {
    /// Appends to the pending output, which leaves at the end of this turn. After closing, what is appended is dropped.
    ///
    /// - Parameter body: appends to the buffer and leaves what is in it alone; must not use the channel.
    package func write<Result, Failure: Error>(
        _ body: (inout [UInt8]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard !isClosed else {
            var dropped: [UInt8] = []
            return try body(&dropped)
        }
        if outbound.capacity == 0 { outbound = loop.takeBuffer() }
        markDirty()
        let result = try body(&outbound)
        if pendingOutboundBytes > options.highWater { isCongested = true }
        return result
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
            let outcome = outbound.withUnsafeBytes { stream.write(UnsafeRawBufferPointer(rebasing: $0[flushed...])) }
            switch outcome {
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

    private func compact() {
        if flushed == outbound.count {
            loop.give(outbound)
            outbound = []
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

    private func endOutput() {
        guard !hasEndedOutput else { return }
        hasEndedOutput = true
        stream?.endOutput()
        isInputEnded ? close() : linger()
    }
}
