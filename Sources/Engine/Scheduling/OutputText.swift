/// The text side of a sequence's output: bytes of tokens in, whole characters out, minus what may become a stop string.
struct OutputText {
    private var detokenizer = IncrementalDetokenizer()
    private var stopMatcher: StopMatcher?
    /// Characters on their way from the one to the other; kept for its memory.
    private var characters: [UInt8] = []

    init(stopStrings: [String]) {
        stopMatcher = stopStrings.isEmpty ? nil : StopMatcher(stopStrings)
    }

    /// Appends to `output` what a token's bytes let out.
    ///
    /// - Parameter matching: whether a stop string may begin in this token's text; once true it stays true.
    /// - Returns: whether a stop string is complete; nothing of it, and nothing after it, is ever let out.
    mutating func append(_ bytes: [UInt8], matching: Bool, into output: inout [UInt8]) -> Bool {
        guard matching, stopMatcher != nil else {
            detokenizer.append(bytes, into: &output)
            return false
        }
        characters.removeAll(keepingCapacity: true)
        detokenizer.append(bytes, into: &characters)
        return stopMatcher?.append(characters, into: &output) ?? false
    }

    /// Appends what is still held back, once no more tokens come: an unfinished character becomes U+FFFD.
    mutating func finish(into output: inout [UInt8]) {
        stopMatcher?.finish(into: &output)
        detokenizer.finish(into: &output)
    }
}
