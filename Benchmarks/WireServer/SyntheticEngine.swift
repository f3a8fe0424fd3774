import LMEngine

/// A source of tokens in place of a model, so that a server's own work is measured and nothing else.
///
/// Commands come through the real engine's queue and events leave as its do: one batch per step and mailbox, one token
/// per sequence that has credit. A step costs what writing its events costs.
final class SyntheticEngine: GenerationEngine, @unchecked Sendable {
    // The queue locks itself; everything else mutable is touched by the thread in `run` only.
    let capacity: EngineCapacity
    private let queue: CommandQueue
    private let pace: Pace
    private var commands: [CommandQueue.Command] = []
    private var sequences: [RequestID: Sequence] = [:]
    /// Sequences that have credit, in no order.
    private var ready: [Sequence] = []
    private var mailboxes = MailboxTable()
    private var outboxes: [EventBatch] = []

    /// When steps begin.
    enum Pace {
        /// As soon as the one before is done.
        case saturated
        /// Every so many nanoseconds.
        case every(UInt64)
    }

    /// One request. A class, because a grant finds it by its id and a step by its place.
    private final class Sequence {
        let id: RequestID
        let tag: UInt64
        let receiver: Int
        let maxTokens: UInt32
        var creditLimit: UInt32
        var produced: UInt32 = 0
        /// Its place in `ready`; nil while it has no credit.
        var place: Int?

        init(_ id: RequestID, tag: UInt64, receiver: Int, maxTokens: UInt32, creditLimit: UInt32) {
            self.id = id
            self.tag = tag
            self.receiver = receiver
            self.maxTokens = maxTokens
            self.creditLimit = creditLimit
        }
    }

    /// The text of every token: what the published measurements of other servers used.
    private static let text: [UInt8] = Array(" token".utf8)

    init(pace: Pace) throws(EngineError) {
        var options = EngineOptions()
        options.keyValueCacheBytes = Int(Int32.max)
        capacity = try EngineCapacity(
            options: options, contextLength: Int(Int32.max), bytesPerToken: 1, keyValueMemory: nil)
        queue = CommandQueue(maxNumRequests: 1_048_576)
        self.pace = pace
    }

    func submit(
        _ request: GenerationRequest, tag: UInt64, to mailbox: EventMailbox
    ) throws(EngineError) -> RequestID {
        guard request.embedding == nil else {
            throw EngineError(.invalidRequest, "there is no model here whose hidden states could be had")
        }
        return try queue.submit(request, tag: tag, mailbox: mailbox, now: MonotonicClock.system.now())
    }

    func cancel(_ id: RequestID) { queue.send(.cancel(id)) }

    func grant(_ id: RequestID, creditLimit: UInt32) { queue.send(.grant(id, creditLimit: creditLimit)) }

    func statistics() -> EngineStatistics { EngineStatistics() }

    func drain() { queue.close() }

    /// Makes tokens for as long as the process lives, on the calling thread.
    func run() -> Never {
        var due: UInt64 = 0
        while true {
            let wasIdle = ready.isEmpty
            queue.take(into: &commands, patience: wasIdle ? .forever : patience(until: due))
            obeyCommands()
            let now = MonotonicClock.system.now()
            if wasIdle { due = now }
            if now >= due {
                // A step that is late is made up for.
                if case .every(let interval) = pace { due += interval }
                step(at: now)
            }
            mailboxes.deliver(&outboxes)
        }
    }

    private func patience(until due: UInt64) -> CommandQueue.Patience {
        switch pace {
        case .saturated: .none
        case .every: .until(due)
        }
    }

    private func obeyCommands() {
        for command in commands {
            switch command {
            case .submit(let request, let id, let tag, let mailbox, _):
                let receiver = mailboxes.enter(mailbox)
                if receiver == outboxes.count { outboxes.append(EventBatch()) }
                let sequence = Sequence(
                    id, tag: tag, receiver: receiver, maxTokens: UInt32(clamping: request.stop.maxTokens),
                    creditLimit: request.creditLimit)
                sequences[id] = sequence
                grant(sequence)
            case .grant(let id, let creditLimit):
                guard let sequence = sequences[id] else { continue }
                sequence.creditLimit = max(sequence.creditLimit, creditLimit)
                grant(sequence)
            case .cancel(let id):
                guard let sequence = sequences[id] else { continue }
                park(sequence)
                finish(sequence, .cancelled)
            case .shutDown: break
            }
        }
        commands.removeAll(keepingCapacity: true)
    }

    private func grant(_ sequence: Sequence) {
        guard sequence.place == nil, sequence.produced < sequence.creditLimit else { return }
        sequence.place = ready.count
        ready.append(sequence)
    }

    private func park(_ sequence: Sequence) {
        guard let place = sequence.place else { return }
        let last = ready.removeLast()
        if last !== sequence {
            ready[place] = last
            last.place = place
        }
        sequence.place = nil
    }

    private func finish(_ sequence: Sequence, _ reason: FinishReason) {
        var usage = Usage()
        usage.completionTokens = Int(sequence.produced)
        outboxes[sequence.receiver].appendEnd(.finished(reason, usage), of: sequence.id, tag: sequence.tag)
        sequences[sequence.id] = nil
    }

    /// One token for every sequence with credit. Its id is the low half of the time, so that the receiver can tell how
    /// long it was on its way.
    private func step(at now: UInt64) {
        let id = Int32(truncatingIfNeeded: now)
        for place in ready.indices.reversed() {
            let sequence = ready[place]
            outboxes[sequence.receiver].appendToken(
                id, index: sequence.produced, of: sequence.id, tag: sequence.tag, text: Self.text.span,
                logprobs: Span())
            sequence.produced += 1
            if sequence.produced >= sequence.maxTokens {
                park(sequence)
                finish(sequence, .length)
            } else if sequence.produced >= sequence.creditLimit {
                park(sequence)
            }
        }
    }
}
