internal import LMEngine
internal import LMProtocol

extension ErrorMessage {
    /// What a client is told about an engine's error: the one place where the two vocabularies meet.
    init(_ error: EngineError) {
        let code: ErrorCode =
            switch error.code {
            case .invalidRequest: .invalid
            case .tooLarge: .tooLarge
            case .modelNotFound: .notFound
            case .overloaded: .overloaded
            case .draining: .draining
            case .deadlineExceeded: .deadline
            case .nonFiniteLogits: .modelOutput
            case .backend: .engine
            case .deviceUnavailable, .deviceMemory, .deviceLost: .device
            case .invalidModel, .unsupportedModel, .insufficientMemory: .internal
            }
        self.init(code, error.message)
    }
}

extension UsageReport {
    init(_ usage: Usage) {
        self.init()
        promptTokens = UInt32(clamping: usage.promptTokens)
        cachedTokens = UInt32(clamping: usage.cachedTokens)
        completionTokens = UInt32(clamping: usage.completionTokens)
        preemptions = UInt32(clamping: usage.preemptions)
        queueTime = usage.queueNanoseconds
        prefillTime = usage.prefillNanoseconds
        decodeTime = usage.decodeNanoseconds
    }
}

extension FinishMessage.Reason {
    init(_ reason: FinishReason) {
        self =
            switch reason {
            case .stop: .stop
            case .length: .length
            case .cancelled: .cancelled
            }
    }
}
