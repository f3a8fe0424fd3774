// The frames a client sends (section 6), right unless they are changed.

/// The first 8 bytes of a connection (section 3.2).
let prefaceBytes: [UInt8] = [0x89, 0x4C, 0x4D, 0x43, 0x0D, 0x0A, 0x1A, 0x0A]

/// The longest payload that the suite receives, as its HELLO says.
let ourPayload: UInt32 = 4_259_840

/// HELLO of a client.
struct Hello {
    var lowest: UInt8 = 1
    var highest: UInt8 = 1
    var reserved: UInt16 = 0
    var maxPayload = ourPayload
    var capabilities: UInt64 = 0
    var fields: [UInt8] = []

    enum Key {
        static let credential: UInt16 = 1
        static let agent: UInt16 = 2
        static let keepAlive: UInt16 = 3
        static let resumeGrace: UInt16 = 4
        static let cancelBudget: UInt16 = 5
        static let controlBudget: UInt16 = 6
        static let glitchBudget: UInt16 = 7
    }

    /// A HELLO that brings the key, if there is one.
    init(key: String?) {
        fields = (key.map { field(Key.credential, text($0)) } ?? []) + field(Key.agent, text("conformance"))
    }

    var payload: [UInt8] {
        [lowest, highest] + u16(reserved) + u32(maxPayload) + u64(capabilities) + fields
    }

    var frame: Frame { Frame(FrameType.hello, 0, payload) }
}

/// GENERATE. The one made by default is greedy, ends by length alone and works with any model.
struct Generate {
    var limit: UInt32
    var timeout: UInt32 = 0
    var priority: UInt8 = 3
    var flags: UInt8 = Flag.raw | Flag.ignoreEnd
    var reserved: UInt16 = 0
    /// Values of each key; several only for repeatable ones.
    private(set) var fields: [UInt16: [[UInt8]]] = [:]

    enum Flag {
        static let raw: UInt8 = 1
        static let ignoreEnd: UInt8 = 2
        static let resumable: UInt8 = 4
    }

    enum Key {
        static let model: UInt16 = 1
        static let prompt: UInt16 = 2
        static let promptIDs: UInt16 = 3
        static let temperature: UInt16 = 16
        static let topP: UInt16 = 17
        static let topK: UInt16 = 18
        static let minP: UInt16 = 19
        static let repetitionPenalty: UInt16 = 20
        static let presencePenalty: UInt16 = 21
        static let frequencyPenalty: UInt16 = 22
        static let seed: UInt16 = 23
        static let logprobs: UInt16 = 24
        static let maxTokens: UInt16 = 32
        static let minTokens: UInt16 = 33
        static let stopTokens: UInt16 = 34
        static let firstTokenTimeout: UInt16 = 36
        static let gapTimeout: UInt16 = 37
        static let idempotencyKey: UInt16 = 40
        static let message: UInt16 = 0x4004
        static let stopString: UInt16 = 0x4023
        static let tools: UInt16 = 0x8005
        static let templateArguments: UInt16 = 0x8006
        static let members: UInt16 = 0xC007
    }

    /// Asks for exactly `tokens` tokens.
    init(tokens: UInt32 = 4, limit: UInt32 = .max) {
        self.limit = limit
        fields = [Key.prompt: [text("Once")], Key.temperature: [f32(0)], Key.maxTokens: [u32(tokens)]]
    }

    /// The same with other values of a key; none removes it.
    func with(_ key: UInt16, _ values: [UInt8]...) -> Generate { with(key, values) }

    /// The same with other values of a key; none removes it.
    func with(_ key: UInt16, _ values: [[UInt8]]) -> Generate {
        var other = self
        other.fields[key] = values.isEmpty ? nil : values
        return other
    }

    /// The same with other flags.
    func flags(_ flags: UInt8) -> Generate {
        var other = self
        other.flags = flags
        return other
    }

    /// The same, to be kept when its connection is lost.
    var resumable: Generate { flags(flags | Flag.resumable) }

    /// What precedes the fields.
    var head: [UInt8] { u32(limit) + u32(timeout) + [priority, flags] + u16(reserved) }

    var payload: [UInt8] {
        fields.sorted { $0.key < $1.key }.reduce(head) { bytes, entry in
            entry.value.reduce(bytes) { $0 + field(entry.key, $1) }
        }
    }

    func frame(_ stream: UInt32) -> Frame { Frame(FrameType.generate, stream, payload) }
}

/// The methods of CALL.
enum Method {
    static let health: UInt16 = 1
    static let models: UInt16 = 2
    static let tokenize: UInt16 = 3
    static let detokenize: UInt16 = 4
    static let statistics: UInt16 = 5
    static let embed: UInt16 = 6
}

extension Frame {
    static func call(_ stream: UInt32, _ method: UInt16 = Method.health, _ fields: [UInt8] = []) -> Frame {
        Frame(FrameType.call, stream, u16(method) + u16(0) + fields)
    }

    static func credit(_ stream: UInt32, _ limit: UInt32, consumed: UInt32 = 0) -> Frame {
        Frame(FrameType.credit, stream, u32(limit) + u32(consumed))
    }

    static func cancel(_ stream: UInt32, reason: UInt32 = 1) -> Frame {
        Frame(FrameType.cancel, stream, u32(reason))
    }

    static func resume(
        _ stream: UInt32, _ token: [UInt8], index: UInt32, limit: UInt32 = .max, fields: [UInt8] = []
    ) -> Frame {
        Frame(FrameType.resume, stream, token + u32(index) + u32(limit) + fields)
    }

    static func ping(_ value: UInt64) -> Frame { Frame(FrameType.ping, 0, u64(value)) }

    static func error(_ stream: UInt32 = 0, _ code: UInt16 = 1, fields: [UInt8] = []) -> Frame {
        Frame(FrameType.error, stream, u16(code) + [0, 0] + u32(0) + fields)
    }
}
