package import LMEngine
import Testing

/// What a request has yielded so far, and whether its events came in order.
package struct Output: Equatable {
    package var tokens: [Int32] = []
    package var text: [UInt8] = []
    package var logprobs: [TokenLogprob] = []
    package var reason: FinishReason?
    package var embedding: [Float]?
    package var error: EngineError?
    package var usage: Usage?

    package var isEnded: Bool { reason != nil || embedding != nil || error != nil }
    package var string: String { String(decoding: text, as: UTF8.self) }

    /// What a request must yield whatever it shares the engine with.
    package func isSame(as other: Output) -> Bool {
        tokens == other.tokens && text == other.text && logprobs == other.logprobs && reason == other.reason
            && embedding == other.embedding
    }
}

/// Sorts the events of batches by request.
package struct OutputCollector {
    package private(set) var outputs: [RequestID: Output] = [:]

    /// With nothing collected.
    package init() {}

    package subscript(id: RequestID) -> Output { outputs[id] ?? Output() }

    package mutating func collect(_ batch: EventBatch) {
        var text = batch.text[...]
        var logprobs = batch.logprobs[...]
        var ends = batch.ends[...]
        for event in batch.events {
            var output = self[event.request]
            #expect(!output.isEnded, "an event after the last one")
            #expect(event.tag == event.request.rawValue * 10)
            switch event.kind {
            case .token(let id, let index, let textLength, let logprobCount):
                #expect(Int(index) == output.tokens.count, "indices have no gaps")
                output.tokens.append(id)
                output.text += text.prefix(Int(textLength))
                output.logprobs += logprobs.prefix(Int(logprobCount))
                text = text.dropFirst(Int(textLength))
                logprobs = logprobs.dropFirst(Int(logprobCount))
            case .ended:
                switch ends.popFirst() {
                case .finished(let reason, let usage):
                    output.reason = reason
                    output.usage = usage
                    #expect(usage.completionTokens == output.tokens.count)
                case .embedded(let vector, let usage):
                    output.embedding = vector
                    output.usage = usage
                case .failed(let error, let usage):
                    output.error = error
                    output.usage = usage
                case nil: Issue.record("an end that the batch does not hold")
                }
            }
            outputs[event.request] = output
        }
        #expect(text.isEmpty && logprobs.isEmpty && ends.isEmpty)
    }
}
