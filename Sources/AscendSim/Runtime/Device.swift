/// One device of the machine.
final class Device {
    let id: Int
    private(set) var random: UInt64
    /// The context that threads share which only set the device.
    var primary: Context?
    /// How often it was set and not reset.
    var uses = 0
    /// How often it was reset.
    private(set) var resets = 0
    var streams: [Stream] = []
    /// Streams that captured graphs hold.
    var graphStreams = 0
    var events = 0
    /// Why nothing runs any more; a reset takes it away.
    private(set) var failure: Failure?
    /// A planted failure that the next synchronisation tells, once.
    var pending: Failure?
    var tasks = 0

    init(_ id: Int, seed: UInt64) {
        self.id = id
        random = seed &+ UInt64(id) &* 0x9E37_79B9_7F4A_7C15
    }

    /// What a task came to. Faults of cores and of the device itself stay; others are told once per stream.
    func fail(_ failure: Failure) {
        if self.failure == nil { self.failure = failure }
    }

    static func stays(_ code: Int32) -> Bool { code >= 507000 && code != 507046 }

    /// Microseconds to wait before a task: mostly none, so that order is upset without losing much time.
    func delay(limit: UInt32) -> UInt32 {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let value = random >> 33
        return limit == 0 || value % 4 != 0 ? 0 : UInt32((value >> 2) % UInt64(limit) + 1)
    }

    /// Ends its streams and forgets its failure.
    func reset() {
        for stream in streams { stream.end() }
        streams = []
        resets += 1
        graphStreams = 0
        events = 0
        uses = 0
        primary = nil
        failure = nil
        pending = nil
    }
}

/// What streams are made in.
final class Context {
    let device: Device
    let standard: Stream
    /// Handles of the context and of its default stream.
    private(set) lazy var handle = world.register(self)
    private(set) lazy var standardHandle = world.register(standard)

    init(_ device: Device) {
        self.device = device
        standard = Stream(device)
        standard.context = self
    }
}

/// A point in the order of a stream.
final class Event {
    let device: Device
    let flags: UInt32
    /// Recorded again and again, waited for as it stands at the time of the call.
    let isRerecorded: Bool
    /// Times that a record was put on a stream, and was reached.
    var recorded = 0
    var reached = 0
    /// Whether it was reached and not reset since, for events that are not recorded again and again.
    var isSet = false
    /// Simulated time at which it was reached.
    var clock = 0.0
    /// The capture it was last recorded in, the stream there and how many tasks that had.
    var capture: Capture?
    weak var captured: Stream?
    var position = 0

    init(_ device: Device, flags: UInt32, isRerecorded: Bool) {
        self.device = device
        self.flags = flags
        self.isRerecorded = isRerecorded
    }

    var isExternal: Bool { flags & 0x20 != 0 }
}
