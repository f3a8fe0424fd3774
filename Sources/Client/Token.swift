internal import LMProtocol

/// One generated token.
public struct Token: Sendable, Equatable {
    /// The token in the model's vocabulary.
    public let id: Int32
    /// Its position in the output, from 0 without gaps.
    public let index: Int
    /// Whole characters. May be empty: bytes of an unfinished character, or of what may become a stop string, come with
    /// a later token.
    public let text: String
    /// The chosen token's entry, then the likeliest alternatives; empty when not asked for.
    public let logprobs: [TokenLogprob]
    /// When its bytes were read from the socket; the clock is `LMClient.now`. Tokens that arrived together share it.
    public let arrival: UInt64
}

/// A token and the log-probability the model gives it, before penalties and temperature.
public struct TokenLogprob: Sendable, Equatable {
    /// The token.
    public let token: Int32
    /// Natural logarithm of its probability.
    public let logprob: Float
}

/// What a generation consumed.
public struct Usage: Sendable, Equatable {
    /// Tokens of the prompt.
    public let promptTokens: Int
    /// Of these, found in the prefix cache.
    public let cachedTokens: Int
    /// Tokens generated.
    public let completionTokens: Int
    /// Times the request lost its cache and was recomputed.
    public let preemptions: Int
    /// Time in the server's queue.
    public let queueTime: Duration
    /// Time from there to the first token.
    public let prefillTime: Duration
    /// Time from the first token to the last.
    public let decodeTime: Duration
}

/// How a generation ended.
public struct FinishInfo: Sendable, Equatable {
    /// Why it ended.
    public enum Reason: Sendable, Equatable, CustomStringConvertible {
        /// An end token, stop token or stop string.
        case stop
        /// The most tokens asked for, or the context, was reached.
        case length
        /// It was cancelled.
        case cancelled
        /// A reason that a newer server knows.
        case unknown(UInt8)

        /// One word, as other servers' APIs spell it.
        public var description: String {
            switch self {
            case .stop: "stop"
            case .length: "length"
            case .cancelled: "cancelled"
            case .unknown(let number): "reason_\(number)"
            }
        }
    }

    /// Why it ended.
    public let reason: Reason
    /// What it consumed.
    public let usage: Usage
    /// The seed that repeats the output.
    public let seed: UInt64?
    /// When the end was read from the socket; the clock is `LMClient.now`.
    public let arrival: UInt64
}

/// A whole output; see `TokenStream.collect`.
public struct Completion: Sendable, Equatable {
    /// The text of all tokens.
    public internal(set) var text = ""
    /// The tokens.
    public internal(set) var tokens: [Token] = []
    /// How it ended.
    public let finish: FinishInfo
}

extension Usage {
    init(_ report: UsageReport) {
        promptTokens = Int(report.promptTokens)
        cachedTokens = Int(report.cachedTokens)
        completionTokens = Int(report.completionTokens)
        preemptions = Int(report.preemptions)
        queueTime = .nanoseconds(Int64(clamping: report.queueTime))
        prefillTime = .nanoseconds(Int64(clamping: report.prefillTime))
        decodeTime = .nanoseconds(Int64(clamping: report.decodeTime))
    }
}

extension FinishInfo {
    init(_ message: FinishMessage, arrival: UInt64) {
        reason =
            switch message.reason {
            case .stop: .stop
            case .length: .length
            case .cancelled: .cancelled
            default: .unknown(message.reason.rawValue)
            }
        usage = Usage(message.usage)
        seed = message.seed
        self.arrival = arrival
    }
}

extension Token {
    /// Token `position` of a frame.
    init(_ message: TokensMessage, at position: Int, arrival: UInt64) {
        id = message.ids[position]
        index = Int(message.firstIndex) + position
        text = String(decoding: message.text[message.textRange(position)], as: UTF8.self)
        logprobs = message.logprobs[message.logprobRange(position)].map {
            TokenLogprob(token: $0.token, logprob: $0.value)
        }
        self.arrival = arrival
    }
}
