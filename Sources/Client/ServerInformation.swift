internal import LMProtocol

/// Whether a server is fit to answer.
public struct ServerHealth: Sendable, Equatable {
    /// The state of a server.
    public enum Status: Sendable, Equatable, CustomStringConvertible {
        /// Requests are accepted.
        case ready
        /// The model is being loaded.
        case loading
        /// Open streams are being finished, new ones refused.
        case draining
        /// The engine failed.
        case failed
        /// A state that a newer server knows.
        case unknown(UInt8)

        /// One word.
        public var description: String {
            switch self {
            case .ready: "ready"
            case .loading: "loading"
            case .draining: "draining"
            case .failed: "failed"
            case .unknown(let number): "status_\(number)"
            }
        }
    }

    /// The state.
    public let status: Status
    /// Version of the server.
    public let version: String
    /// Time since the server started.
    public let uptime: Duration
}

/// One model that a server can run.
public struct ModelInfo: Sendable, Equatable {
    /// The name to use in requests.
    public let name: String
    /// The model family, for example `llama`.
    public let architecture: String
    /// How the weights are stored, for example `Q4_1`.
    public let format: String
    /// What computes, for example `cpu`.
    public let device: String
    /// Most tokens of prompt and output together.
    public let contextLength: Int
    /// Token ids are below this.
    public let vocabularySize: Int
    /// Number of weights.
    public let parameters: UInt64
    /// Tokens whose keys and values fit the cache, over all requests.
    public let cacheTokens: UInt64
}

/// One counter or gauge of a server.
public struct ServerStatistic: Sendable, Equatable {
    /// Lower case, with its unit at the end; `_total` for counters.
    public let name: String
    /// Its value now.
    public let value: UInt64
}

extension ServerHealth {
    init(_ reply: HealthReply) {
        status =
            switch reply.status {
            case .ready: .ready
            case .loading: .loading
            case .draining: .draining
            case .failed: .failed
            default: .unknown(reply.status.rawValue)
            }
        version = reply.version
        uptime = .milliseconds(Int64(clamping: reply.uptime))
    }
}

extension ModelInfo {
    init(_ reply: ModelReply) {
        name = reply.name
        architecture = reply.architecture
        format = reply.format
        device = reply.device
        contextLength = Int(reply.contextLength)
        vocabularySize = Int(reply.vocabularySize)
        parameters = reply.parameters
        cacheTokens = reply.cacheTokens
    }
}
