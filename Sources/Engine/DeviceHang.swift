/// What becomes of a device whose driver does not come back from a call: a sentence for people with each.
public enum DeviceHang: Sendable, Equatable {
    /// What hangs, and for how long. All requests have failed with `EngineError.deviceLost`, and new ones are refused so.
    case began(String)
    /// It came back, and the device was set up anew: requests are taken again.
    case ended(String)
    /// It has not come back in time. A call that hangs cannot be ended but with its process.
    case isFinal(String)
    /// It hangs before there is an engine. Nothing can be served, and the call cannot be ended but with its process.
    case inStart(String)

    /// When a device is taken for hung, and who is told.
    public struct Watch: Sendable {
        /// Milliseconds that a step, or setting a device up, may take beyond the back end's own limit.
        public var margin = 5_000
        /// Milliseconds from then on in which it may still come back.
        public var patience = 30_000
        /// Milliseconds that a call of the driver may take, the margin apart, before there is an engine.
        public var start = 120_000
        /// Called on the engine's threads; `isFinal` and `inStart` may end the process.
        public var tell: @Sendable (DeviceHang) -> Void = { _ in }

        /// The defaults, and nobody who is told.
        public init() {}
    }
}
