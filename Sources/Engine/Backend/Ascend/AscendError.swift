/// A call of the Ascend libraries that did not succeed.
package struct AscendError: Error, Sendable, Equatable {
    /// What has to happen before work can go on.
    package enum Consequence: Sendable, Equatable {
        /// The step's result is lost, the device is sound: compute it once more.
        case retry
        /// There is no room for this step.
        case outOfMemory
        /// The context is poisoned: every later call fails until the device is set up anew.
        case rebuild
        /// The device is not there, or is failing: set up anew, and not at once.
        case lost
        /// The library or the chip does not have what was asked for, now or later.
        case unsupported
        /// The call was wrong: a mistake of this program, or of its idea of the library.
        case misuse
    }

    /// The function's name.
    package let call: String
    /// What it returned.
    package let code: Int32
    /// What the library says about it; empty for nothing.
    package let text: String

    /// Creates an error from a call and what it returned.
    package init(_ call: String, code: Int32, text: String = "") {
        (self.call, self.code, self.text) = (call, code, text)
    }

    /// The same, with the device that it happened on.
    func on(_ device: Int32) -> AscendError {
        AscendError(call, code: code, text: text + (text.isEmpty ? "" : "; ") + "on NPU \(device)")
    }

    /// The call is not in the library.
    static func absent(_ call: String) -> AscendError {
        AscendError(call, code: featureNotSupported, text: "the installed CANN does not have this function")
    }

    /// A function that makes an object made none.
    static func objectNotMade(_ call: String) -> AscendError {
        AscendError(call, code: innerNullPointer, text: "no object was made")
    }

    private static let innerNullPointer: Int32 = 561_103
    private static let featureNotSupported: Int32 = 207_000

    /// Codes of the runtime (`aclError`) and of operators (`aclnnStatus`) by what they mean for the work at hand.
    package var consequence: Consequence {
        switch code {
        case Self.featureNotSupported: .unsupported
        // Collectives have codes of their own. Whatever they say, ranks are out of step.
        case _ where call.hasPrefix("Hccl"): .rebuild
        case 107_019, 107_020, 507_012: .retry
        case 207_001, 207_018, 200_000: .outOfMemory
        case 507_010, 507_899, 507_901, 207_004, 107_001, 200_002,
            // Memory that fails: an operator has to look at it before long.
            507_042...507_045, 507_053...507_055:
            .lost
        // A step whose end was not waited for (507046) may still be at work in memory that the next would use.
        case 107_022, 107_023, 507_000...507_999, 361_001, 500_000...500_999: .rebuild
        case 200_001, 200_006, 561_003, 561_107, 561_112: .unsupported
        default: .misuse
        }
    }

    /// One sentence with all that is known.
    package var message: String {
        "the Ascend NPU: \(call) returned \(code)" + (text.isEmpty ? "" : " (\(text))")
    }

    /// Whether nothing that is on the device can be used any more.
    package var losesDevice: Bool { consequence == .rebuild || consequence == .lost }

    /// What went wrong while a model was loaded.
    package var engineError: EngineError {
        switch consequence {
        case .retry: EngineError(.backend, message + "; try again")
        case .outOfMemory:
            EngineError(.insufficientMemory, message + "; lower --max-num-batched-tokens or --kv-cache-memory")
        case .rebuild: EngineError(.deviceLost, message + "; see npu-smi info")
        case .lost: EngineError(.deviceLost, message + "; see npu-smi info: the device is not there, or fails")
        case .unsupported:
            EngineError(.deviceUnavailable, message + "; install a CANN that has it, or use --device cpu")
        case .misuse: EngineError(.backend, message + "; please report this")
        }
    }

    /// What went wrong while a step was computed: a request that fails of it can be tried again.
    package var stepError: EngineError {
        switch consequence {
        case .outOfMemory: EngineError(.deviceMemory, message + "; lower --max-num-batched-tokens")
        case .rebuild: EngineError(.deviceLost, message + "; the device is set up anew")
        case .unsupported, .retry, .lost, .misuse: engineError
        }
    }
}
