extension Channel {
    /// Stops reading: the peer's bytes wait in the kernel, and a peer that hangs up meanwhile closes the channel.
    package func pauseReading() {
        isPaused = true
        updateInterest()
    }

    /// Reads again; bytes left unconsumed are offered again in the next turn.
    package func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        updateInterest()
        if !leftover.isEmpty || stream?.isLayered == true { continueSoon() }
    }

    func continueUnfinished() {
        isContinuing = false
        guard isReading else { return }
        if !leftover.isEmpty { deliver(UnsafeRawBufferPointer(start: nil, count: 0)) }
        if isReading { receive() }
        updateInterest()
    }

    /// Reads once (TLS: until the loop's buffer is full), so that a fast peer leaves the turn to others.
    func receive() {
        guard let stream else { return }
        inputNeedsOutput = false
        let buffer = loop.receiveBuffer
        var filled = 0
        var outcome = Transfer.moved(0)
        repeat {
            outcome = stream.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            guard case .moved(let count) = outcome else { break }
            filled += count
        } while stream.isLayered && filled < buffer.count

        if filled > 0 { deliver(UnsafeRawBufferPointer(rebasing: buffer[..<filled])) }
        guard phase != .closed else { return }
        switch outcome {
        case .moved: if stream.isLayered { continueSoon() }
        case .blocked(let needed): inputNeedsOutput = needed.contains(.output)
        case .ended: inputEnded()
        case .failed(let error): fail(phase == .closing ? nil : error)
        }
    }

    private func continueSoon() {
        guard !isContinuing else { return }
        isContinuing = true
        loop.continueLater(self)
    }

    private func deliver(_ fresh: UnsafeRawBufferPointer) {
        guard phase == .open, let handler else { return }
        if leftover.isEmpty {
            let consumed = handler.channel(self, received: fresh.bytes)
            precondition((0...fresh.count).contains(consumed), "a handler consumes no more than it is given")
            guard phase == .open, consumed < fresh.count else { return }
            leftover.append(contentsOf: fresh[consumed...])
        } else {
            // Taken out first: the handler may close the channel, which drops `leftover`.
            var bytes = leftover
            leftover = []
            bytes.append(contentsOf: fresh)
            let consumed = handler.channel(self, received: bytes.span.bytes)
            precondition((0...bytes.count).contains(consumed), "a handler consumes no more than it is given")
            guard phase == .open, consumed < bytes.count else { return }
            bytes.removeFirst(consumed)
            leftover = bytes
        }
        guard leftover.count > options.maximumUnconsumed else { return }
        fail(
            TransportError(
                .overflow, "reading from the peer",
                "\(leftover.count) bytes are unconsumed, the limit is \(options.maximumUnconsumed)"))
    }

    private func inputEnded() {
        isInputEnded = true
        if phase == .closing {
            if hasEndedOutput { close() }
        } else {
            handler?.channelInputEnded(self)
        }
    }
}
