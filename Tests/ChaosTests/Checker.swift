import LMClient

/// A request and what an undisturbed server answers to it.
struct KnownRequest: Sendable {
    let request: GenerateRequest
    let tokens: [Int32]
    let text: String

    /// Asks an undisturbed server. Every number is another request with another answer.
    init(_ number: Int, tokens: Int, from client: LMClient) async throws {
        request = Self.request(number, tokens: tokens)
        let answer = try await client.generate(request).collect()
        self.tokens = answer.tokens.map(\.id)
        text = answer.text
    }

    /// So many requests, of so many tokens each.
    static func make(_ count: Int, tokens: Int, from client: LMClient) async throws -> [KnownRequest] {
        var requests: [KnownRequest] = []
        for number in 0..<count { requests.append(try await KnownRequest(number, tokens: tokens, from: client)) }
        return requests
    }

    /// A request that draws its tokens from a seed of its own.
    static func request(_ number: Int, tokens: Int) -> GenerateRequest {
        var request = GenerateRequest("the \(number)")
        request.isRaw = true
        request.sampling.temperature = 1
        request.sampling.seed = UInt64(number)
        request.stop.maxTokens = tokens
        request.stop.ignoresEndOfSequence = true
        return request
    }
}

/// What became of a request.
enum Verdict: Sendable, Equatable {
    /// The application saw the whole right answer.
    case whole
    /// The application saw a right beginning, and one error.
    case failed(LMError.Code)
    /// The application was lied to: a lost, repeated or foreign token, or a part that was called the whole.
    case wrong(String)

    var isWrong: Bool {
        if case .wrong = self { true } else { false }
    }
}

extension KnownRequest {
    /// Makes the request and follows its stream, token by token.
    ///
    /// - Parameter onToken: told how many tokens came so far.
    func check(over client: LMClient, onToken: (Int) -> Void = { _ in }) async -> Verdict {
        var count = 0
        var seen = ""
        do throws(LMError) {
            let stream = try await client.generate(request)
            var iterator = stream.makeAsyncIterator()
            while let token = try await iterator.next(isolation: nil) {
                guard token.index == count else { return .wrong("token \(token.index) came after \(count) tokens") }
                guard count < tokens.count, token.id == tokens[count] else {
                    return .wrong("token \(count) is \(token.id), not \(tokens.dropFirst(count).first ?? -1)")
                }
                count += 1
                seen += token.text
                guard text.utf8.starts(with: seen.utf8) else {
                    return .wrong("the text of token \(count - 1) is foreign")
                }
                onToken(count)
            }
            guard let finish = stream.finish else { return .wrong("the stream ended without an end") }
            guard count == tokens.count, seen.utf8.elementsEqual(text.utf8) else {
                return .wrong("\(count) tokens of \(tokens.count) were called the whole answer")
            }
            guard finish.usage.completionTokens == count else {
                return .wrong("\(count) tokens are billed as \(finish.usage.completionTokens)")
            }
            return .whole
        } catch {
            return .failed(error.code)
        }
    }
}

extension [KnownRequest] {
    /// Makes all of them at once; the verdicts in their order.
    func checkAll(over client: LMClient) async -> [Verdict] {
        await withTaskGroup(of: (Int, Verdict).self) { group in
            for (index, known) in enumerated() { group.addTask { (index, await known.check(over: client)) } }
            return await group.reduce(into: [Verdict](repeating: .whole, count: count)) { $0[$1.0] = $1.1 }
        }
    }
}
