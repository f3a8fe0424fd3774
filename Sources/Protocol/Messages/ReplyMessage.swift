/// REPLY: the answer to a CALL, and the last frame of its stream. Its layout follows from the call's method.
package enum ReplyMessage: Sendable, Equatable {
    /// Answers `health`.
    case health(HealthReply)
    /// Answers `models`.
    case models([ModelReply])
    /// Answers `tokenize`.
    case tokenize([Int32])
    /// Answers `detokenize`.
    case detokenize(String)
    /// Answers `statistics`.
    case statistics([StatisticReply])
    /// Answers `embed`.
    case embed(EmbedReply)

    /// Which method this answers.
    package var method: CallMessage.Method {
        switch self {
        case .health: .health
        case .models: .models
        case .tokenize: .tokenize
        case .detokenize: .detokenize
        case .statistics: .statistics
        case .embed: .embed
        }
    }

    private enum Key {
        static let text: UInt16 = 2
        static let tokens: UInt16 = 3
        static let model: UInt16 = 5 | FieldKey.repeatableBit
        static let statistic: UInt16 = 6 | FieldKey.repeatableBit
    }

    init(_ method: CallMessage.Method, _ reader: consuming ByteReader) throws(WireError) {
        var fields = try FieldReader(reader)
        if method == .health {
            self = .health(try HealthReply(&fields))
            return
        }
        if method == .embed {
            self = .embed(try EmbedReply(&fields))
            return
        }
        var text = ""
        var tokens: [Int32] = []
        var models: [ModelReply] = []
        var statistics: [StatisticReply] = []
        while let key = try fields.next() {
            switch key {
            case Key.text: text = try fields.text("text")
            case Key.tokens: tokens = try fields.integers()
            case Key.model: models.append(try ModelReply(fields.reader))
            case Key.statistic: statistics.append(try StatisticReply(fields.reader))
            default: try fields.skip()
            }
        }
        switch method {
        case .health, .embed, .models: self = .models(models)
        case .tokenize: self = .tokenize(tokens)
        case .detokenize: self = .detokenize(text)
        case .statistics: self = .statistics(statistics)
        }
    }

    func encode(into bytes: inout [UInt8]) {
        switch self {
        case .health(let health): health.encode(into: &bytes)
        case .models(let models):
            for model in models { bytes.appendField(Key.model) { model.encode(into: &$0) } }
        case .tokenize(let tokens): bytes.appendField(Key.tokens, integers: tokens)
        case .detokenize(let text): bytes.appendField(Key.text, text: text)
        case .statistics(let statistics):
            for statistic in statistics { bytes.appendField(Key.statistic) { statistic.encode(into: &$0) } }
        case .embed(let reply): reply.encode(into: &bytes)
        }
    }
}

/// Whether a server is fit to answer.
package struct HealthReply: Sendable, Equatable {
    /// The state of a server. Not an enum: a state of a later version is a value like any other.
    package struct Status: RawRepresentable, Hashable, Sendable {
        /// The number on the wire.
        package var rawValue: UInt8

        /// Any number, known or not.
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Requests are accepted.
        package static let ready = Status(rawValue: 1)
        /// The model is being loaded.
        package static let loading = Status(rawValue: 2)
        /// Open streams are being finished, new ones refused.
        package static let draining = Status(rawValue: 3)
        /// The engine failed.
        package static let failed = Status(rawValue: 4)
    }

    /// The state.
    package var status: Status
    /// Version of the software.
    package var version = ""
    /// Milliseconds since the server started.
    package var uptime: UInt64 = 0

    /// Creates the message.
    package init(status: Status) { self.status = status }

    private enum Key {
        static let status: UInt16 = 1
        static let version: UInt16 = 2
        static let uptime: UInt16 = 3
    }

    init(_ fields: inout FieldReader) throws(WireError) {
        status = Status(rawValue: 0)
        while let key = try fields.next() {
            switch key {
            case Key.status: status = Status(rawValue: try fields.integer())
            case Key.version: version = try fields.text("version", limit: Limits.name)
            case Key.uptime: uptime = try fields.integer()
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.appendField(Key.status, integer: status.rawValue)
        bytes.appendField(Key.version, text: version)
        bytes.appendField(Key.uptime, integer: uptime)
    }
}

/// One model that a server can run.
package struct ModelReply: Sendable, Equatable {
    /// The name to use in requests.
    package var name: String
    /// The model family, for example `llama`.
    package var architecture = ""
    /// How the weights are stored, for example `Q4_1`.
    package var format = ""
    /// What computes, for example `cpu`.
    package var device = ""
    /// Most tokens of prompt and output together.
    package var contextLength: UInt32 = 0
    /// Token ids are below this.
    package var vocabularySize: UInt32 = 0
    /// Number of weights.
    package var parameters: UInt64 = 0
    /// Tokens whose keys and values fit the cache, over all requests.
    package var cacheTokens: UInt64 = 0

    /// Creates the message.
    package init(name: String) { self.name = name }

    private enum Key {
        static let name: UInt16 = 1
        static let architecture: UInt16 = 2
        static let format: UInt16 = 3
        static let device: UInt16 = 4
        static let contextLength: UInt16 = 5
        static let vocabularySize: UInt16 = 6
        static let parameters: UInt16 = 7
        static let cacheTokens: UInt16 = 8
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        name = ""
        var fields = try FieldReader(reader)
        while let key = try fields.next() {
            switch key {
            case Key.name: name = try fields.text("name", limit: Limits.name)
            case Key.architecture: architecture = try fields.text("architecture", limit: Limits.name)
            case Key.format: format = try fields.text("format", limit: Limits.name)
            case Key.device: device = try fields.text("device", limit: Limits.name)
            case Key.contextLength: contextLength = try fields.integer()
            case Key.vocabularySize: vocabularySize = try fields.integer()
            case Key.parameters: parameters = try fields.integer()
            case Key.cacheTokens: cacheTokens = try fields.integer()
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.appendField(Key.name, text: name)
        bytes.appendField(Key.architecture, text: architecture)
        bytes.appendField(Key.format, text: format)
        bytes.appendField(Key.device, text: device)
        bytes.appendField(Key.contextLength, integer: contextLength)
        bytes.appendField(Key.vocabularySize, integer: vocabularySize)
        bytes.appendField(Key.parameters, integer: parameters)
        bytes.appendField(Key.cacheTokens, integer: cacheTokens)
    }
}

/// One counter or gauge. Names say the unit, as in Prometheus: `tokens_generated_total`, `kv_blocks_free`,
/// `step_time_nanoseconds`.
package struct StatisticReply: Sendable, Equatable {
    /// Lower case, digits and underscores.
    package var name: String
    /// Its value now.
    package var value: UInt64

    /// Creates the message.
    package init(name: String, value: UInt64) {
        self.name = name
        self.value = value
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        value = try reader.integer()
        name = try reader.text("name", limit: Limits.name)
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: value)
        bytes.append(contentsOf: name.utf8)
    }
}
