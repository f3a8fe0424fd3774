package import TestKit

/// What a `ChaosProxy` does to the bytes of one direction of one connection. It never changes their order.
package struct FaultPlan: Sendable, Equatable {
    /// Most bytes written at once; nil for as many as there are.
    package var piece: Int?
    /// Time between two writes of a piece.
    package var gap = Duration.zero
    /// Bytes are held until this many wait, or the oldest has waited 20 ms; nil to pass them on as they come.
    package var gather: Int?
    /// Every byte leaves this much later than it came.
    package var delay = Duration.zero
    /// Bytes per second; nil for no limit.
    package var rate: Int?
    /// What happens at which byte, by ascending offset.
    package var faults: [Fault] = []

    /// Something that happens once.
    package struct Fault: Sendable, Equatable {
        /// Exactly this many bytes reach the receiver before it happens.
        package var offset: Int
        /// What happens.
        package var kind: Kind

        /// Pairs them.
        package init(after offset: Int, _ kind: Kind) {
            self.offset = offset
            self.kind = kind
        }
    }

    /// What can happen.
    package enum Kind: Sendable, Equatable {
        /// Nothing moves in this direction for a time.
        case stall(Duration)
        /// The next byte is changed in the bits of the mask.
        case flip(UInt8)
        /// The receiver sees the end of the stream; the other direction goes on.
        case endOutput
        /// Both ends see the end of the stream.
        case close
        /// Both ends see a reset.
        case reset
    }

    /// Passes everything on as it comes.
    package init() {}

    /// Passes on so many bytes a second.
    package init(bytesPerSecond: Int) { rate = bytesPerSecond }

    /// Passes everything on until something happens.
    package init(after offset: Int, _ kind: Kind) { faults = [Fault(after: offset, kind)] }
}

/// Both directions of a connection.
package struct LinkPlan: Sendable, Equatable {
    /// What the client sends.
    package var toServer = FaultPlan()
    /// What the server sends.
    package var toClient = FaultPlan()

    /// Passes everything on.
    package init(toServer: FaultPlan = FaultPlan(), toClient: FaultPlan = FaultPlan()) {
        self.toServer = toServer
        self.toClient = toClient
    }
}

// Plans drawn from a seed: equal generators give equal plans.
extension FaultPlan {
    /// A network that is slow and uneven, and loses nothing.
    ///
    /// - Parameter span: faults happen within this many bytes.
    package static func uneven(span: Int, using random: inout TestRandom) -> FaultPlan {
        var plan = FaultPlan()
        switch random.below(4) {
        case 0:
            plan.piece = 1 + random.below(7)
            plan.gap = .microseconds(random.below(30))
        case 1: plan.gather = 1 + random.below(600)
        case 2: plan.delay = .microseconds(random.below(3_000))
        default: break
        }
        if random.below(3) == 0 {
            plan.faults.append(Fault(after: random.below(span), .stall(.milliseconds(random.below(10)))))
        }
        return plan
    }
}

extension LinkPlan {
    /// An uneven network in which the connection is lost in one of several ways.
    ///
    /// - Parameters:
    ///   - toServer: the loss is after fewer bytes than this when it strikes what the client sends.
    ///   - toClient: the same for what the server sends, which is struck three times in four.
    package static func lossy(toServer: Int, toClient: Int, using random: inout TestRandom) -> LinkPlan {
        var plan = LinkPlan(
            toServer: .uneven(span: toServer, using: &random), toClient: .uneven(span: toClient, using: &random))
        let kind: FaultPlan.Kind = random.below(3) == 0 ? .close : .reset
        if random.below(4) == 0 {
            plan.toServer.insert(FaultPlan.Fault(after: random.below(toServer), kind))
        } else {
            plan.toClient.insert(FaultPlan.Fault(after: random.below(toClient), kind))
        }
        return plan
    }
}

extension FaultPlan {
    private var isOrdered: Bool { zip(faults, faults.dropFirst()).allSatisfy { $0.offset <= $1.offset } }

    fileprivate mutating func insert(_ fault: Fault) {
        faults.insert(fault, at: faults.firstIndex { $0.offset > fault.offset } ?? faults.count)
        precondition(isOrdered, "faults are in order")
    }
}
