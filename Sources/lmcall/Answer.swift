/// What an answer consists of, in the shape in which JSON output carries it.
enum Answer {
    /// The server took the request.
    struct Opening: Encodable {
        /// What the server's logs call the request.
        var id: String?
        var model: String?
    }

    /// One or more consecutive tokens.
    struct Piece {
        /// Position of the first of them in the answer.
        var index: Int
        var text: String
        var ids: [Int32]
        /// As many as ids, or none when they were not asked for.
        var logprobs: [Logprob] = []
    }

    /// Log-probabilities of one token of the answer.
    struct Logprob: Encodable {
        var tokenId: Int32
        var logprob: Float
        /// The likeliest tokens at this place.
        var top: [Alternative]

        struct Alternative: Encodable {
            var tokenId: Int32
            var logprob: Float
        }
    }

    /// The answer is complete.
    struct Ending: Encodable {
        var finishReason: String
        var usage: Usage
        var timingMs: Timing
        /// Repeats the answer when given as --seed.
        var seed: UInt64?
    }

    /// Tokens that the request cost.
    struct Usage: Encodable {
        var prompt: Int
        /// Of those, found in the server's prefix cache.
        var cached: Int
        var completion: Int
    }

    /// Milliseconds. Queue, prefill and decode are the server's; the others are measured here.
    struct Timing: Encodable {
        var queue: Double
        var prefill: Double
        var decode: Double
        /// From sending to the first token.
        var ttft: Double?
        /// Mean time per token after the first.
        var tpot: Double?
        var total: Double
    }

    /// The request failed, or ended before its end.
    struct Failure: Encodable {
        /// The protocol's or the client library's name of the error.
        var code: String
        var message: String
        var retryable: Bool
        var retryAfterMs: Int?
    }
}

/// Writes an answer to standard output as it comes.
protocol AnswerWriter {
    mutating func began(_ opening: Answer.Opening) throws
    mutating func received(_ piece: Answer.Piece) throws
    mutating func ended(_ ending: Answer.Ending) throws
    mutating func failed(_ failure: Answer.Failure) throws
}
