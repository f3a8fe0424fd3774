/// The seam to a device: whole steps in, token ids out.
///
/// One coarse call, made for devices whose launches are dear and whose memory is apart. A back end owns its copy of the
/// weights and the KV pool; it decides nothing: which rows run, where they write and what is sampled is in the plan.
/// For equal rows it computes equal bits, whatever else shares the step.
public protocol Backend: AnyObject, Sendable {
    /// A name for people: device, instruction set, threads.
    var summary: String { get }
    /// Bytes of KV cache that one token takes in all layers.
    var keyValueBytesPerToken: Int { get }
    /// Bytes that the KV pool may take where nothing is said of it; nil when nobody knows.
    var keyValueMemory: Int? { get }
    /// Adapters that plans may name, as 0..<adapterCount.
    var adapterCount: Int { get }
    /// What each device tells of itself, by their numbers; nothing where none is asked. Returns at once, on any thread.
    var deviceReadings: [DeviceReadings] { get }
    /// What it is at with a device whose driver may hang; nil for a back end without one.
    var vigil: DeviceVigil? { get }
    /// Reserves the KV pool. Called once, before the first step.
    ///
    /// - Throws: `EngineError.insufficientMemory`.
    func allocateKeyValueCache(blockCount: Int, blockSize: Int) throws(EngineError)
    /// Runs one step and replaces the contents of `result`. Called on the engine thread only.
    ///
    /// - Throws: `EngineError.backend`; KV written by the failed step must not be trusted.
    func execute(_ plan: borrowing StepPlan, into result: inout StepResult) throws(EngineError)
    /// Sets the device up anew: a call came back so late that nothing is to be trusted which it left. Called on the engine
    /// thread only.
    ///
    /// - Throws: `EngineError.deviceLost` if that fails; `execute` tries it again.
    func renew() throws(EngineError)
    /// Looks whether the device still computes what it should, because numbers of several requests were not finite.
    /// Called on the engine thread only.
    ///
    /// - Throws: `EngineError.deviceLost` when it does not; `execute` sets it up anew.
    func examine() throws(EngineError)
}

extension Backend {
    /// A share of the system's memory.
    public var keyValueMemory: Int? { SystemMemory.available().map(EngineCapacity.keyValueShare(of:)) }
    /// None.
    public var adapterCount: Int { 0 }
    /// None.
    public var deviceReadings: [DeviceReadings] { [] }
    /// None.
    public var vigil: DeviceVigil? { nil }
    /// There is nothing to set up.
    public func renew() {}
    /// There is no device that could be at fault.
    public func examine() {}
}
