/// What runs generations for a server: `InferenceEngine`, or whatever stands in its place, such as another server
/// upstream or a source of tokens for measurements.
///
/// Every method returns at once and may be called from any thread. Calls about one request take effect in the order in
/// which they were made. A submitted request's mailbox gets its tokens in order, never beyond its credit limit, then
/// exactly one end.
public protocol GenerationEngine: AnyObject, Sendable {
    /// What the engine can hold.
    var capacity: EngineCapacity { get }

    /// Validates a request and queues it.
    ///
    /// - Parameters:
    ///   - tag: comes back with each event.
    ///   - mailbox: gets the request's events: tokens, then exactly one end.
    /// - Throws: `invalidRequest` or `tooLarge` for a request that can never run, `overloaded`, `draining` or
    ///   `deviceLost` for one that cannot run now. Then no event follows.
    func submit(
        _ request: GenerationRequest, tag: UInt64, to mailbox: EventMailbox
    ) throws(EngineError) -> RequestID

    /// Ends a request with `finished(.cancelled)`; nothing happens if it has ended.
    func cancel(_ id: RequestID)

    /// Lets a request produce up to `creditLimit` tokens in all; a limit below an earlier one changes nothing.
    func grant(_ id: RequestID, creditLimit: UInt32)

    /// The state after the last step.
    func statistics() -> EngineStatistics

    /// Refuses new requests as `draining`. Those in the engine finish; `statistics` tells when none is left.
    func drain()
}
